//! The rows of a list, which decode one by one.

use std::borrow::Cow;
use std::fmt;
use std::iter::Flatten;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};
use serde_json::value::RawValue;

use super::scan::{Items, list_start, next_value};
use super::{DecodeError, FromJson};

/// The rows of a list. A row that cannot be decoded hides no other.
///
/// Rows that are all as documented are decoded with the rest of the answer. Otherwise, or if there are very many, each row
/// stays JSON text until somebody reads it.
///
/// ```
/// use api_keyring_transport::Rows;
///
/// let rows: Rows<String> = serde_json::from_str(r#"["a", "\ud800", "c"]"#)?;
/// assert_eq!(rows.iter().map(|row| row.is_ok()).collect::<Vec<_>>(), [true, false, true]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Rows<T>(Source<T>);

#[derive(Clone)]
enum Source<T> {
    /// The JSON text of the list.
    Text(Box<str>),
    /// In parts, because a single list would be copied as it grows.
    Decoded(Vec<Vec<T>>),
}

/// The numbers of rows in the first part and in each other one.
const PARTS: (usize, usize) = (4, 32);

/// A row that was read: the row, or what is wrong with it.
type Row<T> = Result<T, DecodeError>;

impl<T> Rows<T> {
    /// Returns the JSON text of each row that has not been decoded yet.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let json = match &self.0 {
            Source::Text(json) => json,
            Source::Decoded(_) => "[]",
        };
        Items::of(json).into_iter().flatten()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Text(_) => self.texts().next().is_none(),
            Source::Decoded(parts) => parts.iter().all(Vec::is_empty),
        }
    }

    /// Counts the rows.
    pub fn count(&self) -> usize {
        match &self.0 {
            Source::Text(_) => self.texts().count(),
            Source::Decoded(parts) => parts.iter().map(Vec::len).sum(),
        }
    }

    /// Adds a row behind the decoded ones.
    pub(super) fn push(&mut self, row: T) {
        let Source::Decoded(parts) = &mut self.0 else { return };
        match parts.last_mut() {
            Some(part) if part.len() < part.capacity() => part.push(row),
            last => {
                let capacity = if last.is_none() { PARTS.0 } else { PARTS.1 };
                let mut part = Vec::with_capacity(capacity);
                part.push(row);
                parts.push(part);
            }
        }
    }
}

impl<T: FromJson + Clone> Rows<T> {
    /// Reads one row after the other.
    pub fn iter(&self) -> impl Iterator<Item = Row<Cow<'_, T>>> {
        let decoded = match &self.0 {
            Source::Text(_) => &[],
            Source::Decoded(parts) => parts.as_slice(),
        };
        let read = self.texts().map(|json| T::from_json(json).map(Cow::Owned));
        decoded.iter().flatten().map(|row| Ok(Cow::Borrowed(row))).chain(read)
    }
}

impl<T: FromJson> IntoIterator for Rows<T> {
    type Item = Row<T>;
    type IntoIter = IntoRows<T>;

    fn into_iter(self) -> IntoRows<T> {
        IntoRows(match self.0 {
            Source::Text(json) => Rest::Text { row: 0..list_start(&json), json },
            Source::Decoded(parts) => Rest::Decoded(parts.into_iter().flatten()),
        })
    }
}

/// Reads one row after the other.
#[derive(Debug)]
pub struct IntoRows<T>(Rest<T>);

enum Rest<T> {
    /// The JSON text of the list, and where in it the last row is.
    Text {
        json: Box<str>,
        row: Range<usize>,
    },
    Decoded(Flatten<std::vec::IntoIter<Vec<T>>>),
}

impl<T> IntoRows<T> {
    /// Returns the JSON text of the last row. `None` if the row was decoded with the rest of the answer.
    pub fn text(&self) -> Option<&str> {
        match &self.0 {
            Rest::Text { json, row } => json.get(row.clone()),
            Rest::Decoded(_) => None,
        }
    }
}

impl<T: FromJson> Iterator for IntoRows<T> {
    type Item = Row<T>;

    fn next(&mut self) -> Option<Row<T>> {
        match &mut self.0 {
            Rest::Text { json, row } => {
                *row = next_value(json.as_bytes(), row.end)?;
                json.get(row.clone()).map(T::from_json)
            }
            Rest::Decoded(rows) => rows.next().map(Ok),
        }
    }
}

/// Prints no row. The rows may hold anything.
impl<T> fmt::Debug for Rest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(rows: Vec<T>) -> Self {
        Self(Source::Decoded(vec![rows]))
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Source::Decoded(Vec::new()))
    }
}

/// Prints only the size. The rows may hold anything.
impl<T> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Text(json) => write!(f, "Rows({} bytes)", json.len()),
            Source::Decoded(_) => write!(f, "Rows({} rows)", self.count()),
        }
    }
}

impl<'de, T> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        match Items::of(&json) {
            Some(_) => Ok(Self(Source::Text(json))),
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
            list.serialize_element(&*row.map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}
