//! Reads and writes timestamps in the services' forms.

use chrono::{DateTime, SecondsFormat, Utc};

/// Writes `2025-04-01T00:00:00Z`, with a fraction only if it is not zero.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Writes `2025-04-01 00:00:00+00:00`, with a space in place of the `T` and the offset in digits.
pub(crate) fn spaced(time: DateTime<Utc>) -> String {
    // This is much faster than a format string, and a page of keys contains hundreds of timestamps.
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false).replacen('T', " ", 1)
}

/// Writes `Tue, 01 Apr 2025 00:00:00 GMT`, the form of dates in HTTP.
pub(crate) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads strict RFC 3339: a `T` in the middle, an offset at the end.
pub(crate) fn parse_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    // chrono also accepts other separators, which the services are not known to accept.
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    parse_either(text)
}

/// Reads RFC 3339, with a `T` or a space. Both forms need an offset.
pub(crate) fn parse_either(text: &str) -> Option<DateTime<Utc>> {
    let separator = text.as_bytes().get(10)?;
    if !matches!(separator, b'T' | b' ') {
        return None;
    }
    let parsed = DateTime::parse_from_rfc3339(text).ok()?;
    Some(parsed.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_written() {
        let time = parse_rfc3339("2025-04-01T02:00:00+02:00").unwrap();
        assert_eq!(rfc3339(time), "2025-04-01T00:00:00Z");
        assert_eq!(spaced(time), "2025-04-01 00:00:00+00:00");
        assert_eq!(parse_either(&spaced(time)), Some(time));
        assert_eq!(parse_either(&rfc3339(time)), Some(time));
    }

    #[test]
    fn a_fraction_survives() {
        let time = parse_rfc3339("2025-04-01T00:00:00.250Z").unwrap();
        assert_eq!(rfc3339(time), "2025-04-01T00:00:00.250Z");
        assert_eq!(spaced(time), "2025-04-01 00:00:00.250+00:00");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "tomorrow", "2025-04-01", "2025-04-01T00:00:00", "2025-13-01T00:00:00Z"] {
            assert_eq!(parse_either(text), None, "{text}");
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(parse_rfc3339("2025-04-01 00:00:00Z"), None);
        assert_eq!(parse_rfc3339("2025-04-01t00:00:00Z"), None);
    }
}
