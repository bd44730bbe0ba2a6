//! Lists of rotations, in pages.

use std::fmt;

use api_keyring::Mark;
use serde::Serialize;

use super::{Journal, JournalError, PAGE};
use crate::{Record, RotationId};

/// Which rotations to list, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listing {
    /// The unfinished rotations, oldest first.
    Unfinished,
    /// All rotations, finished or not, newest first.
    All,
}

/// A place in a list of rotations. It is valid only in the journal and for the list that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalCursor(u64);

impl JournalCursor {
    /// Returns the cursor with this number, for an implementation of [`Journal`].
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number, for an implementation of [`Journal`].
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A part of a list of rotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalPage {
    /// The rotations.
    pub entries: Vec<JournalEntry>,
    /// The cursor that leads to the next page; `None` if this is the last page.
    pub next: Option<JournalCursor>,
}

impl JournalPage {
    /// Returns a page, for an implementation of [`Journal`].
    pub fn new(entries: Vec<JournalEntry>, next: Option<JournalCursor>) -> Self {
        Self { entries, next }
    }
}

/// What a journal holds of a rotation, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEntry {
    /// The record.
    Record(Box<Record>),
    /// A record that this program cannot read.
    Unreadable(Box<UnreadableRecord>),
}

impl JournalEntry {
    /// Returns the record. Returns `None` if it cannot be read.
    pub fn into_record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(*record),
            Self::Unreadable(_) => None,
        }
    }

    /// Returns the record.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unreadable`] if it cannot be read.
    pub fn readable(self) -> Result<Record, JournalError> {
        match self {
            Self::Record(record) => Ok(*record),
            Self::Unreadable(record) => Err(JournalError::Unreadable(record)),
        }
    }
}

/// A rotation whose record cannot be read: a newer version of this program wrote it, or somebody changed or damaged it.
///
/// Until its record can be read again, the rotation keeps its claims: no other rotation uses its keys and its sinks. It
/// blocks nothing else. The journal has checked none of these values, and each text may contain any character.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnreadableRecord {
    /// The rotation's id.
    pub id: String,
    /// The number of the version.
    pub version: u64,
    /// The provider's name.
    pub provider: String,
    /// The vendor's name.
    pub vendor: String,
    /// The id of the company or organization that the key acts for.
    pub scope: String,
    /// The id of the key that the rotation replaces.
    pub key: String,
    /// Every mark that was recorded for the rotation.
    pub marks: Vec<Mark>,
    /// Why the record cannot be read.
    pub why: String,
}

impl fmt::Display for UnreadableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record of rotation {} of key {}/{} cannot be read: {}. Its keys and its destinations stay as they are. \
             Use the newest version of this program, or restore the journal from a backup",
            self.id, self.provider, self.key, self.why
        )
    }
}

/// Whether to remove rotations, or only to count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Remove them.
    Remove,
    /// Count what would be removed.
    Count,
}

/// What [`Journal::prune`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many rotations were removed, or would be.
    pub rotations: u64,
    /// How many rotations are old enough, but have a record that cannot be read. The journal keeps them.
    pub unreadable: u64,
}

impl Pruned {
    /// Returns a count, for an implementation of [`Journal`].
    pub fn new(rotations: u64, unreadable: u64) -> Self {
        Self { rotations, unreadable }
    }
}

/// Returns the first `limit` records of a list that can be read.
pub(super) async fn records<J: Journal + ?Sized>(
    journal: &J,
    listing: Listing,
    limit: usize,
) -> Result<Vec<Record>, JournalError> {
    let (mut records, mut after) = (Vec::new(), None);
    while records.len() < limit {
        let page = journal.list(listing, after, PAGE.min(limit - records.len())).await?;
        records.extend(page.entries.into_iter().filter_map(JournalEntry::into_record));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(records)
}

/// Returns every version of a rotation.
pub(super) async fn history<J: Journal + ?Sized>(journal: &J, id: &RotationId) -> Result<Vec<Record>, JournalError> {
    let mut history = Vec::new();
    loop {
        let page = journal.versions(id, history.len() as u64, PAGE).await?;
        let is_last = page.len() < PAGE;
        for version in page {
            history.push(version.readable()?);
        }
        if is_last {
            return Ok(history);
        }
    }
}
