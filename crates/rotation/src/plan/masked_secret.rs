//! Comparing a secret with the masked form that a vendor shows.

use api_keyring::Secret;

/// The visible end of a masked secret: its last characters, which follow the hidden ones.
pub(crate) struct MaskedSecret<'a>(&'a str);

impl<'a> MaskedSecret<'a> {
    /// Reads a masked secret. Returns `None` if it shows too little to recognize a secret.
    pub(crate) fn parse(masked: &'a str) -> Option<Self> {
        let end = masked.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        // A vendor may show only the beginning of a secret. Such an end is not preceded by hidden characters.
        let follows_hidden =
            masked.strip_suffix(end).is_some_and(|rest| rest.ends_with(['*', '\u{2022}', '\u{2026}', '.']));
        (follows_hidden && end.len() >= 4).then_some(Self(end))
    }

    /// Returns whether this can be the masked form of `secret`.
    pub(crate) fn matches(&self, secret: &Secret) -> bool {
        secret.expose().trim_end().ends_with(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_end_of_a_masked_secret_identifies_the_secret() {
        let secret = "sk_live_0123456789abcdef1234".into();
        for (masked, expected) in [
            ("sk_****1234", Some(true)),
            ("sk_live_\u{2022}\u{2022}\u{2022}f1234", Some(true)),
            ("...1234", Some(true)),
            ("sk_****9999", Some(false)),
            ("\u{2026}9999", Some(false)),
            // These show too little.
            ("sk_live_0123****", None),
            ("sk_****99", None),
            ("hidden", None),
            ("sk_live_0123", None),
            ("****", None),
        ] {
            assert_eq!(MaskedSecret::parse(masked).map(|masked| masked.matches(&secret)), expected, "{masked}");
        }
    }
}
