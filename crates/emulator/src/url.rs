//! Decodes a URL's path and query.

use std::borrow::Cow;

/// Decodes a path segment. Returns `None` if it does not decode to text.
pub(crate) fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = hex_digit(bytes.next()?)?;
            let low = hex_digit(bytes.next()?)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// Decodes the valid escapes, also those that decoding leaves, until there are none. The rest stays unchanged.
pub(crate) fn decode_fully(text: &str) -> Vec<u8> {
    decode_counted(text).0
}

/// Does the work of [`decode_fully`], and returns the number of steps.
///
/// It decodes each escape as soon as its last digit is there, so it reads the text once, however deep the escapes nest.
/// Two escapes never share a byte, so the order in which they are decoded does not matter.
fn decode_counted(text: &str) -> (Vec<u8>, usize) {
    let mut decoded = Vec::with_capacity(text.len());
    let mut steps = 0;
    for byte in text.bytes() {
        decoded.push(byte);
        steps += 1;
        while let [.., b'%', high, low] = decoded[..]
            && let Some((high, low)) = hex_digit(high).zip(hex_digit(low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(high << 4 | low);
            steps += 1;
        }
    }
    (decoded, steps)
}

/// Returns the value of a query parameter. If the query repeats the parameter, the first one counts.
///
/// A value that does not decode is returned unchanged, and the caller's checks refuse it.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_query(key) == name).then(|| decode_query(value))
    })
}

fn decode_query(text: &str) -> String {
    let spaced = text.replace('+', " ");
    match decode_segment(&spaced) {
        Some(decoded) => decoded.into_owned(),
        None => spaced,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_decode_or_are_refused() {
        assert_eq!(decode_segment("plain").as_deref(), Some("plain"));
        assert_eq!(decode_segment("a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(decode_segment("a+b").as_deref(), Some("a+b"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode_segment(bad), None, "{bad}");
        }
    }

    #[test]
    fn nested_escapes_decode_to_the_end() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("a%5Fb", "a_b"),
            ("a%255Fb", "a_b"),
            ("a%2525255fb", "a_b"),
            ("%%34%31", "A"),
            ("%2%35%35%46", "_"),
            ("%zz%5F%", "%zz_%"),
            ("%", "%"),
            ("%4", "%4"),
        ] {
            assert_eq!(String::from_utf8(decode_fully(text)).unwrap(), decoded, "{text}");
        }
        assert_eq!(decode_fully("%ff"), [0xff]);
    }

    #[test]
    fn the_work_grows_with_the_text_and_not_with_its_square() {
        let size = 60 << 10;
        for part in ["%25", "%2525", "%", "%2", "%%32%35", "a", "25", "%zz", "%32%35"] {
            let text = part.repeat(size / part.len());
            for text in [text.clone(), format!("%{text}"), format!("%{}", "25".repeat(size / 2)), format!("{text}5F")] {
                let (_, steps) = decode_counted(&text);
                // Each escape removes two bytes, so there are at most half as many as bytes.
                assert!(steps <= text.len() + text.len() / 2, "{part}: {steps} steps");
            }
        }
    }

    #[test]
    fn parameters_are_found_by_name() {
        let query = "page=2&search=a+b%26c&empty&page=3";
        assert_eq!(query_value(query, "page").as_deref(), Some("2"));
        assert_eq!(query_value(query, "search").as_deref(), Some("a b&c"));
        assert_eq!(query_value(query, "empty").as_deref(), Some(""));
        assert_eq!(query_value(query, "limit"), None);
        assert_eq!(query_value("page=%zz", "page").as_deref(), Some("%zz"));
    }
}
