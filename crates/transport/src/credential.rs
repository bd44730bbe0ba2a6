//! The credential that a client authenticates with.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use serde_json::Value;

use crate::json::lossy_text;
use crate::{REDACTED, Secret};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A secret and the header that carries it.
///
/// A clone is cheap. `Debug` shows the name of the header and never the secret.
///
/// ```
/// use api_keyring_transport::{Credential, Secret};
///
/// let credential = Credential::api_key(Secret::new("sk_live_123"))?;
/// assert_eq!(format!("{credential:?}"), r#"Credential("x-api-key": [REDACTED])"#);
/// assert!(Credential::api_key(Secret::new("sk_live_123\r\nx-admin: 1")).is_err());
/// # Ok::<(), api_keyring_transport::InvalidCredential>(())
/// ```
#[derive(Clone)]
pub struct Credential(Arc<Parts>);

struct Parts {
    header: HeaderName,
    // Marked as sensitive, so that neither HTTP/2 header compression nor any `Debug` shows it.
    value: HeaderValue,
    secret: Secret,
}

impl Credential {
    /// Makes a credential that sends an API key in the header `x-api-key`.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is empty or holds a character that is not visible ASCII. A line break would end
    /// the header and start another. The error does not repeat the secret.
    pub fn api_key(secret: impl Into<Secret>) -> Result<Self, InvalidCredential> {
        let secret = secret.into();
        Self::with_header(X_API_KEY, secret.expose().to_owned(), &secret)
    }

    /// Makes a credential that sends a bearer token, such as a JWT, in the header `Authorization`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`api_key`](Self::api_key).
    pub fn bearer(token: impl Into<Secret>) -> Result<Self, InvalidCredential> {
        let token = token.into();
        Self::with_header(AUTHORIZATION, format!("Bearer {}", token.expose()), &token)
    }

    fn with_header(header: HeaderName, text: String, secret: &Secret) -> Result<Self, InvalidCredential> {
        let text = zeroize::Zeroizing::new(text);
        let kind = if secret.is_empty() {
            InvalidCredential::Empty
        } else if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            InvalidCredential::NotVisibleAscii
        } else if let Ok(mut value) = HeaderValue::from_str(&text) {
            value.set_sensitive(true);
            return Ok(Self(Arc::new(Parts { header, value, secret: secret.clone() })));
        } else {
            InvalidCredential::NotVisibleAscii
        };
        Err(kind)
    }

    /// Returns the secret.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.0.header.clone(), self.0.value.clone());
    }

    /// Replaces the secret in a body from a server with `[REDACTED]`. Returns `None` if the body does not hold the
    /// secret.
    pub(crate) fn redact_in_body(&self, body: &[u8]) -> Option<Vec<u8>> {
        let secret = self.0.secret.expose();
        let is_verbatim = body.windows(secret.len()).any(|window| window == secret.as_bytes());
        // JSON may hold the secret in escaped form, so this searches the decoded texts.
        if (is_verbatim || body.contains(&b'\\'))
            && let Ok(mut value) = serde_json::from_slice(body)
        {
            return redact_in_value(&mut value, secret).then(|| value.to_string().into_bytes());
        }
        is_verbatim.then(|| replace(body, secret.as_bytes()))
    }

    /// Returns the start of a text, at most `length` bytes of it, with `[REDACTED]` in place of the secret.
    pub(crate) fn redact_in_start(&self, text: &str, length: usize) -> String {
        let secret = self.0.secret.expose();
        // A copy that begins in the start is whole in this part. An escape is up to six times as long as its character.
        let part = start(text, length.saturating_add(6 * secret.len()));
        let decoded = lossy_text(&format!("\"{part}\"")).map(Cow::into_owned).unwrap_or_default();
        // JSON may hold the secret in escaped form. Decoded, it also has the copies without escapes.
        let redacted = if decoded.contains(secret) { decoded.replace(secret, REDACTED) } else { part.to_owned() };
        start(&redacted, length).to_owned()
    }

    /// Replaces the value of every header that holds the secret with `[REDACTED]`.
    pub(crate) fn redact_in_headers(&self, headers: &mut HeaderMap) {
        let secret = self.0.secret.expose().as_bytes();
        for value in headers.values_mut() {
            if value.as_bytes().windows(secret.len()).any(|window| window == secret) {
                *value = HeaderValue::from_static(REDACTED);
            }
        }
    }
}

