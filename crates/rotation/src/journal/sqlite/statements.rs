//! The statements that read and write rotations.

use api_keyring::Mark;
use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{OptionalExtension as _, Params, Row, Transaction};

use super::Failed;
use crate::journal::{JournalError, Lease};
use crate::{Record, RotationId, State};

/// A query for the latest record of each rotation that a condition selects.
macro_rules! select_latest {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT record FROM ",
            $from,
            " JOIN version ON version.rotation = number AND version.version = rotation.version ",
            $rest
        )
    };
}

/// Runs a statement and keeps it prepared.
fn execute(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
    transaction.prepare_cached(sql)?.execute(parameters)
}

fn read_records(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<Vec<Record>, Failed> {
    let mut statement = transaction.prepare_cached(sql)?;
    let texts = statement.query_map(parameters, |row| row.get::<_, String>(0))?;
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the latest version of a rotation. How many versions it has does not matter.
pub(super) fn load(transaction: &Transaction<'_>, id: &RotationId) -> Result<Option<Record>, Failed> {
    Ok(read_records(transaction, select_latest!("rotation", "WHERE id = ?"), [id.as_str()])?.pop())
}

/// Returns every unfinished rotation, oldest first.
pub(super) fn unfinished(transaction: &Transaction<'_>) -> Result<Vec<Record>, Failed> {
    let sql = select_latest!("rotation", "WHERE rotation.state NOT IN ('done', 'aborted') ORDER BY number");
    read_records(transaction, sql, [])
}

/// Returns the rotations that began last, newest first.
pub(super) fn latest(transaction: &Transaction<'_>, limit: i64) -> Result<Vec<Record>, Failed> {
    read_records(transaction, select_latest!("rotation", "ORDER BY number DESC LIMIT ?"), [limit])
}

/// Returns the rotation that this mark was recorded for.
pub(super) fn find_by_mark(transaction: &Transaction<'_>, mark: &Mark) -> Result<Option<Record>, Failed> {
    let sql = select_latest!("mark JOIN rotation ON number = mark.rotation", "WHERE mark = ?");
    Ok(read_records(transaction, sql, [mark.as_str()])?.pop())
}

/// Returns every version of a rotation, oldest first.
pub(super) fn history(transaction: &Transaction<'_>, id: &RotationId) -> Result<Vec<Record>, Failed> {
    let sql = "SELECT record FROM version JOIN rotation ON number = rotation WHERE id = ? ORDER BY version.version";
    read_records(transaction, sql, [id.as_str()])
}

/// Refuses a rotation whose key another rotation replaces or has replaced.
pub(super) fn check_key(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let sql = select_latest!(
        "rotation",
        "WHERE (vendor, scope, old_key) = (?, ?, ?) AND rotation.state <> 'aborted' AND new_key IS NOT old_key"
    );
    let plan = &record.plan;
    refuse_conflict(record, &read_records(transaction, sql, (&*plan.vendor, &*plan.scope, plan.old.id.as_str()))?)
}

/// Refuses a rotation that needs a key or a sink of another unfinished one.
pub(super) fn check_claims(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let sql = select_latest!("claim JOIN rotation ON number = claim.rotation", "WHERE claim = ? AND id <> ?");
    for claim in record.claims() {
        refuse_conflict(record, &read_records(transaction, sql, (claim, record.id.as_str()))?)?;
    }
    Ok(())
}

fn refuse_conflict(record: &Record, others: &[Record]) -> Result<(), Failed> {
    match others.iter().find_map(|other| record.conflict_with(other)) {
        Some(conflict) => Err(conflict.into()),
        None => Ok(()),
    }
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
    // No other state adds a claim.
    if !matches!(record.state, State::Planned | State::Issued(_)) {
        return Ok(());
    }
    let sql = "INSERT INTO claim (rotation, claim) VALUES ((SELECT number FROM rotation WHERE id = ?1), ?2) \
               ON CONFLICT DO NOTHING";
    for claim in record.claims() {
        execute(transaction, sql, (id, claim))?;
    }
    Ok(())
}

/// The latest lease on a rotation, and the rotation's latest version.
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) version: u64,
    /// The holder, and when its lease ends. `None` if the lease was released.
    pub(super) by: Option<(String, DateTime<Utc>)>,
}

impl Held {
    pub(super) fn read(transaction: &Transaction<'_>, id: &RotationId) -> Result<Self, Failed> {
        let read = |row: &Row<'_>| {
            let holder: Option<String> = row.get(2)?;
            let until: Option<String> = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, holder.zip(until)))
        };
        let sql = "SELECT token, version, holder, held_until FROM rotation WHERE id = ?";
        let found = transaction.prepare_cached(sql)?.query_row([id.as_str()], read).optional()?;
        let (token, version, holder) = found.ok_or_else(|| JournalError::Missing(id.clone()))?;
        // An unreadable time must not lock everybody out, so such a lease counts as released.
        let by = holder.and_then(|(by, until)| Some((by, DateTime::parse_from_rfc3339(&until).ok()?.to_utc())));
        Ok(Self { token, version, by })
    }

    /// Reads the latest lease on a rotation, which must be this one.
    pub(super) fn check(transaction: &Transaction<'_>, lease: &Lease) -> Result<Self, Failed> {
        let held = Self::read(transaction, &lease.rotation)?;
        if held.token == lease.token { Ok(held) } else { Err(JournalError::LeaseLost.into()) }
    }
}

/// Gives a rotation to a holder, under a new token.
pub(super) fn hold(
    transaction: &Transaction<'_>,
    lease: &Lease,
    holder: &str,
    lease_end: DateTime<Utc>,
) -> Result<(), Failed> {
    execute(
        transaction,
        "UPDATE rotation SET token = ?, holder = ?, held_until = ? WHERE id = ?",
        (lease.token, holder, text(lease_end), lease.rotation.as_str()),
    )?;
    Ok(())
}

/// Extends a lease.
pub(super) fn renew(transaction: &Transaction<'_>, lease: &Lease, lease_end: DateTime<Utc>) -> Result<(), Failed> {
    let sql = "UPDATE rotation SET held_until = ? WHERE id = ?";
    execute(transaction, sql, (text(lease_end), lease.rotation.as_str()))?;
    Ok(())
}

/// Ends a lease, unless a later one has replaced it.
pub(super) fn release(transaction: &Transaction<'_>, lease: &Lease) -> Result<(), Failed> {
    let sql = "UPDATE rotation SET holder = NULL, held_until = NULL WHERE id = ? AND token = ?";
    execute(transaction, sql, (lease.rotation.as_str(), lease.token))?;
    Ok(())
}
