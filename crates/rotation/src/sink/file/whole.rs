//! What a file of its own holds: one secret and nothing else, apart from what an editor adds.

use api_keyring::Secret;
use zeroize::Zeroizing;

use super::dotenv;

/// What some editors put at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A whole file's text: a byte order mark, a secret, line ends.
pub(super) struct Whole<'a> {
    start: &'a str,
    secret: &'a str,
    end: &'a str,
}

impl<'a> Whole<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let rest = text.trim_start_matches(BYTE_ORDER_MARK);
        let secret = rest.trim_end_matches(['\r', '\n']);
        Self { start: &text[..text.len() - rest.len()], secret, end: &rest[secret.len()..] }
    }

    /// Returns the secret; `None` if the file is empty.
    pub(super) fn secret(&self) -> Option<Secret> {
        (!self.secret.is_empty()).then(|| Secret::new(self.secret))
    }

    /// Returns the text with another secret. What an editor has added stays.
    pub(super) fn with(&self, secret: &Secret) -> Zeroizing<String> {
        // The text has its full size from the start, because a text that grows leaves copies of the secret in memory.
        let mut text = Zeroizing::new(String::with_capacity(self.start.len() + secret.expose().len() + self.end.len()));
        text.extend([self.start, secret.expose(), self.end]);
        text
    }

    /// Says why this is not one secret and nothing else; `None` if it is, or if the file is empty. The text continues a
    /// sentence that begins with the path.
    pub(super) fn problem(&self) -> Option<String> {
        let variable = dotenv::names(self.secret).next();
        // Base64 ends in =, so a single line is a setting only if something else follows that, or a name comes before it.
        let is_setting = self.secret.trim_end_matches('=').contains('=')
            || (self.secret.ends_with('=') && variable.is_some_and(|name| name.contains('_') && may_be_shown(name)));
        let is_one = Secret::new(self.secret).is_token() && !is_setting && !is_structured(self.secret);
        if self.secret.is_empty() || is_one {
            return None;
        }
        Some(match variable {
            Some(variable) => format!(
                "holds more than one secret, and would be replaced as a whole. Did you mean one of its variables, as in \
                 dotenv:PATH#{}?",
                if may_be_shown(variable) { variable } else { "VARIABLE" }
            ),
            None if self.secret.trim() != self.secret => {
                "holds a blank before or after the secret, which the secret's users may or may not take for a part of \
                 it. Remove the blank"
                    .to_owned()
            }
            None => "does not hold one secret and nothing else, and would be replaced as a whole. Name the file that \
                     holds only the secret"
                .to_owned(),
        })
    }
}

/// Returns whether a text is a list, a document, a comment, a pair or a URL, although it has no blank. The secrets of this
/// project's vendors have none of these characters.
fn is_structured(text: &str) -> bool {
    text.contains(|c: char| "\"'`,;<>{}[]():#@$|\\&?".contains(c))
}

/// Returns whether a text is surely a variable's name. Any other text before a = may be a part of a secret, and must
/// not be shown.
fn may_be_shown(variable: &str) -> bool {
    variable.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_token_apart_from_what_an_editor_adds() {
        for text in ["sk_1", "sk_1\n", "sk_1\r\n", "\u{feff}sk_1\n\n", "YWI==", "!~"] {
            let whole = Whole::of(text);
            assert_eq!(whole.problem(), None, "{text:?}");
            let secret = text.trim_matches(['\u{feff}', '\r', '\n']);
            assert_eq!(whole.secret().unwrap().expose(), secret);
            assert_eq!(*whole.with(&"new".into()), text.replace(secret, "new"));
        }
        for text in ["", "\n", "\u{feff}"] {
            assert_eq!((Whole::of(text).problem(), Whole::of(text).secret()), (None, None), "{text:?}");
        }
    }

    #[test]
    fn no_part_of_a_secret_is_shown() {
        for part in ["sk_live_0123456789abcdef", "Zm9vYmFy", "A1B2C3", "key"] {
            for text in [format!("{part}=rest"), format!("A B\n{part}=rest\n"), format!("export {part}='rest'")] {
                let problem = Whole::of(&text).problem().unwrap();
                assert!(problem.contains("dotenv:PATH#VARIABLE") && !problem.contains(part), "{text:?}: {problem}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, hint) in [
            ("A=1\nKEY=sk_1\n", "dotenv:PATH#A"),
            ("KEY=sk_1", "dotenv:PATH#KEY"),
            ("# c\nKEY=sk_1", "dotenv:PATH#KEY"),
            (r#"{"key":"sk_1"}"#, "holds only the secret"),
            ("sk_1,sk_2", "holds only the secret"),
            ("MONAD_API_KEY=", "dotenv:PATH#MONAD_API_KEY"),
            ("//registry.example/:_authToken=sk_1", "only the secret"),
            ("spartera.api-key=sk_1", "only the secret"),
            ("api-key=sk_1", "only the secret"),
            ("host:5432:db:user:sk_1", "only the secret"),
            ("user:$apr1$x", "only the secret"),
            ("#comment", "only the secret"),
            ("@file", "only the secret"),
            ("a|b", "only the secret"),
            ("key:sk_1", "only the secret"),
            ("https://user:sk_1@host/path", "holds only the secret"),
            ("sk_1 ", "Remove the blank"),
            (" sk_1\n", "Remove the blank"),
            ("\tsk_1", "Remove the blank"),
            ("sk_1\nsk_2", "only the secret"),
            ("sk_1\n\nx\n", "only the secret"),
            ("sk 1", "only the secret"),
            ("sk_\u{e4}", "only the secret"),
            ("sk_\u{200b}1", "only the secret"),
            ("sk_\u{1}", "only the secret"),
            ("{\n}", "only the secret"),
        ] {
            assert!(Whole::of(text).problem().is_some_and(|problem| problem.contains(hint)), "{text:?}");
        }
        assert!(Whole::of(&"x".repeat(5000)).problem().is_some());
    }
}
