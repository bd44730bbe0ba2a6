//! Decodes a whole value in one pass, if every part of it has the documented form.
//!
//! This is the usual case, and costs what serde's own structs cost. Anything odd is an error here, and [`FromJson`] then
//! decodes the value part by part, so that the odd part costs only itself.
//!
//! [`FromJson`]: super::FromJson

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::{RawJson, Rows};
use crate::{Secret, Timestamp};

/// The number of rows that are decoded at once. A decoded row takes more memory than its text, so a longer list is
/// decoded row by row.
const MAX_ROWS: usize = 1000;

/// A type that can be decoded in one pass. A success has the same value as [`FromJson`](super::FromJson) returns.
pub trait AtOnce<'de>: Sized {
    /// Decodes a value whose every part has the documented form.
    ///
    /// # Errors
    ///
    /// If any part has another form, or if the value has to be decoded part by part for another reason.
    fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Deserializes a value at once.
#[derive(Debug)]
pub struct Whole<T>(pub T);

impl<'de, T: AtOnce<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::at_once(deserializer).map(Self)
    }
}

/// Decodes values that have no parts as serde does.
macro_rules! as_serde_does {
    ($($type:ty),*) => {
        $(impl<'de> AtOnce<'de> for $type {
            fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }
        })*
    };
}

as_serde_does!(String, bool, i64, f64, Timestamp, Secret, RawJson, serde_json::Value);

impl<'de, T: AtOnce<'de>> AtOnce<'de> for Option<T> {
    fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(value)| value))
    }
}

impl<'de, T: AtOnce<'de>> AtOnce<'de> for Vec<T> {
    fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Whole<T>>::deserialize(deserializer)?.into_iter().map(|Whole(value)| value).collect())
    }
}

impl<'de, T: AtOnce<'de>> AtOnce<'de> for BTreeMap<String, T> {
    fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Whole<T>>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(name, Whole(value))| (name, value)).collect())
    }
}

impl<'de, T: AtOnce<'de>> AtOnce<'de> for Rows<T> {
    fn at_once<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

struct RowsVisitor<T>(PhantomData<T>);

impl<'de, T: AtOnce<'de>> Visitor<'de> for RowsVisitor<T> {
    type Value = Rows<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows<T>, A::Error> {
        let (mut rows, mut count) = (Rows::default(), 0);
        while let Some(Whole(row)) = list.next_element()? {
            if count == MAX_ROWS {
                return Err(A::Error::custom("too many rows to decode at once"));
            }
            rows.push(row);
            count += 1;
        }
        Ok(rows)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::RawFields;
    use crate::json::FromJson as _;

    #[derive(Clone, Debug, serde::Serialize)]
    struct Key {
        id: String,
        name: Option<String>,
        uses: Option<i64>,
        at: Option<Timestamp>,
        tags: Option<Vec<String>>,
        rows: Rows<String>,
        #[serde(flatten)]
        extra: RawFields,
    }

    crate::decode_object! {
        Key, Kept, RawFields, required { "id" => id, } rows { "rows" => rows, } secret {}
        optional { "name" => name, "uses" => uses, "at" => at, "tags" => tags, }
    }

    fn at_once(json: &str) -> Option<Key> {
        serde_json::from_str(json).ok().map(|Whole(key)| key)
    }

    #[test]
    fn what_is_decoded_at_once_is_what_is_decoded_part_by_part() {
        let values = [
            r#""a""#,
            "null",
            "7",
            "-7",
            "1.5",
            "1e999",
            "true",
            "[]",
            "[1]",
            r#"["a","b"]"#,
            r#"["\ud800"]"#,
            "{}",
            r#""\u0061""#,
            r#""\ud800""#,
            r#"{"deep":[{"er":"x"}]}"#,
            " 1 ",
            r#""2025-01-01T00:00:00Z""#,
        ];
        let (mut at_once_too, mut part_by_part) = (0, 0);
        for name in ["id", "name", "uses", "at", "tags", "rows", "unknown", "\\u0069d", "\\u0075nknown", "é"] {
            for value in values {
                for rest in ["", r#","id":"x""#, r#","unknown":[1, "a"],"id":"x""#, r#","id":"x","name":"n","uses":1"#]
                {
                    let json = format!("{{\"{name}\":{value}{rest}}}");
                    let Some(key) = at_once(&json) else { continue };
                    let expected = Key::from_json(&json).unwrap();
                    assert_eq!(
                        serde_json::to_string(&key).unwrap(),
                        serde_json::to_string(&expected).unwrap(),
                        "{json}"
                    );
                    assert_eq!((key.extra, key.uses), (expected.extra, expected.uses), "{json}");
                    at_once_too += 1;
                }
                part_by_part += usize::from(Key::from_json(&format!("{{\"{name}\":{value},\"id\":\"x\"}}")).is_ok());
            }
        }
        assert!(at_once_too > 150 && part_by_part > 100, "{at_once_too} {part_by_part}");
    }

    #[test]
    fn very_many_rows_stay_text() {
        let many = |count| format!(r#"{{"id":"x","rows":[{}]}}"#, vec![r#""a""#; count].join(","));
        assert_eq!(at_once(&many(MAX_ROWS)).unwrap().rows.count(), MAX_ROWS);
        assert!(at_once(&many(MAX_ROWS + 1)).is_none());
        assert_eq!(Key::from_json(&many(MAX_ROWS + 1)).unwrap().rows.into_iter().filter(Result::is_ok).count(), 1001);
    }
}
