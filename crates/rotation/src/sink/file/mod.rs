//! A sink in a file: the whole file, or a variable in a dotenv file.

mod dotenv;
mod existing;
mod lock;
pub(crate) mod secret_file;
mod whole;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_keyring::Secret;
use async_trait::async_trait;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use self::existing::{ABSENT, ExistingFile, Unfit, check_folder};
use self::lock::{FileLock, LockError};
use self::secret_file::{Folder, Purpose, SecretFile, SecretFileError, folder_of, is_left_over, rehearse};
use self::whole::Whole;
use super::store::{Slot, Store, StoreLock};
use super::{Held, Room, Sink, SinkError};
use crate::host::Host;

/// Stores a secret in a file of its own, or in a variable of a dotenv file.
///
/// Every write replaces the file with a new one, which is on the disk before it appears at the path. The same users can
/// use the new file: it has the owner, group, mode, access-control list and other attributes of the file that it
/// replaces. If the sink cannot keep them, it writes nothing. If there was no file, only this process's user can use
/// the new one.
///
/// The sink refuses a file that nothing can replace, or whose replacement its users would not see: a link, a file with
/// several names, a mount point, an immutable file, and a file in a folder where this process may not rename it.
///
/// Pending and previous secrets are in separate files beside it, for this process's user alone: `PATH.pending-MARK` and
/// `PATH.previous-MARK`. For a dotenv file these are `PATH.VARIABLE.pending-MARK` and `PATH.VARIABLE.previous-MARK`.
///
/// While one process writes, all others wait, even those that change another variable of the file. After ten seconds,
/// their calls fail.
///
/// The file belongs to one [host](Host), so the sink's name has the host in it.
///
/// ```
/// use api_keyring_rotation::{Existing, FileSink, Host, SecretFile, Sink};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().canonicalize()?.join(".env");
/// let text = "# for CI\nMONAD_API_KEY=abc\nDEBUG=1\n";
/// std::fs::write(&path, text)?;
/// let sink = FileSink::dotenv(&path, "MONAD_API_KEY")?;
/// assert_eq!(sink.current().await?, Some("abc".into()));
/// assert_eq!(sink.name(), format!("dotenv@{}:{}#MONAD_API_KEY", Host::this(), path.display()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSink {
    path: PathBuf,
    /// The variable, if the file is a dotenv file.
    variable: Option<String>,
    /// The access that the file must still have when it is written; `None` if any access will do.
    expected: Option<String>,
}

