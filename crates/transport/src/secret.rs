//! Values that must not be printed, logged or serialized by accident.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// What stands in for a secret wherever a value is printed.
pub const REDACTED: &str = "[REDACTED]";

/// A text that must not be seen: an API key, a token, a body that may hold one.
///
/// Its memory is wiped when it is dropped, `Debug` prints `[REDACTED]`, there is no `Display`, and comparing two secrets
/// takes the same time wherever they differ. [`expose`](Self::expose) is the one way to read it, easy to find in a review.
///
/// `Serialize` exists because generated types derive it, and refuses: a secret is serialized only inside
/// [`exposed_json`].
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
    /// Wraps a text. The caller's own copies of it, if any, stay the caller's to wipe.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is no secret but a mask of one, such as `sk_****1234`: at least three stars in a row, and no more than
    /// twelve other characters, all of them visible.
    pub fn is_masked(&self) -> bool {
        let text = self.expose();
        text.contains("***")
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.bytes().filter(|byte| *byte != b'*').count() <= 12
    }

    /// A form that tells secrets apart without giving them away: `sk_****1234` for `sk_live_…1234`.
    ///
    /// A known kind of prefix (up to its first underscore) and the last four characters stay, and only where at least
    /// sixteen others are hidden; a shorter secret becomes `****`. What [is masked](Self::is_masked) already stays as it
    /// is.
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

/// Compares in a time that depends on the lengths alone.
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
        only_when_exposed()?;
        serializer.serialize_str(self.expose())
    }
}

/// Any JSON value that may be, or contain, a secret: what a vendor answers in a field that no documentation names.
///
/// Handled like [`Secret`]: printed as `[REDACTED]`, wiped when dropped, serialized only inside [`exposed_json`].
#[derive(Clone, PartialEq)]
pub struct SecretValue(serde_json::Value);

impl SecretValue {
    /// Wraps a value.
    pub fn new(value: serde_json::Value) -> Self {
        Self(value)
    }

    /// The value itself.
    pub fn expose(&self) -> &serde_json::Value {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self)
    }
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        only_when_exposed()?;
        self.0.serialize(serializer)
    }
}

thread_local! {
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

fn only_when_exposed<E: serde::ser::Error>() -> Result<(), E> {
    if EXPOSED.get() {
        Ok(())
    } else {
        // Redacting here instead would write a useless key into the caller's file without a word.
        Err(E::custom("a secret is not serialized by accident: call expose() or exposed_json()"))
    }
}

/// The JSON of a value with its secrets in plain text: for typed mocks of a service, and for nothing that is kept.
///
/// # Errors
///
/// Whatever the value's own `Serialize` fails with.
pub fn exposed_json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<serde_json::Value> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPOSED.set(self.0);
        }
    }
    let _restore = Restore(EXPOSED.replace(true));
    serde_json::to_value(value).map_err(|_| serde_json::Error::custom("the value cannot be written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposing_ends_with_the_call() {
        let secret = Secret::new("canary");
        assert_eq!(exposed_json(&secret).ok(), Some(serde_json::json!("canary")));
        assert!(serde_json::to_value(&secret).is_err());
        let value = SecretValue::new(serde_json::json!({"nested": ["canary"]}));
        assert_eq!(exposed_json(&value).ok().as_ref(), Some(value.expose()));
        assert!(serde_json::to_value(&value).is_err());
        assert_eq!(format!("{value:?} {secret:?}"), "[REDACTED] [REDACTED]");
    }

    #[test]
    fn equality_looks_at_every_byte() {
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
        // Stars do not make a mask of a text that shows a lot.
        assert_eq!(Secret::new("sk_*0123456789abcdef0123456789abcdef").masked(), "sk_****cdef");
        assert_eq!(Secret::new("sk_live_ab***0123456789").masked(), "sk_****6789");
        assert!(Secret::new("sk_live_****1234").is_masked());
    }
}
