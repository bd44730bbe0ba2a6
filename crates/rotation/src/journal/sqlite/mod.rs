//! A journal in a SQLite file.

mod file;
mod guard;
mod statements;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_keyring::{Clock, Mark, SystemClock};
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::statements::Held;
use super::{Journal, JournalError, Lease, lease_end};
use crate::{Record, RotationId, State};

/// A journal in a file, which any number of processes on one machine can share.
///
/// When a call returns, its effect is on the disk. The journal never changes what it has written, so the file is
/// also the history of all rotations. You can read it with the command `sqlite3`. The journal refuses a file on a
/// network file system that does not support sharing.
///
/// ```
/// use api_keyring_rotation::SqliteJournal;
///
/// # let folder = tempfile::tempdir()?;
/// let journal = SqliteJournal::open(folder.path().join("rotations.sqlite"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    clock: Arc<dyn Clock>,
}

impl SqliteJournal {
    /// Opens the file, which blocks the calling thread. If the file does not exist, creates it for its owner alone.
    ///
    /// A journal names programs to run and keys to delete. On Unix, the file, the files that SQLite keeps beside it and
    /// their folder must therefore belong to the effective user or to root, and nobody else may be able to write them.
    /// A sticky folder such as `/tmp` may be writable. A symbolic link is followed if all of this holds for it, too.
    /// Folders further up are not checked.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unavailable`] if the file cannot be opened or trusted, is not a journal, or comes from a newer
    /// version of this crate.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let connection = file::open(&path).map_err(|error| Problem::at(&path, error))?;
        Ok(Self { path, connection: Arc::new(Mutex::new(connection)), clock: Arc::new(SystemClock) })
    }

    /// Sets the clock that decides when a lease ends. The default is the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Runs `work` in one transaction, isolated from every other process.
    async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, JournalError> {
        let connection = Arc::clone(&self.connection);
        let transact = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        let done = tokio::task::spawn_blocking(transact).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Failed::Journal(error))) => Err(error),
            Ok(Err(Failed::Sqlite(error))) => Err(Problem::at(&self.path, error)),
            Ok(Err(Failed::Json(error))) => Err(Problem::at(&self.path, error)),
            Err(error) => Err(Problem::at(&self.path, error)),
        }
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a transaction was rolled back.
enum Failed {
    Journal(JournalError),
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// A problem with a journal's file.
#[derive(Debug)]
struct Problem {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Problem {
    fn at(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> JournalError {
        JournalError::Unavailable(Box::new(Self { path: path.to_owned(), source: source.into() }))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used as the journal", self.path.display())
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        let record = record.clone();
        self.transact(move |transaction| {
            statements::check_key(transaction, &record)?;
            statements::check_claims(transaction, &record)?;
            statements::begin(transaction, &record)
        })
        .await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        let id = id.clone();
        self.transact(move |transaction| statements::load(transaction, &id)).await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, JournalError> {
        self.transact(statements::unfinished).await
    }

    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        let limit = limit.try_into().unwrap_or(i64::MAX);
        self.transact(move |transaction| statements::latest(transaction, limit)).await
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        let mark = mark.clone();
        self.transact(move |transaction| statements::find_by_mark(transaction, &mark)).await
    }

    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        let id = id.clone();
        self.transact(move |transaction| statements::history(transaction, &id)).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (id, holder) = (id.clone(), holder.to_owned());
        let (now, lease_end) = (self.clock.now(), lease_end(&*self.clock, time));
        self.transact(move |transaction| {
            let held = Held::read(transaction, &id)?;
            let is_takeover = held.by.is_some();
            if let Some((by, until)) = held.by.filter(|(_, until)| now < *until) {
                return Err(JournalError::Held { by, until }.into());
            }
            let lease = Lease::new(id, held.token + 1, time).takeover(is_takeover);
            statements::hold(transaction, &lease, &holder, lease_end)?;
            Ok(lease)
        })
        .await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        let (lease, record, lease_end) = (lease.clone(), record.clone(), lease_end(&*self.clock, lease.time));
        self.transact(move |transaction| {
            let held = Held::check(transaction, &lease)?;
            if held.version + 1 != record.version {
                return Err(JournalError::Changed.into());
            }
            // A process that was held up may continue a rotation that others have finished. Its key and its sinks may
            // belong to another rotation by now.
            if let State::Issued(_) = record.state {
                statements::check_claims(transaction, &record)?;
            }
            statements::save(transaction, &lease, &record, lease_end)
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        let (lease, lease_end) = (lease.clone(), lease_end(&*self.clock, lease.time));
        self.transact(move |transaction| {
            let held = Held::check(transaction, &lease)?;
            if held.by.is_none() {
                return Err(JournalError::LeaseLost.into());
            }
            statements::renew(transaction, &lease, lease_end)
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        let lease = lease.clone();
        self.transact(move |transaction| statements::release(transaction, &lease)).await
    }
}
