//! Finds the parts of a JSON text without building values.
//!
//! A scan needs no memory for what it skips, and no stack for what is nested. It looks only at brackets, quotes and
//! commas, so it also finds its way around a value that no parser accepts.

use std::borrow::Cow;
use std::ops::Range;

/// The deepest nesting in which [`texts`] looks for texts. It is the depth up to which a parser reads JSON.
const MAX_DEPTH: usize = 128;

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonType {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl JsonType {
    /// Returns the type of the value with which this JSON text starts.
    pub fn of(json: &str) -> Self {
        match json.trim_start().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }

    /// Returns the type with its article, for messages: `a text`.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Returns the position of the first byte at or after `at` that is not blank.
pub(super) fn skip_blanks(json: &[u8], at: usize) -> usize {
    at + json[at.min(json.len())..].iter().take_while(|byte| is_blank(**byte)).count()
}

/// Returns the end of the text that starts at `start`, behind its closing quote.
pub(super) fn text_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += json.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        match json[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Returns the end of the value that starts at `start`. `None` if the JSON ends before the value does.
pub(super) fn value_end(json: &[u8], start: usize) -> Option<usize> {
    match json.get(start)? {
        b'"' => text_end(json, start),
        b'[' | b'{' => {
            let (mut depth, mut at) = (0_usize, start);
            loop {
                at += json.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}'))?;
                match json[at] {
                    b'"' => {
                        at = text_end(json, at)?;
                        continue;
                    }
                    b'[' | b'{' => depth += 1,
                    _ if depth == 1 => return Some(at + 1),
                    _ => depth -= 1,
                }
                at += 1;
            }
        }
        _ => Some(scalar_end(json, start)).filter(|end| *end > start),
    }
}

pub(super) fn scalar_end(json: &[u8], start: usize) -> usize {
    let is_end = |byte: &u8| is_blank(*byte) || matches!(byte, b',' | b':' | b'"' | b'[' | b']' | b'{' | b'}');
    json[start..].iter().position(is_end).map_or(json.len(), |length| start + length)
}

/// The items of a list, as JSON texts, in order.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Items<'a> {
    /// Starts to read a list. `None` if the value is not a list.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        let start = skip_blanks(json.as_bytes(), 0);
        (json.as_bytes().get(start) == Some(&b'[')).then(|| Self { json, at: list_start(json) })
    }
}

/// Returns the position behind the bracket with which a list starts.
pub(super) fn list_start(json: &str) -> usize {
    skip_blanks(json.as_bytes(), 0) + 1
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let value = next_value(self.json.as_bytes(), self.at)?;
        self.at = value.end;
        self.json.get(value)
    }
}

/// Returns the next value of a list or object. The commas between values are skipped.
pub(super) fn next_value(json: &[u8], at: usize) -> Option<Range<usize>> {
    let mut start = skip_blanks(json, at);
    while json.get(start) == Some(&b',') {
        start = skip_blanks(json, start + 1);
    }
    Some(start..value_end(json, start)?).filter(|_| !matches!(json[start], b']' | b'}'))
}

/// The fields of an object, in order: the name with its quotes, and the value, both as JSON texts.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    /// Starts to read an object. `None` if the value is not an object.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        let start = skip_blanks(json.as_bytes(), 0);
        (json.as_bytes().get(start) == Some(&b'{')).then_some(Self { json, at: start + 1 })
    }

    /// Starts to read the inside of an object, without its brackets.
    pub(super) fn inside(json: &'a str) -> Self {
        Self { json, at: 0 }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let json = self.json.as_bytes();
        let name = next_value(json, self.at)?;
        let colon = skip_blanks(json, name.end);
        if json.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_blanks(json, colon + 1);
        let value_end = value_end(json, value)?;
        self.at = value_end;
        Some((self.json.get(name)?, self.json.get(value..value_end)?))
    }
}

/// Decodes a JSON text. `None` if it is not a text, or not valid Unicode, such as half of a surrogate pair.
pub fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Decodes a JSON text. Each part that is not valid Unicode becomes U+FFFD. `None` if the value is not a text.
pub fn lossy_text(json: &str) -> Option<Cow<'_, str>> {
    if let Some(text) = text(json) {
        return Some(text);
    }
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    let mut decoded = String::with_capacity(rest.len());
    while let Some(at) = rest.find('\\') {
        decoded.push_str(&rest[..at]);
        let is_pair = rest.get(at + 6..).is_some_and(|next| next.starts_with("\\u"));
        let longest = [if is_pair { 12 } else { 6 }, 6, 2];
        // The longest escape that decodes: a pair, a single character, or a short escape.
        let escape = longest.iter().find_map(|length| {
            let escape = rest.get(at..at + length)?;
            Some((*length, serde_json::from_str::<String>(&format!("\"{escape}\"")).ok()?))
        });
        match escape {
            Some((length, text)) => {
                decoded.push_str(&text);
                rest = &rest[at + length..];
            }
            None => {
                decoded.push(char::REPLACEMENT_CHARACTER);
                let is_hex = rest.get(at..at + 6).is_some_and(|escape| escape.starts_with("\\u"));
                rest = rest.get(at + if is_hex { 6 } else { 2 }..).unwrap_or_default();
            }
        }
    }
    decoded.push_str(rest);
    Some(Cow::Owned(decoded))
}

