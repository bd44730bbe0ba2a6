//! Texts from outside, made harmless.

/// A text without the characters that do something other than show themselves: control characters, line separators, and
/// those that change the direction of the text around them. Each becomes `\u{fffd}`.
///
/// What a vendor or a user wrote must not command a terminal, nor break a line of a log.
///
/// ```
/// assert_eq!(api_keyring::printable("ci\u{1b}[2J"), "ci\u{fffd}[2J");
/// ```
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_commanding(c) { '\u{fffd}' } else { c }).collect()
}

fn is_commanding(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