impl FileSink {
    /// Returns a sink in a file that holds one secret and nothing else, apart from line ends after it.
    ///
    /// A rotation refuses a file that may hold something else, such as a setting, a URL or a list. A text with one of
    /// the characters `` "'`,;<>{}[]():#@$|\&? `` counts as such. No secret in the documentation of the supported
    /// vendors has one. If your vendor's secrets have them, use a variable of a [dotenv file](Self::dotenv).
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
        Ok(Self { path, variable, expected: None })
    }

    /// Returns the path of the file that holds a slot.
    fn path_of(&self, slot: &Slot) -> PathBuf {
        match slot {
            Slot::Current => self.path.clone(),
            slot => append(self.base(), &format!(".{slot}")),
        }
    }

    /// Returns the beginning of the paths of the slots. Each variable of a file has its own.
    fn base(&self) -> PathBuf {
        match &self.variable {
            Some(variable) => append(self.path.clone(), &format!(".{variable}")),
            None => self.path.clone(),
        }
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

    fn unfit(&self, path: &Path, problem: &str, unfit: Unfit) -> SinkError {
        match unfit {
            Unfit::System(error) => self.fails(problem, error),
            Unfit::Kind(text) => SinkError::new(format!("{} {text}", path.display())),
        }
    }

    /// Opens the file that holds a slot. Returns `None` if it does not exist.
    fn open(&self, slot: &Slot) -> Result<Option<ExistingFile>, SinkError> {
        let path = self.path_of(slot);
        ExistingFile::open(&path).map_err(|unfit| self.unfit(&path, "cannot be read", unfit))
    }

    /// Opens the file for a write. Refuses it if its access is not the expected one.
    fn open_to_write(&self) -> Result<Option<ExistingFile>, SinkError> {
        let existing = self.open(&Slot::Current)?;
        let Some(expected) = &self.expected else { return Ok(existing) };
        let access = access_of(existing.as_ref());
        // Where no file was, an earlier write of this sink may have created one.
        let is_ours = expected == ABSENT && existing.as_ref().is_some_and(ExistingFile::is_private);
        if access == *expected || is_ours {
            return Ok(existing);
        }
        Err(SinkError::new(format!(
            "{} was left unchanged, because its access has changed since the rotation was planned: it is {access}, and \
             was {expected}. Undo that and try again",
            self.path.display()
        )))
    }

    fn text(&self, slot: &Slot, file: Option<&ExistingFile>) -> Result<Option<Zeroizing<String>>, SinkError> {
        let text = file.map(ExistingFile::text).transpose();
        text.map_err(|unfit| self.unfit(&self.path_of(slot), "cannot be read", unfit))
    }

    fn find(&self, text: &str, variable: &str) -> Result<Option<dotenv::Setting>, SinkError> {
        dotenv::find(text, variable).map_err(|why| SinkError::new(format!("{}: {why}", self.path.display())))
    }

    fn read_now(&self, slot: &Slot) -> Result<Held, SinkError> {
        let file = self.open(slot)?;
        let access = Some(access_of(file.as_ref()));
        let Some(text) = self.text(slot, file.as_ref())? else {
            return Ok(Held { access, ..Held::default() });
        };
        let (secret, problem) = match &self.variable {
            Some(variable) if *slot == Slot::Current => {
                (self.find(&text, variable)?.map(|setting| Secret::new(setting.value(&text))), None)
            }
            _ => (Whole::of(&text).secret(), Whole::of(&text).problem()),
        };
        let problem = problem.map(|problem| {
            let path = self.path.display().to_string();
            format!("{path} {}", problem.replacen("dotenv:PATH", &format!("dotenv:{path}"), 1))
        });
        Ok(Held { secret: secret.filter(|secret| !secret.is_empty()), problem, access })
    }

    /// Returns whether the file, or the variable in it, exists and is empty.
    fn is_blank_now(&self) -> Result<bool, SinkError> {
        let file = self.open(&Slot::Current)?;
        let Some(text) = self.text(&Slot::Current, file.as_ref())? else { return Ok(false) };
        Ok(match &self.variable {
            Some(variable) => self.find(&text, variable)?.is_some_and(|setting| setting.value(&text).is_empty()),
            None => Whole::of(&text).secret().is_none(),
        })
    }

    fn write_now(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        if *slot != Slot::Current {
            return self.replace(slot, None, secret.expose());
        }
        let existing = self.open_to_write()?;
        let text = self.text(slot, existing.as_ref())?.unwrap_or_default();
        let text = match &self.variable {
            Some(variable) => {
                let setting = self.find(&text, variable)?;
                Zeroizing::new(dotenv::set(&text, variable, setting.as_ref(), secret.expose()))
            }
            None => Whole::of(&text).with(secret),
        };
        self.replace(slot, existing, &text)
    }

    fn replace(&self, slot: &Slot, existing: Option<ExistingFile>, text: &str) -> Result<(), SinkError> {
        let path = self.path_of(slot);
        let file = SecretFile::reserve_for(path.clone(), existing, &self.base(), Purpose::Write, text.len() as u64);
        let file = file.map_err(|unfit| self.unfit(&path, "cannot be written", unfit))?;
        file.put_bytes(text.as_bytes()).map_err(|error| match error {
            // The caller still has the secret, so this copy can go.
            SecretFileError::Elsewhere { why, path } => {
                drop(fs::remove_file(path));
                self.fails("was not written, and is unchanged", why)
            }
            SecretFileError::Lost(why) => self.fails("was not written, and is unchanged", why),
            SecretFileError::Unsynced(why) => self.fails("was written, but may not survive a power failure", why),
        })
    }

    fn remove_now(&self, slot: &Slot) -> Result<(), SinkError> {
        if let (Some(variable), Slot::Current) = (&self.variable, slot) {
            let existing = self.open_to_write()?;
            let Some(text) = self.text(slot, existing.as_ref())? else { return Ok(()) };
            return match self.find(&text, variable)? {
                // There was no file before the rotation.
                Some(setting) if setting.removed(&text).is_empty() && self.expected.as_deref() == Some(ABSENT) => {
                    self.remove_file(slot)
                }
                Some(setting) => self.replace(slot, existing, &Zeroizing::new(setting.removed(&text))),
                None => Ok(()),
            };
        }
        if *slot == Slot::Current {
            self.open_to_write()?;
        }
        self.remove_file(slot)
    }

    fn remove_file(&self, slot: &Slot) -> Result<(), SinkError> {
        let path = self.path_of(slot);
        // A file system that cannot be written refuses to remove even what does not exist.
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        let removed = fs::remove_file(&path).and_then(|()| Folder::containing(&path)?.sync());
        removed.map_err(|error| self.fails("cannot be removed", error))
    }

    /// Locks the file against other processes.
    async fn lock_only(&self) -> Result<FileLock, SinkError> {
        // A lock file could not be removed from such a folder.
        check_folder(&self.path).map_err(|unfit| self.unfit(&self.path, "cannot be written", unfit))?;
        FileLock::take(&self.path).await.map_err(|error| match error {
            LockError::Busy => SinkError::new(format!(
                "another process keeps {} locked, so nothing was written. Try again",
                self.path.display()
            )),
            LockError::System(error) => self.fails("cannot be written", error),
        })
    }

    /// Removes what killed processes left beside the file. The caller must hold the lock, so that no process is still
    /// writing.
    fn clear(&self) -> io::Result<()> {
        let base = self.base();
        for entry in fs::read_dir(folder_of(&self.path))? {
            let entry = entry?;
            if is_left_over(&base, &entry.file_name()) && entry.file_type()?.is_file() {
                // Another user's file in a sticky folder stays, and is no obstacle.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// Tries all that a rotation will do to the file, and leaves nothing behind. Returns a file that keeps room for it.
    fn rehearse(&self) -> Result<fs::File, SinkError> {
        let existing = self.open_to_write()?;
        let text = self.text(&Slot::Current, existing.as_ref())?;
        if let (Some(text), Some(variable)) = (&text, &self.variable) {
            self.find(text, variable)?;
        }
        let rehearsed = rehearse(&self.path, existing.as_ref(), &self.base(), Purpose::Write);
        rehearsed.map_err(|unfit| self.unfit(&self.path, "cannot be written", unfit))
    }
}

/// Returns who may use a file.
fn access_of(file: Option<&ExistingFile>) -> String {
    file.map_or_else(|| ABSENT.to_owned(), ExistingFile::access)
}

fn append(mut path: PathBuf, end: &str) -> PathBuf {
    path.as_mut_os_string().push(end);
    path
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

    fn host(&self) -> Option<&Host> {
        Some(Host::this())
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Store::reserve(self).await.map(drop)
    }

    async fn reserve(&self) -> Result<Room, SinkError> {
        // What a killed process left stays until something is written: this may be a dry run.
        let _lock = self.lock_only().await?;
        Ok(Box::new(self.blocking(Self::rehearse).await?))
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        let slot = slot.clone();
        self.blocking(move |this| Ok(this.read_now(&slot)?.secret)).await
    }

    async fn is_blank(&self) -> Result<bool, SinkError> {
        self.blocking(Self::is_blank_now).await
    }

    async fn look(&self) -> Result<Held, SinkError> {
        self.blocking(|this| this.read_now(&Slot::Current)).await
    }

    fn expecting(&self, access: &str) -> Option<Arc<dyn Sink>> {
        Some(Arc::new(Self { expected: Some(access.to_owned()), ..self.clone() }))
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
        let lock = self.lock_only().await?;
        self.clear().map_err(|error| self.fails("cannot be written", error))?;
        Ok(Box::new(lock))
    }
}