/// Calls `found` with each text of a value, and the name of the field that it belongs to. The items of a list belong to
/// the list's field. Texts that are nested deeper than a parser reads, or are not valid Unicode, are left out.
pub fn texts(name: &str, json: &str, mut found: impl FnMut(&str, Cow<'_, str>)) {
    let bytes = json.as_bytes();
    // For each open bracket, the field that its values belong to. An object's is set by the name before each value.
    let mut fields: Vec<Option<&str>> = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let Some(end) = text_end(bytes, at) else { return };
                let token = &json[at..end];
                at = end;
                let next = skip_blanks(bytes, end);
                if depth > MAX_DEPTH {
                    continue;
                }
                if bytes.get(next) == Some(&b':') {
                    if let Some(field) = fields.last_mut() {
                        *field = Some(token);
                    }
                } else if let Some(text) = text(token) {
                    let field = fields.last().copied().flatten().and_then(self::text);
                    found(field.as_deref().unwrap_or(name), text);
                }
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth <= MAX_DEPTH {
                    fields.push(fields.last().copied().flatten());
                }
            }
            b']' | b'}' => {
                if depth <= MAX_DEPTH {
                    fields.pop();
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        at += 1;
    }
}

/// Replaces texts of a value, and names of its fields. `replace` gets each of them, and returns what replaces it.
/// Returns `None` if nothing is replaced.
pub(super) fn replace_texts(json: &str, mut replace: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let bytes = json.as_bytes();
    let (mut replaced, mut copied, mut at) = (None::<String>, 0, 0);
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) {
        let start = at + start;
        let Some(end) = text_end(bytes, start) else { break };
        if let Some(text) = lossy_text(&json[start..end]).and_then(|text| replace(&text)) {
            let whole = replaced.get_or_insert_with(|| String::with_capacity(json.len()));
            whole.push_str(&json[copied..start]);
            whole.push_str(&serde_json::Value::String(text).to_string());
            copied = end;
        }
        at = end;
    }
    replaced.map(|mut whole| {
        whole.push_str(&json[copied..]);
        whole
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_finds_items_and_fields_of_any_content() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for item in [r#""\ud800""#, "1e400", "null", r#"{"a":"]}\"\\"}"#, "-0.5", "\"\"", &deep] {
            let list = format!(" [ {item} ,{item}, {item}]");
            assert_eq!(Items::of(&list).unwrap().collect::<Vec<_>>(), [item, item, item]);
            let object = format!("{{\"a\" : {item},\"\\\"b\":{item} }}");
            assert_eq!(Fields::of(&object).unwrap().collect::<Vec<_>>(), [("\"a\"", item), ("\"\\\"b\"", item)]);
        }
        assert_eq!(Items::of("[]").unwrap().next(), None);
        assert!(Items::of("{}").is_none() && Fields::of("[]").is_none());
        // Garbage ends a scan.
        for cut in ["[", "[1", "[\"a", "[{\"a\":", "[[1]", "[\"\\"] {
            assert!(Items::of(cut).unwrap().count() <= 1, "{cut}");
        }
    }

    #[test]
    fn a_text_that_is_not_unicode_is_decoded_only_lossily() {
        for (json, strict, lossy) in [
            (r#""a\nb""#, Some("a\nb"), "a\nb"),
            (r#""\ud83d\udd11""#, Some("🔑"), "🔑"),
            (r#""a\ud800b""#, None, "a\u{fffd}b"),
            (r#""\ud800\ud83d\udd11\n""#, None, "\u{fffd}🔑\n"),
            (r#""\udcff\u00e9\\u""#, None, "\u{fffd}é\\u"),
        ] {
            assert_eq!(text(json).as_deref(), strict, "{json}");
            assert_eq!(lossy_text(json).as_deref(), Some(lossy), "{json}");
        }
        assert_eq!(lossy_text("1"), None);
    }

    #[test]
    fn texts_come_with_the_name_of_their_field() {
        let json = r#"{"a":["x",{"b":"y"},"z"],"c":{"d":[["w"]]},"\ud800":"v","e":"\ud800"}"#;
        let mut found = Vec::new();
        texts("top", json, |name, text| found.push(format!("{name}={text}")));
        assert_eq!(found, ["a=x", "b=y", "a=z", "d=w", "top=v"]);
        let deep = format!("{}\"x\"{}", "[".repeat(200), "]".repeat(200));
        texts("", &format!("[{deep},\"y\"]"), |_, text| assert_eq!(text, "y"));
    }

    #[test]
    fn texts_are_replaced_in_names_and_values() {
        let hide = |text: &str| text.starts_with("sk").then(|| "\"".to_owned());
        let json = r#"{"sk1": ["a", "\u0073k2", 1e400]}"#;
        assert_eq!(replace_texts(json, hide).as_deref(), Some(r#"{"\"": ["a", "\"", 1e400]}"#));
        assert_eq!(replace_texts(r#"{"a":"b"}"#, hide), None);
    }
}
