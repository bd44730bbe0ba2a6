//! The statements that read and write rotations.

use api_keyring::Mark;
use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Params, Transaction};

use super::Failed;
use super::rows::{self, select_rotations, select_versions};
use crate::journal::{JournalCursor, JournalEntry, JournalPage, Lease, Listing};
use crate::{Record, RotationId, State};

/// Runs a statement and keeps it prepared.
pub(super) fn execute(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
    transaction.prepare_cached(sql)?.execute(parameters)
}

/// Reads rotations as entries.
fn entries(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<Vec<JournalEntry>, Failed> {
    Ok(rows::read(transaction, sql, parameters)?.into_iter().map(|found| found.entry).collect())
}

pub(super) fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the latest version of a rotation. It reads only that version and the first, however many there are.
pub(super) fn load(transaction: &Transaction<'_>, id: &RotationId) -> Result<Option<JournalEntry>, Failed> {
    let sql = select_rotations!("rotation", "WHERE id = ? AND kept IS NULL");
    Ok(entries(transaction, sql, [id.as_str()])?.pop())
}

/// Returns a page of rotations.
pub(super) fn list(
    transaction: &Transaction<'_>,
    listing: Listing,
    after: Option<JournalCursor>,
    limit: usize,
) -> Result<JournalPage, Failed> {
    let unfinished = select_rotations!(
        "rotation",
        "WHERE rotation.state NOT IN ('done', 'aborted') AND number > ? ORDER BY number LIMIT ?"
    );
    let all = select_rotations!("rotation", "WHERE kept IS NULL AND number < ? ORDER BY number DESC LIMIT ?");
    let (sql, first) = if listing == Listing::Unfinished { (unfinished, i64::MIN) } else { (all, i64::MAX) };
    let after = after.map_or(first, |after| i64::try_from(after.number()).unwrap_or(i64::MAX));
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = rows::read(transaction, sql, (after, one_more))?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).and_then(|found| u64::try_from(found.number).ok());
    Ok(JournalPage::new(found.into_iter().map(|found| found.entry).collect(), next.map(JournalCursor::new)))
}

/// Returns the rotation that this mark was recorded for.
pub(super) fn find_by_mark(transaction: &Transaction<'_>, mark: &Mark) -> Result<Option<JournalEntry>, Failed> {
    let sql = select_rotations!("mark JOIN rotation ON number = mark.rotation", "WHERE mark = ?");
    Ok(entries(transaction, sql, [mark.as_str()])?.pop())
}

/// Returns versions of a rotation, oldest first.
pub(super) fn versions(
    transaction: &Transaction<'_>,
    id: &RotationId,
    from: u64,
    limit: usize,
) -> Result<Vec<JournalEntry>, Failed> {
    let sql = select_versions!("WHERE id = ? AND latest.version >= ? ORDER BY latest.version LIMIT ?");
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    entries(transaction, sql, (id.as_str(), number(from), number(limit as u64)))
}

/// Refuses a rotation whose key another rotation replaces or has replaced.
pub(super) fn check_key(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let sql = select_rotations!(
        "rotation",
        "WHERE (vendor, scope, old_key) = (?, ?, ?) AND rotation.state <> 'aborted' AND new_key IS NOT old_key AND id <> ?"
    );
    let plan = &record.plan;
    let key = (&*plan.vendor, &*plan.scope, plan.old.id.as_str(), record.id.as_str());
    refuse_conflict(record, entries(transaction, sql, key)?)
}

/// Refuses a rotation that needs a key or a sink of another unfinished one.
pub(super) fn check_claims(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let sql = select_rotations!("claim JOIN rotation ON number = claim.rotation", "WHERE claim = ? AND id <> ?");
    for claim in record.claims() {
        refuse_conflict(record, entries(transaction, sql, (claim, record.id.as_str()))?)?;
    }
    Ok(())
}

fn refuse_conflict(record: &Record, others: Vec<JournalEntry>) -> Result<(), Failed> {
    for other in others {
        // A rotation that cannot be read may conflict, so its keys and sinks stay its own.
        if let Some(conflict) = record.conflict_with(&other.readable()?) {
            return Err(conflict.into());
        }
    }
    Ok(())
}

/// Returns whether the journal has a rotation with this id.
pub(super) fn exists(transaction: &Transaction<'_>, id: &RotationId) -> Result<bool, Failed> {
    Ok(transaction.prepare_cached("SELECT 1 FROM rotation WHERE id = ?")?.exists([id.as_str()])?)
}

/// Writes the first version of a rotation.
pub(super) fn begin(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let plan = &record.plan;
    execute(
        transaction,
        "INSERT INTO rotation (id, provider, vendor, scope, old_key, old_created, state, version) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.id.as_str(),
            &plan.provider,
            &plan.vendor,
            &plan.scope,
            plan.old.id.as_str(),
            plan.old.created().unwrap_or_default(),
            record.state.name(),
            record.version,
        ),
    )?;
    write_version(transaction, record)
}

/// Writes a later version of a rotation, and extends its lease.
pub(super) fn save(
    transaction: &Transaction<'_>,
    lease: &Lease,
    record: &Record,
    lease_end: DateTime<Utc>,
) -> Result<(), Failed> {
    write_version(transaction, record)?;
    let new_key = match &record.state {
        State::Done { key, .. } => Some(key.as_str()),
        _ => None,
    };
    execute(
        transaction,
        "UPDATE rotation SET version = ?, state = ?, new_key = ?, held_until = ? WHERE id = ?",
        (record.version, record.state.name(), new_key, text(lease_end), lease.rotation.as_str()),
    )?;
    Ok(())
}

fn write_version(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    execute(
        transaction,
        "INSERT INTO version (rotation, version, time, state, record) \
         VALUES ((SELECT number FROM rotation WHERE id = ?1), ?2, ?3, ?4, ?5)",
        (record.id.as_str(), record.version, text(record.time), record.state.name(), serde_json::to_string(record)?),
    )?;
    for mark in &record.marks {
        execute(
            transaction,
            "INSERT INTO mark (mark, rotation) VALUES (?1, (SELECT number FROM rotation WHERE id = ?2)) \
             ON CONFLICT (mark) DO NOTHING",
            (mark.as_str(), record.id.as_str()),
        )?;
    }
    write_claims(transaction, record)
}

/// Writes the claims of a rotation, or removes them if it is finished.
fn write_claims(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let id = record.id.as_str();
    if record.state.is_finished() {
        let sql = "DELETE FROM claim WHERE rotation = (SELECT number FROM rotation WHERE id = ?1)";
        execute(transaction, sql, [id])?;
        return Ok(());
    }
    let sql = "INSERT INTO claim (rotation, claim) VALUES ((SELECT number FROM rotation WHERE id = ?1), ?2) \
               ON CONFLICT DO NOTHING";
    for claim in record.claims() {
        execute(transaction, sql, (id, claim))?;
    }
    Ok(())
}
