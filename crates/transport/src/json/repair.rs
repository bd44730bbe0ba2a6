//! Repairs JSON of which some texts or numbers are not valid.

use zeroize::Zeroizing;

use super::scan::{scalar_end, skip_blanks};

/// The start of the escapes that stand for what is not valid. They are halves of surrogate pairs, so no text decodes
/// from them by accident.
const INVALID: &str = "\\udc";

/// The maximum number of bytes by which a repair may lengthen its JSON. Whatever needs more is no JSON with a few faults.
const MAX_GROWTH: usize = 1024 * 1024;

/// Returns JSON in which every text has valid syntax, and every scalar that is not JSON is a text.
///
/// Where a text holds bytes that are not UTF-8, or an escape that does not exist, the result holds half of a surrogate
/// pair. A text like that is valid JSON, but decoding it fails. So what is broken costs only the field that holds it,
/// and not the whole answer. Brackets, commas and colons stay as they are. Returns `None` if too much is broken.
pub(crate) fn repaired(bytes: &[u8]) -> Option<Zeroizing<String>> {
    // With room for the growth of one more text, it does not move, so no copy stays behind that nobody wipes.
    let mut json = Zeroizing::new(String::with_capacity(bytes.len() + MAX_GROWTH + 64));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if is_too_long(&json, bytes) {
            return None;
        }
        at = match byte {
            b'"' => repair_text(bytes, at, &mut json)?,
            b'[' | b']' | b'{' | b'}' | b',' | b':' => {
                json.push(char::from(byte));
                at + 1
            }
            _ if skip_blanks(bytes, at) > at => {
                json.push(' ');
                skip_blanks(bytes, at)
            }
            _ => repair_scalar(bytes, at, &mut json),
        };
    }
    Some(json)
}

/// Decodes bytes as UTF-8. Each run of bytes that are not UTF-8 becomes one U+FFFD, so bytes that are no text at all
/// need no more memory as text.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 4);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() && (!chunk.valid().is_empty() || !text.ends_with(char::REPLACEMENT_CHARACTER)) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

fn is_too_long(json: &str, bytes: &[u8]) -> bool {
    json.len() > bytes.len() + MAX_GROWTH
}

/// Copies a text to `json`. Returns its end, or `None` if too much of it is broken.
fn repair_text(bytes: &[u8], start: usize, json: &mut String) -> Option<usize> {
    json.push('"');
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        if is_too_long(json, bytes) {
            return None;
        }
        match byte {
            b'"' => {
                json.push('"');
                return Some(at + 1);
            }
            b'\\' => {
                let length = escape_length(&bytes[at..]);
                match length.and_then(|length| std::str::from_utf8(&bytes[at..at + length]).ok()) {
                    Some(escape) => {
                        json.push_str(escape);
                        at += escape.len();
                    }
                    None => {
                        push_invalid(byte, json);
                        at += 1;
                    }
                }
            }
            // JSON requires an escape for a control character, but what the character means is clear.
            0..=0x1f => {
                json.push_str(&format!("\\u{byte:04x}"));
                at += 1;
            }
            _ => {
                let end = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
                let end = end.map_or(bytes.len(), |length| at + length);
                for chunk in bytes[at..end].utf8_chunks() {
                    if is_too_long(json, bytes) {
                        return None;
                    }
                    json.push_str(chunk.valid());
                    chunk.invalid().iter().for_each(|byte| push_invalid(*byte, json));
                }
                at = end;
            }
        }
    }
    Some(at)
}

/// Returns the length of the escape at the start of `bytes`, if JSON has it.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

fn push_invalid(byte: u8, json: &mut String) {
    json.push_str(&format!("{INVALID}{byte:02x}"));
}

/// Copies a number or a word to `json`, as a text that cannot be decoded if it is not JSON. Returns its end.
fn repair_scalar(bytes: &[u8], start: usize, json: &mut String) -> usize {
    let end = scalar_end(bytes, start).max(start + 1);
    let scalar = String::from_utf8_lossy(&bytes[start..end]);
    if serde_json::from_str::<&serde_json::value::RawValue>(&scalar).is_ok() {
        json.push_str(&scalar);
    } else {
        json.push('"');
        push_invalid(b'?', json);
        json.push_str(&serde_json::Value::from(&*scalar).to_string()[1..]);
    }
    end
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_broken_changes() {
        for (broken, whole) in [
            (&b"{\"a\": \"\\ud83d\\udd11 \\n\", \"b\":[1, -2.5e3,null,true]}"[..], None),
            ("{\"name\":\"é 🔑\"}".as_bytes(), None),
            (b"[\"a\xffb\",1]", Some(r#"["a\udcffb",1]"#)),
            (b"[\"\\q\\u12\",\"\\\xff\"]", Some(r#"["\udc5cq\udc5cu12","\udc5c\udcff"]"#)),
            (b"[\"a\tb\nc\"]", Some(r#"["a\u0009b\u000ac"]"#)),
            (b"[NaN,01,\xfe,-Infinity]", Some(r#"["\udc3fNaN","\udc3f01","\udc3f�","\udc3f-Infinity"]"#)),
            (b"[\"cut", Some("[\"cut")),
        ] {
            let expected = whole.unwrap_or_else(|| std::str::from_utf8(broken).unwrap());
            assert_eq!(repaired(broken).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_run_of_invalid_bytes_becomes_one_character() {
        for (bytes, text) in [
            (&b"a\xff\xfeb\xff"[..], "a\u{fffd}b\u{fffd}"),
            (b"\xff", "\u{fffd}"),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(lossy(bytes), text);
        }
    }

    #[test]
    fn what_is_broken_all_over_is_not_repaired() {
        for broken in [&b"\xff"[..], b"\xffa", b"\x01", b"\\q"] {
            let text = [b"[\"", &broken.repeat(1_000_000)[..], b"\"]"].concat();
            assert!(repaired(&text).is_none());
        }
        assert!(repaired(&[&b"["[..], &b"nan,".repeat(1_000_000), b"1]"].concat()).is_none());
    }
}
