//! Keeps secrets out of arguments, and out of messages about arguments.
//!
//! Other programs on the machine see the arguments of a process, and shells keep them in their history.

use std::borrow::Cow;
use std::ffi::OsString;

use api_keyring::{Secret, find_secret, redact_secrets};

use crate::failure::{Failure, Result};

/// What replaces a secret in a message.
const REDACTED: &str = "[REDACTED]";

/// The length of the shortest credential that counts in an argument. A shorter one may be a part of any word.
const LEAST_CREDENTIAL: usize = 8;

/// The length from which a word with mixed characters may be a secret of an unknown form.
const LEAST_TOKEN: usize = 20;

/// Refuses arguments that hold a secret: one of a known form, or one of these credentials.
pub(crate) fn refuse_in_arguments(arguments: &[OsString], credentials: &[Secret]) -> Result {
    let holds_secret = |argument: &OsString| {
        let text = argument.to_string_lossy();
        let is_credential =
            |secret: &Secret| secret.expose().len() >= LEAST_CREDENTIAL && text.contains(secret.expose());
        find_secret(&text).is_some_and(|secret| !is_path(&text) || is_random(secret))
            || credentials.iter().any(is_credential)
    };
    match arguments.iter().skip(1).position(holds_secret) {
        None => Ok(()),
        Some(at) => Err(Failure::Usage(format!(
            "argument {} looks like a secret, so nothing was done. Other programs see arguments, and shells keep them: \
             name keys by their ids, which `api-keyring list` shows, and put your own credential into the environment \
             or a file, as `api-keyring --help` says. If the secret is in use, rotate its key",
            at + 1
        ))),
    }
}

/// Returns whether a text may be a path. A file may have the name of a key, which begins like one.
fn is_path(text: &str) -> bool {
    text.contains(['/', '\\', '.', ':'])
}

/// Returns whether a part of a secret is long, and not a word.
fn is_random(secret: &str) -> bool {
    secret.split(['_', '.', '-']).any(|part| part.len() >= 12 && !part.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Replaces every part of a line that is surely a secret. A part that may belong to a path stays.
pub(crate) fn redact_random(line: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(secret) = find_secret(rest)
        && let Some(at) = rest.find(secret)
    {
        let part = if is_random(secret) { REDACTED } else { secret };
        shown.extend([&rest[..at], part]);
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == line.len() { Cow::Borrowed(line) } else { Cow::Owned(shown + rest) }
}

/// Replaces every word that may be a secret, of a known form or not, for a message that repeats an argument.
pub(crate) fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in redact_secrets(text).split_inclusive(|c: char| !is_in_token(c)) {
        let token = word.trim_end_matches(|c: char| !is_in_token(c));
        match is_token(token) {
            true => shown.extend([REDACTED, &word[token.len()..]]),
            false => shown.push_str(word),
        }
    }
    shown
}

fn is_in_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~+=".contains(c)
}

/// Returns whether a word is long, and mixes letters with digits, or small letters with capitals.
fn is_token(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let kinds = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase].map(has);
    word.len() >= LEAST_TOKEN && kinds.iter().filter(|kind| **kind).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(argument: &str) -> bool {
        let arguments = ["api-keyring".into(), "get".into(), OsString::from(argument)];
        refuse_in_arguments(&arguments, &["hunter2-hunter2".into(), "short".into()]).is_err()
    }

    #[test]
    fn an_argument_that_holds_a_secret_is_refused() {
        for secret in
            ["sk_live_0123456789abcdef", "sk_test_abcd", "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "hunter2-hunter2"]
        {
            for argument in [secret.to_owned(), format!("--{secret}"), format!("--name={secret}")] {
                assert!(is_refused(&argument), "{argument}");
            }
        }
        for argument in
            ["file:sk_live_0123456789abcdef", "spartera/sk_live_0123456789abcdef", "file:/x/hunter2-hunter2"]
        {
            assert!(is_refused(argument), "{argument}");
        }
        for fine in ["file:/run/secrets/sk_live_ci", "spartera/1002", "key_abc123", "short", "r-naf8p0qaubnvieq2", "5m"]
        {
            assert!(!is_refused(fine), "{fine}");
        }
    }

    #[test]
    fn a_message_repeats_no_word_that_may_be_a_secret() {
        let token = "Zm9vYmFyQkFSZm9vNDI0MjQyNDI=";
        for (text, shown) in [
            (format!("'{token}'"), "'[REDACTED]'"),
            (format!("--{token}"), "[REDACTED]"),
            (format!("spartera/{token} {token}"), "spartera/[REDACTED] [REDACTED]"),
            ("0123456789abcdef0123456789abcdef".to_owned(), "[REDACTED]"),
            ("'sk_live_abcd'".to_owned(), "'[REDACTED]'"),
            (
                "--expiring-within 2030-01-31T00:00:00Z r-naf8p0qaubnvieq2".to_owned(),
                "--expiring-within 2030-01-31T00:00:00Z r-naf8p0qaubnvieq2",
            ),
            ("é 日本 /etc/keys/ci.key".to_owned(), "é 日本 /etc/keys/ci.key"),
        ] {
            assert_eq!(redact(&text), shown);
        }
    }

    #[test]
    fn a_line_shows_no_secret_but_shows_paths() {
        for (line, shown) in [
            ("a sk_live_0123456789abcdef, b sk_test_0123456789abcdef.", "a [REDACTED], b [REDACTED]."),
            ("resume r-1 --journal /keys/sk_live_journal", "resume r-1 --journal /keys/sk_live_journal"),
            (
                "string \"eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJhYmMifQ.c2lnbmF0dXJl\", expected",
                "string \"[REDACTED]\", expected",
            ),
            ("/sk_live_ci and sk_live_0123456789abcdef", "/sk_live_ci and [REDACTED]"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redact_random(line), shown);
        }
    }
}
