//! The names of keys: the id at the vendor, and the provider's name together with the id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::text::find_secret;

/// A key's id at its vendor.
///
/// An id is safe in a URL path. It has 1 to 255 letters, digits, `-`, `_`, `.` and `~`, and does not start with a dot.
/// It does not look like a secret, because ids are shown and logged. A vendor may be stricter.
///
/// ```
/// use api_keyring::KeyId;
///
/// assert_eq!("key_abc123".parse::<KeyId>()?.as_str(), "key_abc123");
/// assert!("..".parse::<KeyId>().is_err());
/// # Ok::<(), api_keyring::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Creates an id from a number.
    #[cfg(any(feature = "memory", feature = "conformance"))]
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number.to_string())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidName;

    fn from_str(id: &str) -> Result<Self, InvalidName> {
        check_id(id).map(|()| Self(id.to_owned()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidName;

    fn try_from(id: String) -> Result<Self, InvalidName> {
        check_id(&id).map(|()| Self(id))
    }
}

fn check_id(id: &str) -> Result<(), InvalidName> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b'.' | b'~');
    // Without an early exit, the compiler looks at many bytes at once.
    let is_safe = id.bytes().fold(true, |all, byte| all & safe(byte));
    if id.is_empty() || id.len() > 255 || id.starts_with('.') || !is_safe {
        return Err(InvalidName::KeyId);
    }
    if find_secret(id).is_some() { Err(InvalidName::Secret) } else { Ok(()) }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer)
    }
}

/// A key's full name, `PROVIDER/ID`: the provider's name in a [`Keyring`](crate::Keyring), and the key's id there.
///
/// ```
/// use api_keyring::KeyRef;
///
/// let key: KeyRef = "siem/key_abc123".parse()?;
/// assert_eq!((key.provider(), key.id().as_str()), ("siem", "key_abc123"));
/// assert_eq!(key.to_string(), "siem/key_abc123");
/// # Ok::<(), api_keyring::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRef {
    provider: String,
    id: KeyId,
}

impl KeyRef {
    /// Creates a key's full name.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Provider`] if `provider` is not a valid provider name.
    pub fn new(provider: &str, id: KeyId) -> Result<Self, InvalidName> {
        check_provider_name(provider)?;
        Ok(Self { provider: provider.to_owned(), id })
    }

    /// Returns the provider's name.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the key's id at the provider.
    pub fn id(&self) -> &KeyId {
        &self.id
    }
}

impl FromStr for KeyRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let other = if find_secret(text).is_some() { InvalidName::Secret } else { InvalidName::KeyRef };
        let (provider, id) = text.split_once('/').ok_or(other)?;
        Self::new(provider, id.parse()?)
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)
    }
}

impl Serialize for KeyRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer)
    }
}

/// Deserializes a name with the same checks as `FromStr`.
pub(crate) fn parse<'de, D: Deserializer<'de>, T: FromStr<Err = InvalidName>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// Checks a provider's name. A key's full name starts with it, so it must not contain a slash.
pub(crate) fn check_provider_name(name: &str) -> Result<(), InvalidName> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(safe) {
        return Err(InvalidName::Provider);
    }
    if find_secret(name).is_some() { Err(InvalidName::Secret) } else { Ok(()) }
}

/// The reason why a name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidName {
    /// The text does not have the form `PROVIDER/ID`.
    KeyRef,
    /// The text is not a valid key id.
    KeyId,
    /// The text is not a valid provider name.
    Provider,
    /// The text is not a valid mark.
    Mark,
    /// The text looks like a secret, and must not be shown or logged.
    Secret,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyRef => "a key's full name is PROVIDER/ID, such as siem/key_abc123",
            Self::KeyId => {
                "a key's id has 1 to 255 characters: letters, digits, '-', '_', '.' and '~', and does not start with '.'"
            }
            Self::Secret => "this looks like a secret, not like a key's id or a provider's name. Keep it out of arguments and logs",
            Self::Mark => "a mark has 16 characters from 0 to 9 and a to v",
            Self::Provider => "a provider's name has 1 to 64 characters: letters, digits, '-' and '_'",
        })
    }
}

impl std::error::Error for InvalidName {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_path_are_rejected() {
        let long = "a".repeat(300);
        for hostile in ["", ".", "..", "a/b", "%2e%2e", "a\0", "a\r\n", "é", "a b", "?x", "#x", ".hidden", &long] {
            assert_eq!(hostile.parse::<KeyId>(), Err(InvalidName::KeyId), "{hostile:?}");
            assert!(format!("spartera/{hostile}").parse::<KeyRef>().is_err(), "{hostile:?}");
        }
        for fine in ["1", "key_abc123", "9f8c2e1a-0000-4000-8000-000000000000", "a.b~c", &"a".repeat(255)] {
            assert_eq!(fine.parse::<KeyId>().map(|id| id.to_string()).as_deref(), Ok(fine));
        }
    }

    #[test]
    fn a_secret_is_refused_as_a_name_and_not_repeated() {
        let canary = "sk_live_canary_0123456789abcdef";
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJhYmMifQ.canary-signature";
        for secret in [canary, jwt] {
            assert_eq!(secret.parse::<KeyId>(), Err(InvalidName::Secret));
            for key in [secret.to_owned(), format!("spartera/{secret}"), format!("{secret}/1")] {
                let why = key.parse::<KeyRef>().unwrap_err();
                assert!(!format!("{why} {why:?}").contains("canary"), "{why}");
                assert!(
                    serde_json::from_value::<KeyRef>(key.into()).is_err_and(|why| !why.to_string().contains("canary"))
                );
            }
        }
        assert_eq!(canary.parse::<KeyRef>(), Err(InvalidName::Secret));
        assert_eq!(check_provider_name(canary), Err(InvalidName::Secret));
    }

    #[test]
    fn a_key_ref_survives_its_round_trip() {
        for text in ["spartera/1", "my-siem_2/key_abc123"] {
            assert_eq!(text.parse::<KeyRef>().map(|key| key.to_string()).as_deref(), Ok(text));
            let json = serde_json::json!(text);
            let key: KeyRef = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(&key).unwrap(), json);
        }
        for hostile in ["spartera/..", "spartera", "a b/1"] {
            assert!(serde_json::from_value::<KeyRef>(hostile.into()).is_err(), "{hostile}");
            assert!(serde_json::from_value::<KeyId>("..".into()).is_err());
        }
        for (text, why) in [
            ("spartera", InvalidName::KeyRef),
            ("/1", InvalidName::Provider),
            ("a b/1", InvalidName::Provider),
            ("spartera/", InvalidName::KeyId),
            ("spartera/1/2", InvalidName::KeyId),
        ] {
            assert_eq!(text.parse::<KeyRef>(), Err(why), "{text}");
        }
    }
}
