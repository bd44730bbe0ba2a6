//! Marks: random text in a key's name that finds the key when the answer to its create is lost.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key_ref;
use crate::{ApiKey, InvalidName};

/// Separates the mark from the name.
const SEPARATOR: &str = " ~";

/// The number of characters in a mark.
const LENGTH: usize = 16;

/// A mark: random text in a key's name that identifies the key when the answer to its create is lost.
///
/// The vendors have no idempotency keys, so you must not repeat a create whose outcome is unknown. With a mark you can
/// find out what happened: [`ProviderExt::resolve`](crate::ProviderExt::resolve) returns the keys that carry it.
///
/// A mark is not a secret, and nothing is derived from it.
///
/// ```
/// use api_keyring::{Mark, NewKey};
///
/// let mark = Mark::random();
/// let new = NewKey::new("ci").marked(&mark);
/// assert_eq!(new.name, format!("ci ~{mark}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(String);

impl Mark {
    /// Creates a new random mark.
    pub fn random() -> Self {
        // The generator takes its seed from the system. A mark must be unique, not hard to guess.
        let mut random = fastrand::Rng::new();
        Self((0..LENGTH).map(|_| random.digit(32)).collect())
    }

    /// Returns the mark as text: 16 characters from 0 to 9 and a to v.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a key carries this mark in its name or its description.
    pub fn is_on(&self, key: &ApiKey) -> bool {
        [key.name(), key.description()].into_iter().flatten().any(|text| text.contains(self.as_str()))
    }

    /// Appends this mark to a name, and replaces the mark that the name has.
    pub(crate) fn after(&self, name: &str) -> String {
        format!("{}{SEPARATOR}{self}", Self::unmarked(name))
    }

    /// Returns the mark at the end of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        name.rsplit_once(SEPARATOR)?.1.parse().ok()
    }

    /// Returns a name without the mark at its end.
    ///
    /// ```
    /// use api_keyring::Mark;
    ///
    /// assert_eq!(Mark::unmarked("ci ~0123456789abcdef"), "ci");
    /// assert_eq!(Mark::unmarked("ci ~home"), "ci ~home");
    /// ```
    pub fn unmarked(name: &str) -> &str {
        match name.rsplit_once(SEPARATOR) {
            Some((name, mark)) if mark.parse::<Self>().is_ok() => name,
            _ => name,
        }
    }
}

impl FromStr for Mark {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'));
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName::Mark) }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        key_ref::parse(deserializer)
    }
}
