//! Opening the journal's file: its rights, its settings and its layout.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::guard;

/// How long to wait while other processes write.
const PATIENCE: Duration = Duration::from_secs(10);

/// The application id that marks a database as a journal: "KeyR".
const APPLICATION: i32 = 0x4b65_7952;

/// How many prepared statements to keep: more than the journal has.
const STATEMENTS: usize = 32;

/// The statements that migrate a file from each layout to the next. A published migration never changes.
const MIGRATIONS: [&str; 3] = [include_str!("1.sql"), include_str!("2.sql"), include_str!("3.sql")];

const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Opens a journal's file, and creates it if it does not exist. Refuses a file that others can change.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let path = guard::resolve(path)?;
    create_private(&path)?;
    let file = guard::check(&path)?;
    guard::make_private(&path);
    let mut connection = connect(&path)?;
    check_ours(&mut connection)?;
    use_write_ahead_log(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    guard::check_again(&path, file)?;
    Ok(connection)
}

/// Opens a journal's file to read it, and changes nothing in it.
pub(super) fn open_read_only(path: &Path) -> Result<Connection> {
    let path = guard::resolve(path)?;
    let file = guard::check(&path)?;
    let has_log = guard::has_log(&path);
    let mut connection = connect(&path)?;
    // What a killed process left in the log stays there. Otherwise SQLite would write it to the file when it closes it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    match check_ours(&mut connection) {
        // SQLite cannot create its other files beside this one. Without a log, the file is complete.
        Err(error) if cannot_create(&*error) && !has_log => {
            connection = connect_immutable(&path)?;
            check_ours(&mut connection)?;
        }
        checked => checked?,
    }
    if !missing_migrations(layout(&connection)?)?.is_empty() {
        connection = copy(&connection)?;
        migrate(&mut connection)?;
    }
    connection.pragma_update(None, "query_only", true)?;
    guard::check_again(&path, file)?;
    Ok(connection)
}

/// Opens a file that exists.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    configured(Connection::open_with_flags(path, FLAGS)?)
}

/// Opens a file that nothing changes meanwhile: SQLite creates no other files beside it, and takes no lock.
fn connect_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    configured(Connection::open_with_flags(uri, FLAGS | OpenFlags::SQLITE_OPEN_URI)?)
}

fn configured(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Returns whether SQLite could not create its other files.
fn cannot_create(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    // The index of the log takes room on the disk.
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}

/// Copies a journal into memory.
fn copy(from: &Connection) -> rusqlite::Result<Connection> {
    let mut to = configured(Connection::open_in_memory()?)?;
    Backup::new(from, &mut to)?.run_to_completion(c_int::MAX, Duration::ZERO, None)?;
    Ok(to)
}

/// Creates the file so that only its owner can read it. SQLite gives its other files the same rights.
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

/// Refuses another program's database before anything in it changes.
fn check_ours(connection: &mut Connection) -> Result {
    let transaction = connection.transaction()?;
    let application: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, tables) {
        (APPLICATION, _) | (0, 0) => Ok(()),
        _ => Err("it is another program's database. It was left unchanged. Choose another file (`--journal`)".into()),
    }
}

/// Switches to a write-ahead log, so that readers and writers do not wait for each other.
fn use_write_ahead_log(connection: &Connection) -> Result {
    // SQLite's own timeout does not apply here: of several processes that switch at once, all but one get an error.
    let end = Instant::now() + PATIENCE;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(format!(
                    "its file system does not support a write-ahead log (SQLite uses {mode:?}). Choose a file on a \
                     local disk (`--journal`)"
                )
                .into());
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the number of the file's layout.
fn layout(connection: &Connection) -> rusqlite::Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns the migrations from a layout to the latest one.
fn missing_migrations(layout: usize) -> Result<&'static [&'static str]> {
    MIGRATIONS.get(layout..).ok_or_else(|| {
        format!("a newer version of this program wrote it, in layout {layout}. Update this program to read it").into()
    })
}

/// Brings the file to the latest layout.
fn migrate(connection: &mut Connection) -> Result {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in missing_migrations(layout(&transaction)?)? {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}
