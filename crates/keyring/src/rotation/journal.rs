//! Where rotations are written down.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Record, RotationId, State};
use crate::{Clock, SystemClock};

/// Where rotations are written down, so that any process can finish what another began, and no two act at once.
///
/// What an implementation has to see to, whatever happens to the process or the machine in between:
///
/// - A write that returns is there to stay. One that fails may or may not have happened.
/// - [`save`](Self::save) writes only for the holder of the lease that was taken last, and only over the version that the
///   holder knows: compare and set, in one.
/// - The journal's own clock decides when a lease ends, so that it does not matter what the rotators' clocks say.
///
/// Records hold no secret.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Writes a rotation down for the first time.
    ///
    /// # Errors
    ///
    /// [`JournalError::UnderWay`] when another one of the same key is not finished, and [`JournalError::Replaced`] when one
    /// is done: a plan may have been made before that.
    async fn begin(&self, record: &Record) -> Result<(), JournalError>;

    /// The rotation of that name.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError>;

    /// Every rotation that is not finished, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<Record>, JournalError>;

    /// Every version that was written of a rotation, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError>;

    /// Takes the lease on a rotation: from now on, for so long, nobody else may write it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] when somebody has it, and [`JournalError::Missing`] when there is no such rotation.
    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError>;

    /// Writes a rotation over the version before the record's, and has the lease begin anew.
    ///
    /// # Errors
    ///
    /// [`JournalError::LeaseLost`] when somebody else has taken the lease since, and [`JournalError::Changed`] when the version
    /// before the record's is not the one that is there.
    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError>;

    /// Has the lease begin anew, while nothing is to be written.
    ///
    /// # Errors
    ///
    /// [`JournalError::LeaseLost`] when somebody else has taken it since.
    async fn renew(&self, lease: &Lease) -> Result<(), JournalError>;

    /// Gives the lease back. One that was lost is no error.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; the lease then ends by itself.
    async fn release(&self, lease: &Lease) -> Result<(), JournalError>;
}

/// The right to carry a rotation on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The rotation.
    pub rotation: RotationId,
    /// Grows with every lease on the rotation: only the highest one writes.
    pub token: u64,
    /// How long it lasts after each write.
    pub time: Duration,
}

impl Lease {
    /// A lease that an implementation has given.
    pub fn new(rotation: RotationId, token: u64, time: Duration) -> Self {
        Self { rotation, token, time }
    }
}

/// Why a journal does not do what it is asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// A rotation of the same key is not finished.
    UnderWay(RotationId),
    /// A rotation has replaced the key already.
    Replaced(RotationId),
    /// Somebody else carries the rotation on.
    Held {
        /// Who.
        by: String,
        /// Until when, unless it is renewed.
        until: DateTime<Utc>,
    },
    /// Somebody else has taken the lease.
    LeaseLost,
    /// The rotation was written meanwhile.
    Changed,
    /// There is no such rotation.
    Missing(RotationId),
    /// The journal cannot be read or written.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay(id) => {
                write!(f, "the key is being rotated already, by the rotation {id}: resume or abort it")
            }
            Self::Replaced(id) => write!(f, "the key was replaced already, by the rotation {id}"),
            Self::Held { by, until } => {
                write!(f, "{by} is at work on the rotation, until {} at least", until.format("%Y-%m-%d %H:%M:%SZ"))
            }
            Self::LeaseLost => f.write_str("somebody else has taken the rotation over"),
            Self::Changed => f.write_str("the rotation was written by somebody else meanwhile"),
            Self::Missing(id) => write!(f, "there is no rotation {id}"),
            Self::Unavailable(_) => f.write_str("the journal cannot be used"),
        }
    }
}

impl StdError for JournalError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable(source) => Some(&**source),
            _ => None,
        }
    }
}

/// A journal in memory: for tests, and for whoever can do without a record of what a lost process was at.
///
/// Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    rotations: Arc<Mutex<BTreeMap<RotationId, Entry>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Entry {
    /// How many rotations were begun before.
    number: usize,
    versions: Vec<Record>,
    token: u64,
    held: Option<(String, DateTime<Utc>)>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self { rotations: Arc::default(), clock: Arc::new(SystemClock) }
    }

    /// Reads the time here: the machine's unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn rotations(&self) -> MutexGuard<'_, BTreeMap<RotationId, Entry>> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, time: Duration) -> DateTime<Utc> {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        self.clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
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

#[async_trait]
impl Journal for MemoryJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        let mut rotations = self.rotations();
        let of_same_key = rotations.values().filter_map(Entry::latest).filter(|other| other.is_of_same_key(record));
        for other in of_same_key {
            match &other.state {
                State::Aborted { .. } => {}
                State::Done { .. } => return Err(JournalError::Replaced(other.id.clone())),
                _ => return Err(JournalError::UnderWay(other.id.clone())),
            }
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
        let mut unfinished: Vec<_> = rotations
            .values()
            .filter_map(|entry| Some((entry.number, entry.latest().filter(|record| !record.state.is_finished())?)))
            .collect();
        unfinished.sort_by_key(|(number, _)| *number);
        Ok(unfinished.into_iter().map(|(_, record)| record.clone()).collect())
    }

    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        Ok(self.rotations().get(id).map(|entry| entry.versions.clone()).unwrap_or_default())
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (now, until) = (self.clock.now(), self.until(time));
        let mut rotations = self.rotations();
        let entry = rotations.get_mut(id).ok_or_else(|| JournalError::Missing(id.clone()))?;
        if let Some((by, until)) = &entry.held
            && now < *until
        {
            return Err(JournalError::Held { by: by.clone(), until: *until });
        }
        entry.token += 1;
        entry.held = Some((holder.to_owned(), until));
        Ok(Lease::new(id.clone(), entry.token, time))
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        let until = self.until(lease.time);
        let mut rotations = self.rotations();
        let missing = || JournalError::Missing(lease.rotation.clone());
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
        let until = self.until(lease.time);
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
