//! Prints JSON without characters that would control a terminal.

use std::io::{self, Write};

use api_keyring::is_printable;
use serde::Serialize;

use super::stream::print;
use crate::failure::Result;

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result {
    print(|stdout| {
        serde_json::to_writer_pretty(Escaping(&mut *stdout), value)?;
        writeln!(stdout)
    })
}

/// A JSON array that prints its values while they arrive, a line each, and does not hold them.
#[derive(Default)]
pub(crate) struct StreamedArray {
    has_values: bool,
}

impl StreamedArray {
    /// Prints a value.
    pub(crate) fn add(&mut self, value: &impl Serialize) -> Result {
        let separator = if self.has_values { ",\n" } else { "[\n" };
        self.has_values = true;
        print(|stdout| {
            stdout.write_all(separator.as_bytes())?;
            Ok(serde_json::to_writer(Escaping(stdout), value)?)
        })
    }

    /// Prints the end of the array. Without values it prints `[]`, but only if `is_complete`: an empty array claims
    /// that there are no values.
    pub(crate) fn end(self, is_complete: bool) -> Result {
        match (self.has_values, is_complete) {
            (true, _) => print(|stdout| stdout.write_all(b"\n]\n")),
            (false, true) => print(|stdout| stdout.write_all(b"[]\n")),
            (false, false) => Ok(()),
        }
    }
}

/// Escapes the characters of a JSON text that do not show themselves, as `\u001b`. The escaped text means the same.
///
/// Each call gets whole characters, because serde_json writes pieces of texts. A character beyond ASCII is always
/// inside a JSON string, where an escape may stand. A tab or a carriage return is always outside, as blank space of a
/// value that is kept as the vendor wrote it.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = std::str::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        while let Some(at) = text.find(|c| c != '\n' && !is_printable(c)) {
            self.0.write_all(&text.as_bytes()[..at])?;
            let rest = &text[at..];
            let end = rest.chars().next().map_or(0, char::len_utf8);
            match &rest[..end] {
                "\t" | "\r" => self.0.write_all(b" ")?,
                c => c.encode_utf16().try_for_each(|unit| write!(self.0, "\\u{unit:04x}"))?,
            }
            text = &rest[end..];
        }
        self.0.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    fn escaped(value: &impl Serialize) -> String {
        let mut bytes = Vec::new();
        serde_json::to_writer_pretty(Escaping(&mut bytes), value).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_escaped_document_shows_itself_and_means_the_same() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let document = json!({ all.clone(): [all, "a\"b\\", 1, null, {"é": "日本"}] });
        let text = escaped(&document);
        assert!(text.chars().all(|c| c == '\n' || is_printable(c)));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        assert!(text.contains("\\u001b") && text.contains("\\u202e") && text.contains("\\udb40\\udc41"));
        assert!(text.contains("日本"));
    }

    #[test]
    fn a_value_that_is_kept_as_text_is_escaped_too() {
        let json = "{\r\t\"a\u{9b}\u{7f}\":\r\n\"\u{202e}\u{e0041}\\u001b\"}";
        let text = escaped(&RawValue::from_string(json.to_owned()).unwrap());
        assert!(text.chars().all(|c| c == '\n' || is_printable(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::from_str::<Value>(json).unwrap());
    }
}
