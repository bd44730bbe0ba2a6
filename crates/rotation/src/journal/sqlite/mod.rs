//! A journal in a SQLite file.

mod file;
mod guard;
mod lease;
mod process;
mod prune;
mod rows;
mod statements;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_keyring::{Clock, Mark, SystemClock};
use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use self::lease::{Held, Times};
use super::{
    Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing, Prune, Pruned, lease_end,
    time_before,
};
use crate::{Record, RotationId, State};

/// Writes as much as the versions of a rotation in place take at most, with all that changes beside them.
const TAKE_ROOM: &str = "CREATE TABLE IF NOT EXISTS room (bytes BLOB); INSERT INTO room VALUES (zeroblob(262144))";

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
    /// A symbolic link is followed if all of this holds for it, too. Folders further up are not checked.
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

    /// Opens the file to read it, which blocks the calling thread. Nothing in the file changes, whatever version of this
    /// crate wrote it, and all calls that would change something fail. The file may be on a read-only file system.
    ///
    /// A file of an earlier version is copied into memory, so this journal does not show what is written to it later.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [`JournalError::Unavailable`] if the file does not exist.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let connection = file::open_read_only(&path).map_err(|error| Problem::at(&path, error))?;
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
        self.run(TransactionBehavior::Immediate, work).await
    }

    /// Runs `work`, which only reads, on one state of the journal. Processes that write meanwhile need not wait.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.run(TransactionBehavior::Deferred, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, JournalError> {
        let run = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        self.call(run).await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, JournalError> {
        let connection = Arc::clone(&self.connection);
        let call = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(call).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Failed::Journal(error))) => Err(error),
            Ok(Err(Failed::Sqlite(error))) => Err(Problem::at(&self.path, error.into())),
            Ok(Err(Failed::Json(error))) => Err(Problem::at(&self.path, error.into())),
            Err(error) => Err(Problem::at(&self.path, error.into())),
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
    fn at(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> JournalError {
        let is_transient = source.downcast_ref().is_some_and(is_transient);
        let problem = Box::new(Self { path: path.to_owned(), source });
        if is_transient { JournalError::Transient(problem) } else { JournalError::Unavailable(problem) }
    }
}

/// Returns whether SQLite may succeed in a moment: somebody else writes, or the disk is full or failed.
fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
        )
    )
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
            if statements::exists(transaction, &record.id)? {
                return Err(JournalError::Changed.into());
            }
            statements::check_key(transaction, &record)?;
            statements::check_claims(transaction, &record)?;
            statements::begin(transaction, &record)
        })
        .await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        let id = id.clone();
        let found = self.read(move |transaction| statements::load(transaction, &id)).await?;
        found.map(JournalEntry::readable).transpose()
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        self.read(move |transaction| statements::list(transaction, listing, after, limit)).await
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        let mark = mark.clone();
        let found = self.read(move |transaction| statements::find_by_mark(transaction, &mark)).await?;
        found.map(JournalEntry::readable).transpose()
    }

    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let id = id.clone();
        self.read(move |transaction| statements::versions(transaction, &id, from, limit)).await
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError> {
        let times = (self.clock.now(), time_before(&*self.clock, older_than));
        let (mut pruned, mut next) = (Pruned::default(), Some(0));
        while let Some(after) = next {
            let part = move |transaction: &Transaction<'_>| prune::part(transaction, after, times, prune);
            let part = match prune {
                Prune::Count => self.read(part).await?,
                Prune::Remove => self.transact(part).await?,
            };
            pruned.rotations += part.pruned.rotations;
            pruned.unreadable += part.pruned.unreadable;
            next = part.next;
        }
        Ok(pruned)
    }

    async fn make_room(&self) -> Result<(), JournalError> {
        self.transact(|transaction| Ok(transaction.execute_batch(TAKE_ROOM)?)).await?;
        // Another rotation may have removed the table, which they share.
        self.transact(|transaction| Ok(transaction.execute_batch("DROP TABLE IF EXISTS room")?)).await?;
        // What follows takes the place of the changes that are in the file by then. If other processes read meanwhile,
        // it may not.
        self.call(|connection| Ok(connection.execute_batch("PRAGMA wal_checkpoint")?)).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (id, holder) = (id.clone(), holder.to_owned());
        let latest_end = lease_end(&*self.clock, Duration::MAX);
        let times = Times { now: self.clock.now(), end: lease_end(&*self.clock, time), latest_end };
        self.transact(move |transaction| lease::take(transaction, id, &holder, time, &times)).await?
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        let (lease, record, lease_end) = (lease.clone(), record.clone(), lease_end(&*self.clock, lease.time));
        self.transact(move |transaction| {
            let held = Held::check(transaction, &lease)?;
            if held.version + 1 != record.version || lease.rotation != record.id {
                return Err(JournalError::Changed.into());
            }
            // A process that was held up may continue a rotation that others have finished. Its key and its sinks may
            // belong to another rotation by now.
            let is_reopened = held.is_finished && !record.state.is_finished();
            if is_reopened || matches!(record.state, State::Issued(_)) {
                statements::check_key(transaction, &record)?;
                statements::check_claims(transaction, &record)?;
            }
            statements::save(transaction, &lease, &record, lease_end)
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        let (lease, lease_end) = (lease.clone(), lease_end(&*self.clock, lease.time));
        self.transact(move |transaction| lease::renew(transaction, &lease, lease_end)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        let lease = lease.clone();
        self.transact(move |transaction| lease::release(transaction, &lease)).await
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_busy_journal_and_a_full_disk_are_transient() {
        let is_transient = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            Problem::at(Path::new("journal"), error.into()).is_transient()
        };
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_PROTOCOL] {
            assert!(is_transient(code), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_READONLY, ffi::SQLITE_CONSTRAINT] {
            assert!(!is_transient(code), "{code}");
        }
        assert!(!Problem::at(Path::new("journal"), "it is another program's".into()).is_transient());
    }
}
