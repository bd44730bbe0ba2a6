//! Finding a key again whose create was never answered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key_ref;
use crate::{ApiKey, InvalidName};

/// What stands between a name and a mark.
const SEPARATOR: &str = " ~";

/// How many characters a mark has.
const LENGTH: usize = 16;

/// A lineage mark: random text in a key's name, by which the key is found again when the answer to its create was lost.
///
/// The vendors have no idempotency keys, so a create must not be sent again when nobody knows what became of it. With a
/// mark it can be found out: [`ProviderExt::resolve`](crate::ProviderExt::resolve) lists what exists under it.
///
/// A mark is no secret, and nothing is derived from one.
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
    /// A mark that nobody else has.
    pub fn random() -> Self {
        // Seeded by the system; nothing has to be hard to guess here.
        let mut random = fastrand::Rng::new();
        Self((0..LENGTH).map(|_| random.digit(32)).collect())
    }

    /// The mark as text: 16 characters, 0 to 9 and a to v.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key carries this mark, in its name or its description.
    pub fn is_on(&self, key: &ApiKey) -> bool {
        [key.name(), key.description()].into_iter().flatten().any(|text| text.contains(self.as_str()))
    }

    /// A name, and this mark after it.
    pub(crate) fn after(&self, name: &str) -> String {
        format!("{}{SEPARATOR}{self}", Self::unmarked(name))
    }

    /// The mark that a name ends with, if it does.
    pub fn of_name(name: &str) -> Option<Self> {
        name.rsplit_once(SEPARATOR)?.1.parse().ok()
    }

    /// A name without the mark that it ends with, if it does.
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
