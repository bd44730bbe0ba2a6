//! A lock on the files of a destination. It is a private file, so that a user who can only read the folder cannot hold
//! it.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

#[cfg(unix)]
use super::secret_file::no_modes;

/// How long to wait while another process writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Why a file is not locked.
pub(super) enum LockError {
    /// Another process keeps it locked.
    Busy,
    System(io::Error),
}

/// A locked file. Dropping this removes the lock file and unlocks it.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    // The system unlocks the file when it is closed, after the removal.
    _file: File,
}

impl FileLock {
    /// Locks the file at a path against other processes that use this lock, and waits for them for a while.
    pub(super) async fn take(path: &Path) -> Result<Self, LockError> {
        let path = lock_path(path);
        let end = Instant::now() + PATIENCE;
        loop {
            match Self::try_take(&path).map_err(LockError::System)? {
                Some(lock) => return Ok(lock),
                None if Instant::now() < end => sleep(PAUSE).await,
                None => return Err(LockError::Busy),
            }
        }
    }

    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            // The holder may have removed the file since this process opened it. A lock on a removed file keeps nobody
            // out.
            Ok(()) => Ok(is_at(&file, path).then(|| Self { path: path.to_owned(), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A file that stays is locked and removed by the next process.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the path of the file to lock: `.NAME.api-keyring-lock` beside the file.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".api-keyring-lock");
    path.with_file_name(name)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = File::options();
    options.append(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(new) => {
            // The process's mask of modes may have taken the owner's rights.
            new.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            if new.metadata()?.mode() & 0o077 == 0 {
                return Ok(new);
            }
            fs::remove_file(path)?;
            return Err(no_modes());
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    // Another process may have removed it since.
    let file = options.create(true).open(path).map_err(|error| match path.symlink_metadata() {
        // For example, a process of root was killed while it held the lock.
        Ok(_) => io::Error::new(
            error.kind(),
            format!(
                "its lock file {} cannot be used: {error}. Remove it if no other process writes the destination",
                path.display()
            ),
        ),
        Err(_) => error,
    })?;
    let found = file.metadata()?;
    let ours = rustix::process::geteuid().as_raw();
    if !found.is_file() || ![ours, 0].contains(&found.uid()) || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "{} should be a private file of this program, but others can use it. Remove it, and check who put it there",
            path.display()
        )));
    }
    Ok(file)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|found| (found.dev(), found.ino()));
    let opened = identity(file.metadata());
    opened.is_some() && opened == identity(path.symlink_metadata())
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    // This system does not remove a file that is open.
    path.exists()
}
