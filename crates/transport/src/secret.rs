//! Values that no program prints, logs or serializes by accident.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};
use zeroize::Zeroizing;

/// The text that replaces a secret in every printed form.
pub const REDACTED: &str = "[REDACTED]";

/// The maximum number of characters in a [token](Secret::is_token). Servers refuse longer headers.
pub const MAX_TOKEN: usize = 4096;

/// A confidential text: an API key, a token, or a body that may hold one.
///
/// - Dropping it wipes its memory.
/// - `Debug` prints `[REDACTED]`. It does not implement `Display`.
/// - A comparison takes the same time wherever two secrets of equal length differ.
/// - Only [`expose`](Self::expose) returns the text, so a reviewer finds every use.
///
/// `Serialize` exists because generated types derive it. It returns an error, except inside [`exposed_json`].
///
/// ```
/// use api_keyring_transport::Secret;
///
/// let secret = Secret::new("sk_live_123");
/// assert_eq!(format!("{secret:?}"), "[REDACTED]");
/// assert_eq!(secret.expose(), "sk_live_123");
/// assert!(serde_json::to_string(&secret).is_err());
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text. It does not wipe other copies that the caller has.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// Returns the text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an HTTP header can carry the secret: it has at least one and at most [`MAX_TOKEN`] characters, and
    /// all of them are visible ASCII.
    ///
    /// ```
    /// use api_keyring_transport::Secret;
    ///
    /// assert!(Secret::new("sk_live_123").is_token());
    /// assert!(!Secret::new("").is_token());
    /// assert!(!Secret::new("sk_live_123\nLD_PRELOAD=/tmp/x.so").is_token());
    /// ```
    pub fn is_token(&self) -> bool {
        let length = 1..=MAX_TOKEN;
        length.contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// Returns whether this is a masked secret, such as `sk_****1234`.
    ///
    /// A masked secret has at least three stars in a row and at most twelve other characters, all of them visible
    /// ASCII.
    pub fn is_masked(&self) -> bool {
        let (mut others, mut stars, mut most_stars) = (0, 0, 0);
        for byte in self.0.bytes() {
            match byte {
                b'*' => {
                    stars += 1;
                    most_stars = stars.max(most_stars);
                }
                _ if byte.is_ascii_graphic() && others < 12 => (others, stars) = (others + 1, 0),
                _ => return false,
            }
        }
        most_stars >= 3
    }

    /// Returns the [masked](Self::masked) form. It does not copy a secret that is masked already.
    pub fn into_masked(mut self) -> String {
        if self.is_masked() { std::mem::take(&mut *self.0) } else { self.masked() }
    }

    /// Returns a masked form that identifies the secret without revealing it: `sk_****1234` for `sk_live_…1234`.
    ///
    /// The masked form keeps a short prefix, up to its underscore, and the last four characters. It does so only if it
    /// hides at least sixteen others; a shorter secret becomes `****`. A secret that already
    /// [is masked](Self::is_masked) stays the same.
    ///
    /// ```
    /// use api_keyring_transport::Secret;
    ///
    /// assert_eq!(Secret::new("sk_live_0123456789abcdef1234").masked(), "sk_****1234");
    /// assert_eq!(Secret::new("hunter2").masked(), "****");
    /// assert_eq!(Secret::new("sk_****1234").masked(), "sk_****1234");
    /// ```
    pub fn masked(&self) -> String {
        let text = self.expose();
        if self.is_masked() {
            return text.to_owned();
        }
        let prefix = match text.find('_') {
            Some(end) if end <= 3 && text.is_char_boundary(end + 1) => &text[..=end],
            _ => "",
        };
        let length = text.chars().count();
        if length < prefix.len() + 4 + 16 {
            return "****".to_owned();
        }
        let tail: String = text.chars().skip(length - 4).collect();
        format!("{prefix}****{tail}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

/// Compares two secrets in a time that depends only on their lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        let differing = a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y));
        a.len() == b.len() && std::hint::black_box(differing) == 0
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ensure_exposed()?;
        serializer.serialize_str(self.expose())
    }
}

thread_local! {
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn ensure_exposed<E: serde::ser::Error>() -> Result<(), E> {
    if EXPOSED.get() {
        Ok(())
    } else {
        // A redacted text in a caller's file would silently lose the key, so this fails instead.
        Err(E::custom("a secret cannot be serialized; call expose() or exposed_json() to serialize it on purpose"))
    }
}

/// Returns the JSON of a value with its secrets in plain text.
///
/// Typed mocks of a service need this. Do not store what it returns.
///
/// # Errors
///
/// Returns an error if the value's own `Serialize` fails. The error does not repeat the value.
pub fn exposed_json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<serde_json::Value> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPOSED.set(self.0);
        }
    }
    let _restore = Restore(EXPOSED.replace(true));
    serde_json::to_value(value).map_err(|_| serde_json::Error::custom("cannot write the value as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_serialized_only_inside_exposed_json() {
        let secret = Secret::new("canary");
        assert_eq!(exposed_json(&secret).ok(), Some(serde_json::json!("canary")));
        assert!(serde_json::to_value(&secret).is_err());
        assert_eq!(format!("{secret:?}"), "[REDACTED]");
    }

    #[test]
    fn a_secret_wipes_itself() {
        fn assert_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        assert_wiped(&Secret::new("canary").0);
    }

    #[test]
    fn equality_compares_every_byte() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        assert_ne!(Secret::new("abc"), Secret::new("abd"));
        assert_ne!(Secret::new("abc"), Secret::new("abcd"));
        assert_ne!(Secret::new(""), Secret::new("a"));
    }

    #[test]
    fn a_mask_hides_all_but_the_ends() {
        assert_eq!(Secret::new("ep_0123456789abcdefghij").masked(), "ep_****ghij");
        assert_eq!(Secret::new("eyJhbGciOi.eyJzdWIiOiI.c2lnbmF0dXJl").masked(), "****dXJl");
        assert_eq!(Secret::new("sk_0123456789abcde1234").masked(), "****");
        assert_eq!(Secret::new("").masked(), "****");
        assert_eq!(Secret::new("ünïcödé-sëcrët-wïth-ümläuts").masked(), "****äuts");
        // A text with stars that shows many other characters is not masked.
        assert_eq!(Secret::new("sk_*0123456789abcdef0123456789abcdef").masked(), "sk_****cdef");
        assert_eq!(Secret::new("sk_live_ab***0123456789").masked(), "sk_****6789");
        assert!(Secret::new("sk_live_****1234").is_masked());
    }
}
