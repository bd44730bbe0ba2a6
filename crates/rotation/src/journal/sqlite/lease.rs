//! The leases on rotations.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction};

use super::Failed;
use super::process::Process;
use super::rows;
use super::statements::{execute, text};
use crate::RotationId;
use crate::journal::{JournalError, Lease};

/// The latest lease on a rotation, and the rotation's latest version.
pub(super) struct Held {
    token: u64,
    pub(super) version: u64,
    pub(super) is_finished: bool,
    /// The holder. `None` if the lease was released.
    by: Option<Holder>,
}

struct Holder {
    name: String,
    /// When the lease ends. `None` if that cannot be read.
    until: Option<DateTime<Utc>>,
    process: Option<Process>,
}

impl Held {
    fn read(transaction: &Transaction<'_>, id: &RotationId) -> Result<Self, Failed> {
        let read = |row: &Row<'_>| {
            let state = rows::text(row, 2)?.unwrap_or_default();
            let (name, until, process) = (rows::text(row, 3)?, rows::text(row, 4)?, rows::text(row, 5)?);
            let by = name.map(|name| Holder {
                name,
                until: until.and_then(|until| Some(DateTime::parse_from_rfc3339(&until).ok()?.to_utc())),
                process: process.and_then(|process| serde_json::from_str(&process).ok()),
            });
            let is_finished = state == "done" || state == "aborted";
            Ok(Self { token: row.get(0)?, version: row.get(1)?, is_finished, by })
        };
        let sql =
            "SELECT token, version, state, holder, held_until, process FROM rotation WHERE id = ? AND kept IS NULL";
        let found = transaction.prepare_cached(sql)?.query_row([id.as_str()], read).optional()?;
        found.ok_or_else(|| JournalError::Missing(id.clone()).into())
    }

    /// Reads the latest lease on a rotation, which must be this one.
    pub(super) fn check(transaction: &Transaction<'_>, lease: &Lease) -> Result<Self, Failed> {
        let held = Self::read(transaction, &lease.rotation)?;
        let is_latest = held.token == lease.token && held.by.is_some();
        if is_latest { Ok(held) } else { Err(JournalError::LeaseLost.into()) }
    }
}

/// The times that decide about a lease, by the journal's clock.
pub(super) struct Times {
    pub(super) now: DateTime<Utc>,
    /// When the new lease ends.
    pub(super) end: DateTime<Utc>,
    /// When the longest lease would end.
    pub(super) latest_end: DateTime<Utc>,
}

/// Gives a rotation to a holder, under a new token, unless somebody else holds it.
pub(super) fn take(
    transaction: &Transaction<'_>,
    id: RotationId,
    holder: &str,
    time: Duration,
    times: &Times,
) -> Result<Result<Lease, JournalError>, Failed> {
    let held = Held::read(transaction, &id)?;
    let is_takeover = held.by.is_some();
    if let Some(Holder { name: by, until, .. }) =
        held.by.filter(|by| !by.process.as_ref().is_some_and(Process::is_gone))
    {
        match until {
            Some(until) if until <= times.now => {}
            Some(until) if until <= times.latest_end => return Ok(Err(JournalError::Held { by, until })),
            // No lease ends that late, or its end cannot be read. Its holder may still work, so it gets an end now.
            _ => {
                let until = times.latest_end;
                execute(transaction, "UPDATE rotation SET held_until = ? WHERE id = ?", (text(until), id.as_str()))?;
                return Ok(Err(JournalError::Held { by, until }));
            }
        }
    }
    let process = Process::current().map(|process| serde_json::to_string(&process)).transpose()?;
    let lease = Lease::new(id, held.token + 1, time).takeover(is_takeover);
    execute(
        transaction,
        "UPDATE rotation SET token = ?, holder = ?, held_until = ?, process = ? WHERE id = ?",
        (lease.token, holder, text(times.end), process, lease.rotation.as_str()),
    )?;
    Ok(Ok(lease))
}

/// Extends a lease.
pub(super) fn renew(transaction: &Transaction<'_>, lease: &Lease, lease_end: DateTime<Utc>) -> Result<(), Failed> {
    Held::check(transaction, lease)?;
    let sql = "UPDATE rotation SET held_until = ? WHERE id = ?";
    execute(transaction, sql, (text(lease_end), lease.rotation.as_str()))?;
    Ok(())
}

/// Ends a lease, unless a later one has replaced it.
pub(super) fn release(transaction: &Transaction<'_>, lease: &Lease) -> Result<(), Failed> {
    let sql = "UPDATE rotation SET holder = NULL, held_until = NULL, process = NULL WHERE id = ? AND token = ?";
    execute(transaction, sql, (lease.rotation.as_str(), lease.token))?;
    Ok(())
}
