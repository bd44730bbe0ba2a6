//! Safe display of text that comes from outside.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes every character that would control the output instead of showing itself, as `\u{1b}`.
///
/// These are control characters, format characters (such as those that change the text direction, or have no width),
/// line separators, private-use characters, and code points without a character. Text from a vendor or a user must not
/// control a terminal, break a line of a log, or look like another text.
///
/// ```
/// assert_eq!(api_keyring::printable("ci\u{1b}[2J"), r"ci\u{1b}[2J");
/// ```
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_printable(c) {
            true => shown.push(c),
            // Writing to a string does not fail.
            false => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    shown
}

/// Returns whether a character shows itself, and does nothing else. [`printable`] escapes all others.
///
/// ```
/// assert!(api_keyring::is_printable('é') && !api_keyring::is_printable('\u{202e}'));
/// ```
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{2028}' | '\u{2029}' => false,
        c if c.is_control() => false,
        // `Debug` escapes every space but this crate shows them, because they are part of names in many languages.
        c if c.is_whitespace() => true,
        c => is_shown_by_debug(c),
    }
}

/// Returns whether `Debug` shows a character as it is.
///
/// The standard library escapes the Unicode categories Cc, Cf, Cn, Co, Cs, Zl, Zp and Zs. It knows more characters with
/// each version, so a new format character is escaped before and after that version. The letter in front keeps
/// combining marks, which are escaped only at the start of a text.
fn is_shown_by_debug(c: char) -> bool {
    let mut bytes = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut bytes[1..]).len();
    std::str::from_utf8(&bytes[..length]).is_ok_and(|text| text.escape_debug().count() == 2)
}

/// The beginnings of secrets, and how many characters follow at least.
const BEGINNINGS: [(&str, usize); 6] =
    [("sk_live_", 4), ("sk_test_", 4), ("rk_live_", 4), ("rk_test_", 4), ("sk_", 16), ("ep_", 16)];

/// Returns the first part of a text that has the form of a secret, or `None`.
///
/// A secret begins with `sk_`, `ep_` or the like, or is a JWT. Use this to refuse a secret in a place that is shown, sent
/// in a URL or kept, such as a name or an id. A secret of another form is not found.
///
/// ```
/// assert_eq!(api_keyring::find_secret("key=sk_live_0123456789abcdef"), Some("sk_live_0123456789abcdef"));
/// assert_eq!(api_keyring::find_secret("key_abc123"), None);
/// ```
pub fn find_secret(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(first) = bytes.get(at) {
        // Every secret begins with one of these letters, at the beginning of a word.
        if matches!(first, b's' | b'r' | b'e')
            && let Some(rest) = text.get(at..)
            && let Some(secret) = prefixed(rest).or_else(|| jwt(rest))
        {
            return Some(secret);
        }
        let is_in_word = |byte: &&u8| byte.is_ascii_alphanumeric();
        at += bytes[at..].iter().take_while(is_in_word).count() + 1;
    }
    None
}

/// Replaces every part of a text that has the form of a secret with `[REDACTED]`, as [`find_secret`] finds it.
///
/// ```
/// assert_eq!(api_keyring::redact_secrets("no key sk_live_0123456789abcdef"), "no key [REDACTED]");
/// ```
pub fn redact_secrets(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    // Each round removes a secret, and what replaces it is none.
    while let Some(secret) = find_secret(&shown) {
        shown = Cow::Owned(shown.replacen(secret, api_keyring_transport::REDACTED, 1));
    }
    shown
}

/// Returns the secret with a known beginning at the start of a text.
fn prefixed(text: &str) -> Option<&str> {
    BEGINNINGS.iter().find_map(|(start, least)| {
        let rest = text.strip_prefix(start)?;
        let length = rest.find(|c: char| !is_in_part(c)).unwrap_or(rest.len());
        (length >= *least).then(|| &text[..start.len() + length])
    })
}

/// Returns the JWT at the start of a text: three parts of base64, of which the first encodes an object.
fn jwt(text: &str) -> Option<&str> {
    if !text.starts_with("ey") {
        return None;
    }
    let word = &text[..text.find(|c: char| !is_in_part(c) && c != '.').unwrap_or(text.len())];
    let is_long_enough = word.split('.').take(3).filter(|part| part.len() >= 8).count() == 3;
    is_long_enough.then_some(word)
}

fn is_in_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use super::*;

    /// Unicode's control, format, private-use and separator characters, and its noncharacters.
    const COMMANDING: [(u32, u32); 33] = [
        (0x0, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xe000, 0xf8ff),
        (0xfdd0, 0xfdef),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0xfffe, 0xffff),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0x1fffe, 0x1ffff),
        (0x2fffe, 0x2ffff),
        (0x3fffe, 0x3ffff),
        (0x8fffe, 0x8ffff),
        (0xdfffe, 0xdffff),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
        (0xefffe, 0xf0000),
        (0xf0001, 0x10ffff),
    ];

    #[test]
    fn every_character_that_does_not_show_itself_is_escaped() {
        let commanding = COMMANDING.iter().flat_map(|(first, last)| *first..=*last).filter_map(char::from_u32);
        let mut escaped = 0;
        for c in commanding {
            assert!(!is_printable(c), "{c:?}");
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
            escaped += 1;
        }
        println!("{escaped} characters are escaped");
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' {
                assert!(is_printable(c), "{c:?}");
            }
            assert!(printable(&c.to_string()).chars().all(is_printable), "{c:?}");
        }
        for fine in ["e\u{301}", "日本\u{3000}語", "Jean\u{a0}5", "\\ \" '", "😀", "שלום"] {
            assert_eq!(printable(fine), fine);
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_is() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJhYmMifQ.c2lnbmF0dXJl-_";
        for secret in
            ["sk_live_0123", "sk_test_abcdefgh", "sk_0123456789abcdef", "ep_0123456789abcdefgh", "rk_live_12345", jwt]
        {
            for (before, after) in
                [("", ""), ("--", ""), ("file:", "#X"), ("a/", "/b"), ("x=", ""), ("my-", " x"), ("\"", "\"")]
            {
                let text = format!("{before}{secret}{after}");
                assert_eq!(find_secret(&text), Some(secret), "{text}");
                assert_eq!(
                    redact_secrets(&format!("{text} {text}")),
                    format!("{before}[REDACTED]{after} {before}[REDACTED]{after}")
                );
            }
        }
        for fine in [
            "",
            "1",
            "key_abc123",
            "sk_****1234",
            "sk_",
            "task_0123456789abcdef",
            "9f8c2e1a-0000-4000-8000-000000000000",
            "r-naf8p0qaubnvieq2",
            "role-reader",
            "eyes.are.open",
            "ey",
            "ep_abc123",
            "2030-01-31T00:00:00Z",
            "0123456789abcdef01",
        ] {
            assert_eq!(find_secret(fine), None, "{fine}");
        }
    }
}