/// Returns the start of a text, at most `length` bytes of it.
pub(crate) fn start(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Redacts `secret` in every text of a value. Returns whether the value holds it.
fn redact_in_value(value: &mut Value, secret: &str) -> bool {
    match value {
        Value::String(text) if text.contains(secret) => {
            *text = text.replace(secret, REDACTED);
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| redact_in_value(item, secret) | found),
        Value::Object(fields) if fields.keys().any(|name| name.contains(secret)) => {
            *value = Value::String(REDACTED.to_owned());
            true
        }
        Value::Object(fields) => fields.values_mut().fold(false, |found, field| redact_in_value(field, secret) | found),
        _ => false,
    }
}

fn replace(body: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(secret) {
            redacted.extend_from_slice(REDACTED.as_bytes());
            rest = tail;
        } else {
            redacted.push(*first);
            rest = tail;
        }
    }
    redacted
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}: {})", self.0.header.as_str(), REDACTED)
    }
}

/// Why a text is not a valid credential. The error does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCredential {
    /// The secret is empty.
    Empty,
    /// The secret holds a space, a control character such as a line break, or a character outside ASCII.
    NotVisibleAscii,
}

impl fmt::Display for InvalidCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the credential is empty",
            Self::NotVisibleAscii => {
                "the credential holds a space, a line break or another character that is not visible ASCII; \
                 if it comes from a file, remove the line break at its end"
            }
        })
    }
}

impl std::error::Error for InvalidCredential {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_header_value_is_rejected_and_not_repeated() {
        for hostile in ["canary\r\nx-admin: 1", "canary\n", "canary\0", "canär", "can ary", "canary\u{7f}", "\tcanary"]
        {
            for made in [Credential::api_key(hostile), Credential::bearer(hostile)] {
                let error = made.unwrap_err();
                assert_eq!(error, InvalidCredential::NotVisibleAscii, "{hostile:?}");
                assert!(!format!("{error} {error:?}").contains("can"), "{error}");
            }
        }
        assert_eq!(Credential::api_key("").unwrap_err(), InvalidCredential::Empty);
        assert_eq!(Credential::bearer("").unwrap_err(), InvalidCredential::Empty);
    }

    #[test]
    fn the_header_is_marked_sensitive() {
        for credential in [Credential::api_key("canary").unwrap(), Credential::bearer("canary").unwrap()] {
            let mut headers = HeaderMap::new();
            credential.apply(&mut headers);
            assert!(headers.values().all(HeaderValue::is_sensitive));
            assert!(!format!("{headers:?} {credential:?}").contains("canary"));
        }
    }

    #[test]
    fn redaction_replaces_every_copy() {
        let credential = Credential::api_key("can/ary").unwrap();
        for text in ["x can/ary y", r"x can\/ary y", r"x can\u002fary y", r#"{"a": "can\/ary can/ary"}"#] {
            for length in 0..=text.len() + 1 {
                let shown = credential.redact_in_start(text, length);
                assert!(shown.len() <= length && !shown.contains("ary"), "{shown}");
            }
            assert!(credential.redact_in_start(text, 100).contains(REDACTED), "{text}");
        }
        assert_eq!(credential.redact_in_start(r#"{"a": "b\n"}"#, 100), r#"{"a": "b\n"}"#);
        for (body, redacted) in [
            ("can/ary and can/arycan/ary, not can", Some("[REDACTED] and [REDACTED][REDACTED], not can")),
            (r#"["x can/ary",{"a":"can\/ary"},1]"#, Some(r#"["x [REDACTED]",{"a":"[REDACTED]"},1]"#)),
            (r#"{"deep":{"can\u002fary":1}}"#, Some(r#"{"deep":"[REDACTED]"}"#)),
            ("can", None),
            ("", None),
            (r#"{"a":"\n"}"#, None),
        ] {
            assert_eq!(credential.redact_in_body(body.as_bytes()).as_deref(), redacted.map(str::as_bytes), "{body}");
        }
    }
}
