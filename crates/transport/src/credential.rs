//! What a client authenticates with.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::Secret;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A secret and the header that carries it.
///
/// Cheap to clone. `Debug` names the header and never the secret.
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
pub struct Credential {
    header: HeaderName,
    // Marked sensitive, so that neither HTTP/2 header compression nor any `Debug` shows it.
    value: HeaderValue,
    secret: Secret,
}

impl Credential {
    /// An API key, sent in the header `x-api-key`.
    ///
    /// # Errors
    ///
    /// When the secret is empty, or holds anything but visible ASCII: a line break would end the header and start
    /// another. The error does not repeat the secret.
    pub fn api_key(secret: impl Into<Secret>) -> Result<Self, InvalidCredential> {
        let secret = secret.into();
        Self::with_header(X_API_KEY, secret.expose().to_owned(), &secret)
    }

    /// A bearer token, such as a JWT, sent in the header `Authorization`.
    ///
    /// # Errors
    ///
    /// As [`api_key`](Self::api_key).
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
            return Ok(Self { header, value, secret: secret.clone() });
        } else {
            InvalidCredential::NotVisibleAscii
        };
        Err(kind)
    }

    /// The secret that is sent.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.value.clone());
    }

    /// Takes the credential out of a text that a server sent, in case the server repeats it there.
    pub(crate) fn scrub(&self, body: &mut Vec<u8>) {
        let secret = self.secret.expose().as_bytes();
        let mut from = 0;
        while let Some(at) = body[from..].windows(secret.len()).position(|window| window == secret) {
            let start = from + at;
            body.splice(start..start + secret.len(), crate::REDACTED.bytes());
            from = start + crate::REDACTED.len();
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}: {})", self.header.as_str(), crate::REDACTED)
    }
}

/// Why a credential was refused when it was made. It does not repeat the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCredential {
    /// There is no secret.
    Empty,
    /// The secret holds a space, a control character such as a line break, or something that is not ASCII.
    NotVisibleAscii,
}

impl fmt::Display for InvalidCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the credential is empty",
            Self::NotVisibleAscii => {
                "the credential holds a space, a line break or another character that is not visible ASCII; \
                 was it read from a file with its line ending?"
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
    fn what_cannot_be_a_header_is_refused_and_not_repeated() {
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
    fn scrubbing_takes_out_every_copy() {
        let credential = Credential::api_key("canary").unwrap();
        let mut body = b"canary and canarycanary, not canar".to_vec();
        credential.scrub(&mut body);
        assert_eq!(body, b"[REDACTED] and [REDACTED][REDACTED], not canar");
        let mut short = b"can".to_vec();
        credential.scrub(&mut short);
        assert_eq!(short, b"can");
    }
}
