//! Reads rotations from rows. A row that cannot be right becomes one unreadable record, and hides no other.

use api_keyring::Mark;
use rusqlite::types::ValueRef;
use rusqlite::{Params, Row, Transaction};

use super::Failed;
use crate::journal::{JournalEntry, UnreadableRecord};
use crate::{Record, State};

/// A query for the rotations that a condition selects, each with its latest and its first version.
macro_rules! select_rotations {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT number, id, provider, vendor, scope, old_key, new_key, rotation.state, rotation.version, ",
            "latest.state, coalesce(kept, latest.record), kept IS NOT NULL, begun.record FROM ",
            $from,
            " LEFT JOIN version AS latest ON latest.rotation = number AND latest.version = rotation.version ",
            "LEFT JOIN version AS begun ON begun.rotation = number AND begun.version = 0 ",
            $rest
        )
    };
}
pub(super) use select_rotations;

/// A query for versions of one rotation.
macro_rules! select_versions {
    ($rest:literal) => {
        concat!(
            "SELECT number, id, provider, vendor, scope, old_key, new_key, latest.state, latest.version, latest.state, ",
            "latest.record, 0, begun.record FROM rotation JOIN version AS latest ON latest.rotation = number ",
            "LEFT JOIN version AS begun ON begun.rotation = number AND begun.version = 0 ",
            $rest
        )
    };
}
pub(super) use select_versions;

/// A rotation as the journal has it, with its number.
pub(super) struct Found {
    pub(super) number: i64,
    pub(super) entry: JournalEntry,
}

/// Reads what a query selects.
pub(super) fn read(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<Vec<Found>, Failed> {
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, Columns::read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(|row| row.found(transaction)).collect()
}

/// Returns the text in a column. It replaces bytes that are not UTF-8, so that the record does not match its row.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

struct Columns {
    number: i64,
    id: String,
    provider: String,
    vendor: String,
    scope: String,
    old_key: String,
    new_key: Option<String>,
    state: String,
    version: i64,
    /// The state of the version.
    latest_state: Option<String>,
    record: Option<String>,
    is_pruned: bool,
    /// The first version.
    begun: Option<String>,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let any = |column| text(row, column).map(Option::unwrap_or_default);
        Ok(Self {
            number: row.get(0)?,
            id: any(1)?,
            provider: any(2)?,
            vendor: any(3)?,
            scope: any(4)?,
            old_key: any(5)?,
            new_key: text(row, 6)?,
            state: any(7)?,
            version: row.get(8)?,
            latest_state: text(row, 9)?,
            record: text(row, 10)?,
            is_pruned: row.get(11)?,
            begun: text(row, 12)?,
        })
    }

    fn found(self, transaction: &Transaction<'_>) -> Result<Found, Failed> {
        let record = match self.record() {
            Ok(record) if self.has_foreign_mark(transaction, &record)? => {
                Err("it names a mark that was recorded for another rotation".to_owned())
            }
            Ok(record) if self.has_foreign_claim(transaction, &record)? => {
                Err("it names a key or a destination that was not recorded for this rotation".to_owned())
            }
            record => record,
        };
        let number = self.number;
        let entry = match record {
            Ok(record) => JournalEntry::Record(Box::new(record)),
            Err(why) => JournalEntry::Unreadable(Box::new(self.unreadable(transaction, why)?)),
        };
        Ok(Found { number, entry })
    }

    /// Returns the record, or why it cannot be what this program wrote.
    fn record(&self) -> Result<Record, String> {
        let parse = |text: &str| serde_json::from_str::<Record>(text).map_err(|error| error.to_string());
        let missing = || "one of its versions is missing".to_owned();
        let record = parse(self.record.as_deref().ok_or_else(missing)?)?;
        let plan = &record.plan;
        let says = [record.id.as_str(), &plan.provider, &plan.vendor, &plan.scope, plan.old.id.as_str()];
        if says != [&*self.id, &*self.provider, &*self.vendor, &*self.scope, &*self.old_key] {
            return Err("it says that it is of another rotation or of another key".to_owned());
        }
        let has_replaced = match &record.state {
            State::Done { key, .. } => self.new_key.as_deref() == Some(key.as_str()),
            _ => true,
        };
        let is_latest = u64::try_from(self.version).ok() == Some(record.version);
        let state = Some(record.state.name());
        let is_in_state = state == Some(&*self.state) && (self.is_pruned || state == self.latest_state.as_deref());
        if !(is_latest && is_in_state && has_replaced) {
            return Err(
                "its version, its state or its new key is not the one that the journal has on record".to_owned()
            );
        }
        if self.is_pruned {
            return Ok(record);
        }
        let begun = match self.version {
            0 => None,
            _ => Some(parse(self.begun.as_deref().ok_or_else(missing)?)?.plan),
        };
        match record.contradiction(begun.as_ref().unwrap_or(plan)) {
            None => Ok(record),
            Some(why) => Err(why.to_owned()),
        }
    }

    /// Returns whether a mark of the record was recorded for another rotation.
    fn has_foreign_mark(&self, transaction: &Transaction<'_>, record: &Record) -> Result<bool, Failed> {
        let mut statement = transaction.prepare_cached("SELECT 1 FROM mark WHERE mark = ? AND rotation = ?")?;
        for mark in record.marks.iter().chain(&record.reserved) {
            if !statement.exists((mark.as_str(), self.number))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether the record of an unfinished rotation names a key or a sink that the rotation does not claim.
    ///
    /// The first version is what all others are compared with, so only this shows that somebody has changed its plan.
    fn has_foreign_claim(&self, transaction: &Transaction<'_>, record: &Record) -> Result<bool, Failed> {
        if record.state.is_finished() {
            return Ok(false);
        }
        let mut statement = transaction.prepare_cached(
            "SELECT 1 FROM rotation WHERE number = ?1 AND (state IN ('done', 'aborted') \
             OR EXISTS (SELECT 1 FROM claim WHERE claim = ?2 AND rotation = ?1))",
        )?;
        for claim in record.claims() {
            if !statement.exists((self.number, claim))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unreadable(self, transaction: &Transaction<'_>, why: String) -> Result<UnreadableRecord, Failed> {
        let mut statement = transaction.prepare_cached("SELECT mark FROM mark WHERE rotation = ?")?;
        let marks = statement.query_map([self.number], |row| text(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let Self { id, provider, vendor, scope, old_key: key, version, .. } = self;
        let marks = marks.iter().flatten().filter_map(|mark| mark.parse::<Mark>().ok()).collect();
        let version = u64::try_from(version).unwrap_or_default();
        Ok(UnreadableRecord { id, version, provider, vendor, scope, key, marks, why })
    }
}
