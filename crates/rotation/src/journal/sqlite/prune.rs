//! Removing finished rotations.

use chrono::{DateTime, Utc};
use rusqlite::Transaction;

use super::Failed;
use super::rows::{self, Found, select_rotations};
use super::statements::{execute, text};
use crate::journal::{JournalEntry, PAGE, Prune, Pruned};

/// A part of the finished rotations, and where the next part begins.
pub(super) struct Part {
    pub(super) pruned: Pruned,
    pub(super) next: Option<i64>,
}

/// Removes the finished rotations of one part that were last written before this time. A part is small, so that others
/// can write in between.
pub(super) fn part(
    transaction: &Transaction<'_>,
    after: i64,
    (now, before): (DateTime<Utc>, DateTime<Utc>),
    prune: Prune,
) -> Result<Part, Failed> {
    let sql = select_rotations!(
        "rotation",
        "WHERE number > ? AND kept IS NULL AND rotation.state IN ('done', 'aborted') AND latest.time < ? \
         AND (holder IS NULL OR held_until <= ?) ORDER BY number LIMIT ?"
    );
    let found = rows::read(transaction, sql, (after, text(before), text(now), PAGE as i64))?;
    let mut part = Part { pruned: Pruned::default(), next: found.last().map(|found| found.number) };
    for Found { number, entry } in found {
        let JournalEntry::Record(record) = entry else {
            part.pruned.unreadable += 1;
            continue;
        };
        part.pruned.rotations += 1;
        if prune == Prune::Remove {
            let kept = serde_json::to_string(&record.pruned())?;
            execute(transaction, "UPDATE rotation SET kept = ? WHERE number = ?", (kept, number))?;
            execute(transaction, "DELETE FROM version WHERE rotation = ?", [number])?;
        }
    }
    Ok(part)
}
