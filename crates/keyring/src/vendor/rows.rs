//! The rows of a list: each becomes a key or an error, and hides no other.

use api_keyring_transport::json::{FromJson, text};
use api_keyring_transport::{RawFields, Rows};
use serde_json::from_str;

use crate::vendor::call::Call;
use crate::{ApiKey, Error, ErrorKind, InvalidName, KeyId, Outcome, Page, PageRequest};

/// The smallest size that a row is assumed to have, in bytes. A page may hold as many rows of this size as its answer
/// may hold bytes. Otherwise an answer of tiny rows would need a hundred times its size in memory.
const SMALLEST_ROW: usize = 256;

/// The number of rows that a page may hold, however small the limit of an answer is: as many as a request asks for.
const LEAST_ROWS: usize = 100;

/// Why a value in an answer is not a valid key.
#[derive(Debug)]
pub(crate) struct Malformed {
    problem: String,
    source: Option<InvalidName>,
}

impl Malformed {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), source: None }
    }
}

/// Reads a key's id. `ids` are the fields that may hold it, in order: the JSON name, and the decoded value.
///
/// The first field that is there decides. `extra` holds a field that could not be decoded. If it is a whole number that
/// is too large to decode, its digits are the id.
#[inline]
pub(crate) fn key_id<const N: usize>(
    ids: [(&str, Option<String>); N],
    extra: &RawFields,
) -> std::result::Result<KeyId, Malformed> {
    for (name, id) in ids {
        // Only an id that was not decoded is searched for.
        let id = match id.map_or_else(|| Err(extra.get_raw(name)), Ok) {
            Ok(id) => id,
            Err(Some(json)) if json.bytes().all(|byte| byte.is_ascii_digit()) => json.to_owned(),
            Err(Some(_)) => return Err(Malformed::new(format!("its id (`{name}`) cannot be read"))),
            Err(None) => continue,
        };
        let problem = || format!("its id (`{name}`) is invalid");
        return id.try_into().map_err(|why| Malformed { problem: problem(), source: Some(why) });
    }
    Err(Malformed::new("it has no id"))
}

/// Where a provider's rows are.
pub(crate) struct Table<'a> {
    pub(crate) request: &'a PageRequest,
    /// The JSON names of the fields that may hold a key's id.
    pub(crate) ids: &'a [&'a str],
    /// The limit on an answer's size in bytes.
    pub(crate) max_bytes: usize,
    /// The answer's size in bytes.
    pub(crate) size: usize,
}

impl Call<'_> {
    /// Creates the error about an answer that is not a valid key.
    pub(crate) fn malformed(&self, malformed: Malformed) -> Error {
        let error = self.unexpected(format!("the answer is not a valid key: {}", malformed.problem));
        malformed.source.into_iter().fold(error, Error::caused_by)
    }

    /// Converts the rows of a list. A row that is not a valid key becomes one error, which names the key if its id can
    /// be read, or else its position in the list.
    pub(crate) fn page<T: FromJson>(
        &self,
        table: &Table<'_>,
        rows: Rows<T>,
        convert: impl Fn(T) -> std::result::Result<ApiKey, Malformed>,
    ) -> Page {
        let limit = (table.max_bytes / SMALLEST_ROW).max(LEAST_ROWS);
        let mut keys = Vec::with_capacity(rows.count().min(limit));
        let mut failure = None;
        let mut rows = rows.into_iter();
        while let Some(row) = rows.next() {
            if keys.len() == limit {
                failure = Some(self.too_many_rows(limit));
                break;
            }
            let key = row.map_err(|error| Malformed::new(error.to_string())).and_then(&convert);
            keys.push(key.map_err(|malformed| self.malformed_row(table, keys.len(), rows.text(), malformed)));
        }
        Page::new(keys).with_size(table.size as u64).with_failure(failure)
    }

    fn malformed_row(&self, table: &Table<'_>, index: usize, json: Option<&str>, malformed: Malformed) -> Error {
        let Malformed { problem, source } = malformed;
        let error = match json.and_then(|json| id_of(json, table.ids)) {
            Some(id) => {
                let problem = format!("its row is not a valid key: {problem}");
                let error = Error::new(ErrorKind::UnexpectedAnswer, Outcome::Unknown, problem);
                error.about(self.operation, Some(&id)).under(self.provider)
            }
            None => {
                let position = table.request.offset + index as u64 + 1;
                self.unexpected(format!("row {position} of the list is not a valid key: {problem}"))
            }
        };
        source.into_iter().fold(error, Error::caused_by)
    }

    fn too_many_rows(&self, limit: usize) -> Error {
        let problem = format!("the answer holds more than {limit} keys, which is the limit for its size");
        self.unexpected(problem).advise(
            "The keys before this error are valid. To read more in one answer, raise \
             `TransportBuilder::max_response_bytes`",
        )
    }
}

/// Finds the id in a row that could not be decoded. `None` if the row shows no valid id, or more than one.
fn id_of(json: &str, names: &[&str]) -> Option<KeyId> {
    let row: RawFields = from_str(json).ok()?;
    let mut ids = row.iter().filter(|(name, _)| names.contains(&&**name)).filter(|(_, value)| *value != "null");
    let (name, value) = ids.next()?;
    if ids.any(|(other, _)| other == name) {
        return None;
    }
    let is_whole_number = || value.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    match text(value) {
        Some(id) => id.parse().ok(),
        None => value.parse().ok().filter(|_| is_whole_number()),
    }
}

/// Reads a count that a vendor writes as a number or as a text. `None` for anything else, such as a negative number.
pub(crate) fn count(number: Option<i64>, extra: &RawFields, name: &str) -> Option<u64> {
    match number {
        Some(number) => number.try_into().ok(),
        None => from_str::<String>(extra.get_raw(name)?).ok()?.trim().parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_malformed_row_is_found_only_if_it_is_certain() {
        for (json, id) in [
            (r#"{"id":"a","name":1,"name":2}"#, Some("a")),
            (r#"{"name":"\ud800","id":7}"#, Some("7")),
            (r#"{"id":null,"old_id":"b"}"#, Some("b")),
            (r#"{"id":"a","id":"a"}"#, None),
            (r#"{"id":"../x"}"#, None),
            (r#"{"id":1.5}"#, None),
            (r#"{"id":1e5}"#, None),
            (r#"{"id":["a"]}"#, None),
            (r#"["a"]"#, None),
            ("null", None),
        ] {
            assert_eq!(id_of(json, &["id", "old_id"]).map(|id| id.to_string()).as_deref(), id, "{json}");
        }
    }

    #[test]
    fn a_count_may_be_a_text() {
        let extra: RawFields = from_str(r#"{"total":"12","bad":"many","negative":"-1","object":{}}"#).unwrap();
        assert_eq!(count(Some(3), &extra, "total"), Some(3));
        assert_eq!(count(Some(-3), &extra, "total"), None);
        let counts = ["total", "bad", "negative", "object", "missing"].map(|name| count(None, &extra, name));
        assert_eq!(counts, [Some(12), None, None, None, None]);
    }
}
