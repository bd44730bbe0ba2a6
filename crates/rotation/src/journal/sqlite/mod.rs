//! A journal in a file, by SQLite.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_keyring::{Clock, Mark, SystemClock};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior};

use super::{Journal, JournalError, Lease};
use crate::{Record, RotationId, State};

/// How long to wait for other processes that write.
const PATIENCE: Duration = Duration::from_secs(10);

/// What tells a journal from other programs' databases: "KeyR".
const APPLICATION: i32 = 0x4b65_7952;

/// How many statements are kept ready: more than there are.
const STATEMENTS: usize = 32;

/// What takes a file from each version to the next. A version that was published is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// A journal in a file, which any number of processes on one machine share.
///
/// It is on the disk when a call returns, and nothing that was written is ever changed: the file is also the history of all
/// rotations, and the command `sqlite3` reads it. A file on a network's file system is refused where that does not support
/// what sharing takes.
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
    /// Opens the file, which is made where it is missing, for its owner alone. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unavailable`] when it cannot be opened, is no journal, or was written by a newer version of this crate.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        create_private(&path).map_err(|error| Problem::at(&path, error))?;
        let connection = connect(&path).map_err(|error| Problem::at(&path, error))?;
        Ok(Self { path, connection: Arc::new(Mutex::new(connection)), clock: Arc::new(SystemClock) })
    }

    /// Reads the time here, which decides when a lease ends: the machine's unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Does something in one transaction, which no other process's comes between.
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

    /// The latest versions of some rotations.
    async fn records(&self, which: &'static str, limit: i64) -> Result<Vec<Record>, JournalError> {
        self.transact(move |transaction| {
            let sql = format!(
                "SELECT record FROM rotation JOIN version ON version.rotation = number AND version.version = \
                 rotation.version WHERE {which} LIMIT ?"
            );
            read_records(transaction, &sql, [limit])
        })
        .await
    }

    fn until(&self, time: Duration) -> DateTime<Utc> {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        self.clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a transaction is given up.
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

/// What is wrong with which file.
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
        write!(f, "{} cannot be used", self.path.display())
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// SQLite gives the files beside it the rights of this one.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    check_ours(&mut connection)?;
    share(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Refuses another program's database, before anything in it is changed.
fn check_ours(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let transaction = connection.transaction()?;
    let application: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, tables) {
        (APPLICATION, _) | (0, 0) => Ok(()),
        _ => Err("it is another program's database".into()),
    }
}

/// Has readers and writers not wait for each other. Processes that do so at once are told to come again, whatever the timeout.
fn share(connection: &Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(format!("the file system does not support a write-ahead log: {mode}").into()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(missing) = MIGRATIONS.get(version..) else {
        return Err(format!("it was written by a newer version of this program: its layout is {version}").into());
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Runs a statement that is kept for the next time.
fn execute(transaction: &Transaction<'_>, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
    transaction.prepare_cached(sql)?.execute(parameters)
}

fn read_records(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Record>, Failed> {
    let mut statement = transaction.prepare_cached(sql)?;
    let texts = statement.query_map(parameters, |row| row.get::<_, String>(0))?;
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

/// Refuses a rotation that wants what an unfinished one has to itself.
fn check_claims(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let sql = "SELECT record FROM claim JOIN rotation ON number = claim.rotation JOIN version \
               ON version.rotation = number AND version.version = rotation.version WHERE claim = ? AND id <> ?";
    for claim in record.claims() {
        let others = read_records(transaction, sql, (claim, record.id.as_str()))?;
        if let Some(conflict) = others.iter().find_map(|other| record.conflict_with(other)) {
            return Err(conflict.into());
        }
    }
    Ok(())
}

/// Writes down what a rotation has to itself, or that it has nothing any more.
fn write_claims(transaction: &Transaction<'_>, record: &Record) -> Result<(), Failed> {
    let of_rotation = "(SELECT number FROM rotation WHERE id = ?1)";
    if record.state.is_finished() {
        execute(transaction, &format!("DELETE FROM claim WHERE rotation = {of_rotation}"), [record.id.as_str()])?;
        return Ok(());
    }
    // Only what is begun and what is issued adds to it.
    if !matches!(record.state, State::Planned | State::Issued(_)) {
        return Ok(());
    }
    let sql = format!("INSERT INTO claim (rotation, claim) VALUES ({of_rotation}, ?2) ON CONFLICT DO NOTHING");
    for claim in record.claims() {
        execute(transaction, &sql, (record.id.as_str(), claim))?;
    }
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

/// Who is at work on a rotation, and how far it is.
struct Held {
    token: u64,
    version: u64,
    by: Option<(String, DateTime<Utc>)>,
}

impl Held {
    fn read(transaction: &Transaction<'_>, id: &RotationId) -> Result<Self, Failed> {
        let read = |row: &Row<'_>| {
            let holder: Option<String> = row.get(2)?;
            let until: Option<String> = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, holder.zip(until)))
        };
        let sql = "SELECT token, version, holder, held_until FROM rotation WHERE id = ?";
        let found = transaction.prepare_cached(sql)?.query_row([id.as_str()], read).optional()?;
        let (token, version, holder) = found.ok_or_else(|| JournalError::Missing(id.clone()))?;
        // A time that cannot be read keeps nobody out.
        let by = holder.and_then(|(by, until)| Some((by, DateTime::parse_from_rfc3339(&until).ok()?.to_utc())));
        Ok(Self { token, version, by })
    }

    fn of(transaction: &Transaction<'_>, lease: &Lease) -> Result<Self, Failed> {
        let held = Self::read(transaction, &lease.rotation)?;
        if held.token == lease.token { Ok(held) } else { Err(JournalError::LeaseLost.into()) }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        let record = record.clone();
        self.transact(move |transaction| {
            let plan = &record.plan;
            let key = (&*plan.vendor, &*plan.scope, plan.old.id.as_str());
            let of_key = "SELECT record FROM rotation JOIN version ON version.rotation = number \
                          AND version.version = rotation.version WHERE (vendor, scope, old_key) = (?, ?, ?) \
                          AND rotation.state <> 'aborted' AND new_key IS NOT old_key";
            let same_key = read_records(transaction, of_key, key)?;
            if let Some(conflict) = same_key.iter().find_map(|other| record.conflict_with(other)) {
                return Err(conflict.into());
            }
            check_claims(transaction, &record)?;
            execute(transaction, "INSERT INTO rotation (id, provider, vendor, scope, old_key, state, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (record.id.as_str(), &plan.provider, key.0, key.1, key.2, record.state.name(), record.version),
            )?;
            write_version(transaction, &record)
        })
        .await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        Ok(self.history(id).await?.pop())
    }

    async fn unfinished(&self) -> Result<Vec<Record>, JournalError> {
        self.records("rotation.state NOT IN ('done', 'aborted') ORDER BY number", -1).await
    }

    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        self.records("true ORDER BY number DESC", limit.try_into().unwrap_or(i64::MAX)).await
    }

    async fn of_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        let mark = mark.clone();
        self.transact(move |transaction| {
            let sql = "SELECT record FROM mark JOIN rotation ON number = mark.rotation JOIN version \
                       ON version.rotation = number AND version.version = rotation.version WHERE mark = ?";
            Ok(read_records(transaction, sql, [mark.as_str()])?.pop())
        })
        .await
    }

    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        let id = id.clone();
        self.transact(move |transaction| {
            let sql =
                "SELECT record FROM version JOIN rotation ON number = rotation WHERE id = ? ORDER BY version.version";
            read_records(transaction, sql, [id.as_str()])
        })
        .await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        let (id, holder) = (id.clone(), holder.to_owned());
        let (now, until) = (self.clock.now(), self.until(time));
        self.transact(move |transaction| {
            let held = Held::read(transaction, &id)?;
            if let Some((by, until)) = held.by.filter(|(_, until)| now < *until) {
                return Err(JournalError::Held { by, until }.into());
            }
            let token = held.token + 1;
            execute(
                transaction,
                "UPDATE rotation SET token = ?, holder = ?, held_until = ? WHERE id = ?",
                (token, holder, text(until), id.as_str()),
            )?;
            Ok(Lease::new(id, token, time))
        })
        .await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        let (lease, record, until) = (lease.clone(), record.clone(), self.until(lease.time));
        self.transact(move |transaction| {
            let held = Held::of(transaction, &lease)?;
            if held.version + 1 != record.version {
                return Err(JournalError::Changed.into());
            }
            // What was finished may be gone on with by somebody who was held up, and another may have taken its place since.
            if let State::Issued(_) = record.state {
                check_claims(transaction, &record)?;
            }
            write_version(transaction, &record)?;
            let new_key = match &record.state {
                State::Done { key, .. } => Some(key.as_str()),
                _ => None,
            };
            execute(
                transaction,
                "UPDATE rotation SET version = ?, state = ?, new_key = ?, held_until = ? WHERE id = ?",
                (record.version, record.state.name(), new_key, text(until), lease.rotation.as_str()),
            )?;
            Ok(())
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        let (lease, until) = (lease.clone(), self.until(lease.time));
        self.transact(move |transaction| {
            let held = Held::of(transaction, &lease)?;
            if held.by.is_none() {
                return Err(JournalError::LeaseLost.into());
            }
            execute(
                transaction,
                "UPDATE rotation SET held_until = ? WHERE id = ?",
                (text(until), lease.rotation.as_str()),
            )?;
            Ok(())
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        let lease = lease.clone();
        self.transact(move |transaction| {
            execute(
                transaction,
                "UPDATE rotation SET holder = NULL, held_until = NULL WHERE id = ? AND token = ?",
                (lease.rotation.as_str(), lease.token),
            )?;
            Ok(())
        })
        .await
    }
}
