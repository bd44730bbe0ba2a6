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

/// Decodes the valid escapes, and leaves the rest unchanged.
pub(crate) fn decode_lossy(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match hex_digit(*high).zip(hex_digit(*low)) {
                Some((high, low)) => {
                    decoded.push(high << 4 | low);
                    rest = tail;
                }
                None => decoded.push(b'%'),
            },
            _ => decoded.push(*first),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
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
    fn parameters_are_found_by_name() {
        let query = "page=2&search=a+b%26c&empty&page=3";
        assert_eq!(query_value(query, "page").as_deref(), Some("2"));
        assert_eq!(query_value(query, "search").as_deref(), Some("a b&c"));
        assert_eq!(query_value(query, "empty").as_deref(), Some(""));
        assert_eq!(query_value(query, "limit"), None);
        assert_eq!(query_value("page=%zz", "page").as_deref(), Some("%zz"));
    }
}
