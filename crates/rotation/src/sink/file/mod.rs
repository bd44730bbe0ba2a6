//! A sink in a file: the whole file, or a variable in a dotenv file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_keyring::Secret;
use async_trait::async_trait;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::secret_file::{Existing, Folder, Readers, SecretFile, SecretFileError, folder_of};
use super::store::{Slot, Store, StoreLock};
use super::{SinkError, dotenv};

/// How many bytes of a file to read at most. No file of secrets is that long.
const MAX_BYTES: u64 = 1024 * 1024;

/// How long to wait while another process writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores a secret in a file of its own, or in a variable of a dotenv file.
///
/// Every write replaces the file with a new one, which is on the disk before it appears at the path. The new file has
/// the owner of the file that it replaces. If there was none, this process's user owns it. The owner can read it. The
/// group can read it only if it could read the earlier file and all others could not. Nobody else can read it, even if
/// they could before.
///
/// Pending and previous secrets are in separate files beside it: `PATH.pending-MARK` and `PATH.previous-MARK`. For a
/// dotenv file these are `PATH.VARIABLE.pending-MARK` and `PATH.VARIABLE.previous-MARK`.
///
/// While one process writes, all others wait, even those that change another variable of the file or, on Unix, another
/// file in the folder. After ten seconds, their calls fail.
///
/// ```
/// use api_keyring_rotation::{Existing, FileSink, SecretFile, Sink};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().canonicalize()?.join(".env");
/// let text = "# for CI\nMONAD_API_KEY=abc\nDEBUG=1\n";
/// SecretFile::reserve(&path)?.put(&text.into(), Existing::Keep)?;
/// let sink = FileSink::dotenv(&path, "MONAD_API_KEY")?;
/// assert_eq!(sink.current().await?, Some("abc".into()));
/// assert_eq!(sink.name(), format!("dotenv:{}#MONAD_API_KEY", path.display()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSink {
    path: PathBuf,
    /// The variable, if the file is a dotenv file.
    variable: Option<String>,
}

