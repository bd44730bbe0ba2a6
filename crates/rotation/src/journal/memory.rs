//! A journal in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_keyring::{Clock, Mark, SystemClock};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Journal, JournalError, Lease, lease_end};
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
    number: usize,
    versions: Vec<Record>,
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
}

/// Returns the latest version of every rotation, oldest first.
fn in_order(rotations: &BTreeMap<RotationId, Entry>) -> Vec<&Record> {
    let mut entries: Vec<_> = rotations.values().collect();
    entries.sort_by_key(|entry| entry.number);
    entries.into_iter().filter_map(Entry::latest).collect()
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        let mut rotations = self.rotations();
        let mut others = rotations.values().filter_map(Entry::latest);
        if let Some(conflict) = others.find_map(|other| record.conflict_with(other)) {
            return Err(conflict);
        }
        let entry = Entry { number: rotations.len(), versions: vec![record.clone()], token: 0, held: None };
        rotations.insert(record.id.clone(), entry);
        Ok(())
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        Ok(self.rotations().get(id).and_then(Entry::latest).cloned())
    }

    async fn unfinished(&self) -> Result<Vec<Record>, JournalError> {
        let rotations = self.rotations();
        let oldest_first = in_order(&rotations).into_iter().filter(|record| !record.state.is_finished());
        Ok(oldest_first.cloned().collect())
    }

    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        Ok(in_order(&self.rotations()).into_iter().rev().take(limit).cloned().collect())
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        let rotations = self.rotations();
        let has_mark = |entry: &&Entry| entry.versions.iter().any(|record| record.marks.contains(mark));
        Ok(rotations.values().find(has_mark).and_then(Entry::latest).cloned())
    }

    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        Ok(self.rotations().get(id).map(|entry| entry.versions.clone()).unwrap_or_default())
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (now, until) = (self.clock.now(), lease_end(&*self.clock, time));
        let mut rotations = self.rotations();
        let entry = rotations.get_mut(id).ok_or_else(|| JournalError::Missing(id.clone()))?;
        if let Some((by, until)) = &entry.held
            && now < *until
        {
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
        if let State::Issued(_) = record.state {
            let others = rotations.values().filter_map(Entry::latest).filter(|other| other.id != record.id);
            let mut others = others.filter(|other| !other.state.is_finished());
            if let Some(conflict) = others.find_map(|other| record.conflict_with(other)) {
                return Err(conflict);
            }
        }
        let entry = rotations.get_mut(&lease.rotation).ok_or_else(missing)?;
        if entry.token != lease.token {
            return Err(JournalError::LeaseLost);
        }
        if entry.latest().is_none_or(|latest| latest.version + 1 != record.version) {
            return Err(JournalError::Changed);
        }
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
