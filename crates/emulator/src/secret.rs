//! Makes secrets, and masks them in texts.

use fastrand::Rng;

use crate::url;

/// Returns random letters and digits.
pub(crate) fn random_text(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| rng.alphanumeric()).collect()
}

/// Returns a random UUID (version 4).
pub(crate) fn random_uuid(rng: &mut Rng) -> String {
    let bits = rng.u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 68) & 0xfff,
        0x8 | ((bits >> 66) & 0x3),
        (bits >> 54) & 0xfff,
        bits & 0xffff_ffff_ffff,
    )
}

/// The minimum length of a secret. A shorter text is not a secret.
const MIN_SECRET_LENGTH: usize = 20;

/// Returns whether [`redact`] recognizes `secret` as one of Spartera's secrets anywhere in a text.
pub(crate) fn is_recognizable(secret: &str) -> bool {
    let is_one_word = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_one_word && secret.len() >= MIN_SECRET_LENGTH && (secret.starts_with("sk_") || secret.starts_with("ep_"))
}

/// Masks a secret, except its start and its last four characters.
///
/// The visible part is enough to tell keys apart and too little to use one. `sk_live_…1234` becomes `sk_****1234`. A
/// text that is too short to be a secret is masked completely.
pub(crate) fn mask(secret: &str) -> String {
    match (secret.get(..3), secret.len().checked_sub(4).and_then(|at| secret.get(at..))) {
        (Some(start), Some(end)) if secret.len() >= MIN_SECRET_LENGTH => format!("{start}****{end}"),
        _ => "****".to_owned(),
    }
}

/// Masks every part of `text` that looks like a secret of either service.
///
/// A client may put a secret in the wrong place, such as a URL. The record of requests must not keep it.
pub(crate) fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_secret_char(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if looks_secret(word) {
            redacted.push_str(&mask(word));
        } else {
            redacted.push_str(word);
        }
        let next = tail.find(is_secret_char).unwrap_or(tail.len());
        let (between, tail) = tail.split_at(next);
        redacted.push_str(between);
        rest = tail;
    }
    redacted
}

fn is_secret_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%')
}

fn looks_secret(word: &str) -> bool {
    // A client may have encoded the secret more than once.
    let decoded = url::decode_fully(word);
    // The record keeps header names in lower case, so a secret in lower case counts too.
    let has_mark = |mark: &[u8]| decoded.windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark));
    decoded.len() >= MIN_SECRET_LENGTH && [b"sk_", b"ep_", b"eyj"].iter().any(|mark| has_mark(&mark[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_the_ends_of_a_secret_and_hides_a_short_text() {
        assert_eq!(mask("sk_live_abcdefghijklmnopqrstuvwxyz1234"), "sk_****1234");
        assert_eq!(mask("hunter2"), "****");
        assert_eq!(mask(""), "****");
        assert_eq!(mask("ééééééééééééééééééééé"), "****");
    }

    #[test]
    fn secrets_are_masked_anywhere_in_a_text() {
        assert_eq!(
            redact("/companies/c/api-keys?key=sk_live_abcdefghijklmnopqrstuvwxyz1234&page=1"),
            "/companies/c/api-keys?key=sk_****1234&page=1",
        );
        assert_eq!(redact("/api/v2/eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl/api_keys"), "/api/v2/eyJ****dXJl/api_keys");
        assert_eq!(redact("/a?key=sk%5Flive%5Fabcdefghijklmnopqrstuvwxyz1234"), "/a?key=sk%****1234");
        assert_eq!(
            redact("sk%25255Flive_abcdefghijklmnopqrstuvwxyz1234"),
            "sk%****1234",
            "the secret is encoded three times"
        );
        let broken = "/a?key=sk%5Flive%5Fabcdefghijklmnopqrstuvwxyz1234%zz";
        assert_eq!(redact(broken), "/a?key=sk%****4%zz", "one part of the secret does not decode");
        assert_eq!(redact("sk_live_abcdefghijklmnopqrstuvwxyz1234".to_ascii_lowercase().as_str()), "sk_****1234");
        assert_eq!(redact("/companies/c/api-keys/42?search=%C3%A9é"), "/companies/c/api-keys/42?search=%C3%A9é");
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..100 {
            let uuid = random_uuid(&mut rng);
            assert_eq!(uuid.len(), 36, "{uuid}");
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }
}
