//! The rows of a list, decoded one by one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};
use serde_json::value::RawValue;

use super::scan::Items;
use super::{DecodeError, FromJson};

/// The rows of a list. Each row stays JSON text until somebody reads it, so a row that cannot be decoded hides no other.
///
/// ```
/// use api_keyring_transport::Rows;
/// # use api_keyring_transport::json::{DecodeError, DecodeProblem, FromJson, JsonType};
/// # #[derive(Clone)] struct Key(String);
/// # impl FromJson for Key {
/// #     const FIELDS: &'static [&'static str] = &[];
/// #     fn from_json(json: &str) -> Result<Self, DecodeError> {
/// #         let error = DecodeError { field: None, problem: DecodeProblem::NotAnObject(JsonType::of(json)) };
/// #         serde_json::from_str(json).map(Self).map_err(|_| error)
/// #     }
/// # }
///
/// let rows: Rows<Key> = serde_json::from_str(r#"["a", "\ud800", "c"]"#)?;
/// assert_eq!(rows.iter().map(|row| row.is_ok()).collect::<Vec<_>>(), [true, false, true]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Rows<T>(Source<T>);

#[derive(Clone)]
enum Source<T> {
    /// What a service sent: the JSON text of the list.
    Received(Box<str>),
    /// What a program made, for a mock of a service.
    Made(Vec<T>),
}

impl<T> Rows<T> {
    /// Returns the size of the list's JSON text in bytes. 0 for rows that no service sent.
    pub fn size(&self) -> usize {
        match &self.0 {
            Source::Received(json) => json.len(),
            Source::Made(_) => 0,
        }
    }

    /// Returns the JSON text of each row that a service sent.
    pub fn raw(&self) -> impl Iterator<Item = &str> {
        let json = match &self.0 {
            Source::Received(json) => json,
            Source::Made(_) => "[]",
        };
        Items::of(json).into_iter().flatten()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Received(_) => self.raw().next().is_none(),
            Source::Made(rows) => rows.is_empty(),
        }
    }

    /// Counts the rows.
    pub fn count(&self) -> usize {
        match &self.0 {
            Source::Received(_) => self.raw().count(),
            Source::Made(rows) => rows.len(),
        }
    }
}

impl<T: FromJson + Clone> Rows<T> {
    /// Decodes one row after the other.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, DecodeError>> {
        let made = match &self.0 {
            Source::Received(_) => &[],
            Source::Made(rows) => rows.as_slice(),
        };
        self.raw().map(T::from_json).chain(made.iter().cloned().map(Ok))
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(rows: Vec<T>) -> Self {
        Self(Source::Made(rows))
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Source::Made(Vec::new()))
    }
}

/// Prints only the size. The rows may hold anything.
impl<T> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Received(json) => write!(f, "Rows({} bytes)", json.len()),
            Source::Made(rows) => write!(f, "Rows({} rows)", rows.len()),
        }
    }
}

impl<'de, T> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        match Items::of(&json) {
            Some(_) => Ok(Self(Source::Received(json))),
            None => Err(D::Error::custom("expected a list")),
        }
    }
}

/// Serializes each row as its type does, so that it refuses to write a secret by accident. A row that cannot be decoded
/// is an error.
impl<T: Serialize + FromJson + Clone> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for row in self.iter() {
            list.serialize_element(&row.map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}