impl FileSink {
    /// Returns a sink in a file that holds only the secret. Reading ignores a line break at the end of the file.
    ///
    /// # Errors
    ///
    /// If the path cannot be that of a file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, SinkError> {
        Self::at(path.as_ref(), None)
    }

    /// Returns a sink in a variable of a dotenv file. The rest of the file stays the same.
    ///
    /// # Errors
    ///
    /// If the path cannot be that of a file, or a variable cannot have that name.
    pub fn dotenv(path: impl AsRef<Path>, variable: impl Into<String>) -> Result<Self, SinkError> {
        let variable = variable.into();
        if !dotenv::is_name(&variable) {
            return Err(SinkError::new(format!(
                "{variable:?} cannot be a variable. Use letters, digits and _, and do not begin with a digit"
            )));
        }
        Self::at(path.as_ref(), Some(variable))
    }

    /// Makes the path absolute, because another process may resume the rotation from another folder.
    fn at(path: &Path, variable: Option<String>) -> Result<Self, SinkError> {
        let refuse = |problem: &str| Err(SinkError::new(format!("{}: {problem}", path.display())));
        if path.file_name().is_none() {
            return refuse("the path has no file name. Name a file, not a folder");
        }
        let Ok(mut path) = std::path::absolute(path) else { return refuse("the path cannot be made absolute") };
        // A sink must get the same name however the path to its folder is spelled. If the folder is missing, the first
        // write fails.
        if let (Ok(folder), Some(name)) = (folder_of(&path).canonicalize(), path.file_name()) {
            path = folder.join(name);
        }
        if path.to_str().is_none_or(|path| path.contains('\n') || path.contains('\r')) {
            return refuse(
                "the journal cannot record the path: it is not UTF-8 or has a line break. Choose another path",
            );
        }
        Ok(Self { path, variable })
    }

    /// Returns the path of the file that holds a slot.
    fn path_of(&self, slot: &Slot) -> PathBuf {
        let mut path = self.path.clone();
        if *slot != Slot::Current {
            // Each variable of a file has its own slots.
            let variable = self.variable.as_ref().map(|variable| format!(".{variable}")).unwrap_or_default();
            path.as_mut_os_string().push(format!("{variable}.{slot}"));
        }
        path
    }

    /// Returns the beginning of the names of files that are not at their final path yet.
    fn temporary_prefix(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".new-");
        name
    }

    /// Removes the files of processes that were killed while they wrote. The caller must hold the lock.
    fn clear(&self) -> io::Result<()> {
        let prefix = self.temporary_prefix();
        for entry in fs::read_dir(folder_of(&self.path))? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let this = self.clone();
        let done = spawn_blocking(move || work(&this)).await;
        done.unwrap_or_else(|error| Err(SinkError::new("the work on the file was cancelled").caused_by(error)))
    }

    fn fails(&self, problem: &str, error: io::Error) -> SinkError {
        SinkError::new(format!("{} {problem}", self.path.display())).caused_by(error)
    }

    /// Returns the text of the file that holds a slot. Returns `None` if the file does not exist.
    fn content(&self, slot: &Slot) -> Result<Option<Zeroizing<String>>, SinkError> {
        let path = self.path_of(slot);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fails("cannot be read", error)),
            Ok(found) if !found.is_file() => {
                return Err(SinkError::new(format!("{} is not a plain file, and was left unchanged", path.display())));
            }
            Ok(_) => {}
        }
        let read = || {
            let mut text = Zeroizing::new(String::new());
            File::open(&path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|error| self.fails("cannot be read", error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(SinkError::new(format!(
                "{} is larger than {MAX_BYTES} bytes, and was left unchanged",
                path.display()
            )));
        }
        Ok(Some(text))
    }

    fn find(&self, text: &str, variable: &str) -> Result<Option<dotenv::Setting>, SinkError> {
        dotenv::find(text, variable).map_err(|why| SinkError::new(format!("{}: {why}", self.path.display())))
    }

    fn read_now(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        let Some(text) = self.content(slot)? else { return Ok(None) };
        let secret = match &self.variable {
            Some(variable) if *slot == Slot::Current => {
                self.find(&text, variable)?.map(|setting| Secret::new(setting.value(&text)))
            }
            _ => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
        };
        Ok(secret.filter(|secret| !secret.is_empty()))
    }

    fn write_now(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        let text = match &self.variable {
            Some(variable) if *slot == Slot::Current => {
                let text = self.content(slot)?.unwrap_or_default();
                let setting = self.find(&text, variable)?;
                Zeroizing::new(dotenv::set(&text, variable, setting.as_ref(), secret.expose()))
            }
            _ => Zeroizing::new(secret.expose().to_owned()),
        };
        self.replace(slot, &text)
    }

    fn replace(&self, slot: &Slot, text: &str) -> Result<(), SinkError> {
        let file = self.reserve(slot)?;
        file.put_bytes(text.as_bytes(), Existing::Replace).map_err(|error| match error {
            // The caller still has the secret, so this copy can go.
            SecretFileError::Elsewhere { why, path } => {
                drop(fs::remove_file(path));
                self.fails("was not written, and is unchanged", why)
            }
            SecretFileError::Lost(why) => self.fails("was not written, and is unchanged", why),
            SecretFileError::Unsynced(why) => self.fails("was written, but may not survive a power failure", why),
        })
    }

    fn reserve(&self, slot: &Slot) -> Result<SecretFile, SinkError> {
        let file = SecretFile::reserve_as(self.path_of(slot), self.temporary_prefix());
        let file = file.map_err(|error| self.fails("cannot be written", error))?;
        // The programs that read the file must be able to read the new one.
        if let Ok(there) = fs::metadata(&self.path) {
            // Only the owner may read a pending or a previous secret.
            let readers = if *slot == Slot::Current { Readers::OwnerAndGroup } else { Readers::Owner };
            let same_readers = file.copy_access_of(&there, readers);
            same_readers.map_err(|error| {
                self.fails(
                    "belongs to another user or group, which could not read a new file in its place. It was left \
                     unchanged",
                    error,
                )
            })?;
        }
        Ok(file)
    }

    fn remove_now(&self, slot: &Slot) -> Result<(), SinkError> {
        if let (Some(variable), Slot::Current) = (&self.variable, slot) {
            let Some(text) = self.content(slot)? else { return Ok(()) };
            return match self.find(&text, variable)? {
                Some(setting) => self.replace(slot, &Zeroizing::new(setting.removed(&text))),
                None => Ok(()),
            };
        }
        let remove = || {
            fs::remove_file(self.path_of(slot))?;
            Folder::containing(&self.path)?.sync()
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.fails("cannot be removed", error)),
            _ => Ok(()),
        }
    }

    /// Opens the file to lock: the folder, or a file beside this one if the system cannot open folders.
    fn lock_file(&self) -> io::Result<File> {
        match Folder::containing(&self.path)?.file() {
            Some(folder) => Ok(folder),
            None => {
                let mut path = self.path.clone();
                path.as_mut_os_string().push(".lock");
                File::options().create(true).append(true).open(path)
            }
        }
    }
}

#[async_trait]
impl Store for FileSink {
    fn address(&self) -> String {
        let path = self.path.display();
        match &self.variable {
            None => format!("file:{path}"),
            Some(variable) => format!("dotenv:{path}#{variable}"),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        self.blocking(|this| {
            this.read_now(&Slot::Current)?;
            this.reserve(&Slot::Current).map(drop)
        })
        .await
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        let slot = slot.clone();
        self.blocking(move |this| this.read_now(&slot)).await
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        let (slot, secret) = (slot.clone(), secret.clone());
        self.blocking(move |this| this.write_now(&slot, &secret)).await
    }

    async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
        let slot = slot.clone();
        self.blocking(move |this| this.remove_now(&slot)).await
    }

    async fn lock(&self) -> Result<StoreLock, SinkError> {
        let fails = |error| self.fails("cannot be written", error);
        let file = self.lock_file().map_err(fails)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    self.clear().map_err(fails)?;
                    return Ok(Box::new(file));
                }
                Err(fs::TryLockError::WouldBlock) if Instant::now() < end => sleep(Duration::from_millis(5)).await,
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(SinkError::new(format!(
                        "another process keeps {} locked, so nothing was written. Try again",
                        self.path.display()
                    )));
                }
                Err(fs::TryLockError::Error(error)) => return Err(fails(error)),
            }
        }
    }
}
