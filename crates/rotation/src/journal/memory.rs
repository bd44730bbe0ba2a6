//! A journal in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_keyring::{Clock, Mark, SystemClock};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing, Prune, Pruned, lease_end,
    time_before,
};
use crate::{Record, RotationId, State};

/// Records rotations in memory. Use it for tests, and if you can do without the records after the process has ended.
///
/// Clones share the same records.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    rotations: Arc<Mutex<BTreeMap<RotationId, Entry>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Entry {
    /// How many rotations began before this one.
    number: u64,
    versions: Vec<Record>,
    /// What remains of the rotation once it is pruned.
    pruned: Option<Record>,
    token: u64,
    held: Option<(String, DateTime<Utc>)>,
}

impl MemoryJournal {
    /// Returns an empty journal.
    pub fn new() -> Self {
        Self { rotations: Arc::default(), clock: Arc::new(SystemClock) }
    }

    /// Sets the clock that decides when a lease ends. The default is the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn rotations(&self) -> MutexGuard<'_, BTreeMap<RotationId, Entry>> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry {
    fn latest(&self) -> Option<&Record> {
        self.versions.last()
    }

    /// Returns the latest version, or what remains of the rotation.
    fn known(&self) -> Option<&Record> {
        self.latest().or(self.pruned.as_ref())
    }

    /// Returns whether this is the latest lease, and it was not released.
    fn is_held_by(&self, lease: &Lease) -> bool {
        self.token == lease.token && self.held.is_some()
    }
}

/// Refuses a rotation that conflicts with another one.
fn conflict(rotations: &BTreeMap<RotationId, Entry>, record: &Record) -> Result<(), JournalError> {
    let others = rotations.values().filter_map(Entry::known).filter(|other| other.id != record.id);
    others.map(|other| record.conflict_with(other)).find(Option::is_some).flatten().map_or(Ok(()), Err)
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        let mut rotations = self.rotations();
        if rotations.contains_key(&record.id) {
            return Err(JournalError::Changed);
        }
        conflict(&rotations, record)?;
        let number = rotations.len() as u64 + 1;
        let entry = Entry { number, versions: vec![record.clone()], pruned: None, token: 0, held: None };
        rotations.insert(record.id.clone(), entry);
        Ok(())
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        Ok(self.rotations().get(id).and_then(Entry::latest).cloned())
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        let rotations = self.rotations();
        let mut found: Vec<_> = rotations.values().filter_map(|entry| entry.latest().zip(Some(entry.number))).collect();
        found.sort_by_key(|(_, number)| *number);
        if listing == Listing::Unfinished {
            found.retain(|(record, _)| !record.state.is_finished());
        } else {
            found.reverse();
        }
        if let Some(after) = after.map(JournalCursor::number) {
            found.retain(|(_, number)| if listing == Listing::Unfinished { *number > after } else { *number < after });
        }
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next = found.last().filter(|_| !is_last).map(|(_, number)| JournalCursor::new(*number));
        let entries = found.into_iter().map(|(record, _)| JournalEntry::Record(Box::new(record.clone())));
        Ok(JournalPage::new(entries.collect(), next))
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        let rotations = self.rotations();
        let has_mark =
            |entry: &&Entry| entry.versions.iter().chain(&entry.pruned).any(|record| record.marks.contains(mark));
        Ok(rotations.values().find(has_mark).and_then(Entry::known).cloned())
    }

    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let rotations = self.rotations();
        let versions = rotations.get(id).into_iter().flat_map(|entry| &entry.versions);
        let versions = versions.filter(|record| record.version >= from).take(limit);
        Ok(versions.map(|record| JournalEntry::Record(Box::new(record.clone()))).collect())
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError> {
        let (now, before) = (self.clock.now(), time_before(&*self.clock, older_than));
        let mut rotations = self.rotations();
        let mut count = 0;
        for entry in rotations.values_mut() {
            let is_held = entry.held.as_ref().is_some_and(|(_, until)| now < *until);
            let is_due = |record: &&Record| record.state.is_finished() && record.time < before && !is_held;
            let Some(latest) = entry.latest().filter(is_due) else { continue };
            count += 1;
            if prune == Prune::Remove {
                let mut pruned = latest.pruned();
                for mark in entry.versions.iter().flat_map(|record| &record.marks) {
                    if !pruned.marks.contains(mark) {
                        pruned.marks.insert(0, mark.clone());
                    }
                }
                entry.pruned = Some(pruned);
                entry.versions.clear();
            }
        }
        Ok(Pruned::new(count, 0))
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (now, until) = (self.clock.now(), lease_end(&*self.clock, time));
        let longest = lease_end(&*self.clock, Duration::MAX);
        let mut rotations = self.rotations();
        let entry = rotations.get_mut(id).filter(|entry| entry.pruned.is_none());
        let entry = entry.ok_or_else(|| JournalError::Missing(id.clone()))?;
        if let Some((by, until)) = &mut entry.held
            && now < *until
        {
            // If somebody has set the clock back, the lease would last for longer than any lease may.
            *until = longest.min(*until);
            return Err(JournalError::Held { by: by.clone(), until: *until });
        }
        entry.token += 1;
        let is_takeover = entry.held.replace((holder.to_owned(), until)).is_some();
        Ok(Lease::new(id.clone(), entry.token, time).takeover(is_takeover))
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        let until = lease_end(&*self.clock, lease.time);
        let mut rotations = self.rotations();
        let missing = || JournalError::Missing(lease.rotation.clone());
        let entry = rotations.get(&lease.rotation).ok_or_else(missing)?;
        if !entry.is_held_by(lease) {
            return Err(JournalError::LeaseLost);
        }
        let is_next = |latest: &Record| latest.version + 1 == record.version && latest.id == record.id;
        let Some(latest) = entry.latest().filter(|latest| is_next(latest)) else { return Err(JournalError::Changed) };
        let is_reopened = latest.state.is_finished() && !record.state.is_finished();
        if is_reopened || matches!(record.state, State::Issued(_)) {
            conflict(&rotations, record)?;
        }
        let entry = rotations.get_mut(&lease.rotation).ok_or_else(missing)?;
        entry.versions.push(record.clone());
        if let Some((_, end)) = &mut entry.held {
            *end = until;
        }
        Ok(())
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        let until = lease_end(&*self.clock, lease.time);
        match self.rotations().get_mut(&lease.rotation) {
            Some(Entry { token, held: Some((_, end)), .. }) if *token == lease.token => *end = until,
            _ => return Err(JournalError::LeaseLost),
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        if let Some(entry) = self.rotations().get_mut(&lease.rotation)
            && entry.token == lease.token
        {
            entry.held = None;
        }
        Ok(())
    }
}
