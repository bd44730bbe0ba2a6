//! Safe display of text that comes from outside.

/// Replaces every character that would control the output instead of showing itself with `\u{fffd}`.
///
/// These are control characters, line separators, and characters that change the text direction. Text from a vendor or
/// a user must not control a terminal or break a line of a log.
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
