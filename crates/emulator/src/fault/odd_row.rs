//! A list with one odd row.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::variant::Variant;

/// What is odd about a row.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OddRow {
    /// The name is half of a surrogate pair, `"\ud800"`, which no text can contain. (`surrogate`)
    #[default]
    Surrogate,
    /// A field is `1e400`, which is beyond most number types. (`number`)
    Number,
    /// A field is nested 200 levels deep. (`deep`)
    Deep,
    /// The row is text in place of an object. (`type`)
    Type,
    /// The row is null. (`null`)
    Null,
    /// The row has no field. (`empty`)
    Empty,
    /// The row has no id. (`no-id`)
    NoId,
    /// The id is an object. (`id`)
    Id,
    /// The row has two names. (`twice`)
    Twice,
    /// The name is in Latin-1, and so not in UTF-8. The whole list is then not JSON. (`latin1`)
    Latin1,
    /// A field is `NaN`. The whole list is then not JSON. (`nan`)
    NotANumber,
}

impl Variant for OddRow {
    const ALL: &'static [(&'static str, Self)] = &[
        ("surrogate", Self::Surrogate),
        ("number", Self::Number),
        ("deep", Self::Deep),
        ("type", Self::Type),
        ("null", Self::Null),
        ("empty", Self::Empty),
        ("no-id", Self::NoId),
        ("id", Self::Id),
        ("twice", Self::Twice),
        ("latin1", Self::Latin1),
        ("nan", Self::NotANumber),
    ];
}

/// How deep [`OddRow::Deep`] nests.
const DEPTH: usize = 200;

/// The names of a key's id.
const IDS: [&str; 2] = ["api_key_id", "id"];

impl OddRow {
    /// Returns the index of the odd row, and its bytes. Returns `None` if the list has no row.
    pub(crate) fn of<'a>(self, mut rows: impl Iterator<Item = &'a RawValue> + Clone) -> Option<(usize, Vec<u8>)> {
        // A row in the middle shows whether the rows before and after it survive.
        let middle = rows.clone().count() / 2;
        Some((middle, self.change(rows.nth(middle)?)))
    }

    fn change(self, row: &RawValue) -> Vec<u8> {
        let mut fields: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        // Every row of the services is an object whose names need no escapes.
        for (name, value) in serde_json::from_str::<BTreeMap<&str, &RawValue>>(row.get()).unwrap_or_default() {
            fields.insert(name, value.get().into());
        }
        let mut name_again = None;
        match self {
            Self::Surrogate => drop(fields.insert("name", br#""\ud800""#.into())),
            Self::Number => drop(fields.insert("weight", b"1e400".into())),
            Self::Deep => drop(fields.insert("labels", ["[".repeat(DEPTH), "]".repeat(DEPTH)].concat().into())),
            Self::Type => return br#""odd""#.into(),
            Self::Null => return b"null".into(),
            Self::Empty => fields.clear(),
            Self::NoId => fields.retain(|name, _| !IDS.contains(name)),
            Self::Id => {
                let ids = fields.iter_mut().filter(|(name, _)| IDS.contains(name));
                ids.for_each(|(_, id)| *id = [b"{\"value\":", &id[..], b"}"].concat());
            }
            Self::Twice => name_again = Some(("name", b"\"odd\"".to_vec())),
            Self::Latin1 => drop(fields.insert("name", b"\"caf\xe9\"".into())),
            Self::NotANumber => drop(fields.insert("weight", b"NaN".into())),
        }
        let fields = fields.into_iter().chain(name_again);
        let fields: Vec<_> = fields.map(|(name, value)| [b"\"", name.as_bytes(), b"\":", &value].concat()).collect();
        [b"{", fields.join(&b","[..]).as_slice(), b"}"].concat()
    }
}
