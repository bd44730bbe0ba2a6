//! Writing a secret to a file of its own.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use api_keyring::{Mark, Secret};
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, PersistError, TempPath};

use super::existing::{ExistingFile, Unfit, check_folder};
use super::whole::Whole;

/// How many bytes to reserve before a secret exists. No secret is that long.
const RESERVED_BYTES: u64 = 16 * 1024;

/// A reserved file for a secret. It appears at its path complete or not at all.
///
/// Reserving the file finds out early what would fail later: a missing folder, a missing right, a full disk, a mount
/// point at the path. If you drop it without a secret, it leaves nothing behind.
///
/// A new file can be read only by its owner. A file that replaces another one keeps its owner, group, mode,
/// access-control list and other attributes.
///
/// ```
/// use api_keyring::Secret;
/// use api_keyring_rotation::{Existing, SecretFile};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ci.key");
/// let file = SecretFile::reserve(&path, Existing::Keep)?;
/// // Issue a key, and then:
/// file.put(&Secret::new("sk_live_123"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "sk_live_123");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SecretFile {
    /// The temporary file. It is in the same folder, so that it can be renamed to its path.
    temporary: NamedTempFile,
    folder: Folder,
    path: PathBuf,
    /// What is at the path, if it is to be replaced.
    existing: Option<ExistingFile>,
    treats_existing: Existing,
}

/// How a [`SecretFile`] treats a file that is already at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keeps the file and fails.
    Keep,
    /// Replaces the file, if it holds one secret and nothing else, or is empty. A line end after the secret stays.
    Replace,
    /// Replaces the file, whatever it holds. Use this for a file that only your program writes.
    Overwrite,
}

/// The purpose of a temporary file, as its name shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A destination writes it while it is locked.
    Write,
    /// It waits for a secret that is being issued.
    Issue,
}

/// Why a secret is not safely in its file.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretFileError {
    /// No file holds the secret.
    Lost(io::Error),
    /// Another file holds the complete secret.
    Elsewhere {
        /// Why the secret is not at the intended path.
        why: io::Error,
        /// The path of the file that holds the secret.
        path: PathBuf,
    },
    /// The file holds the secret, but may not survive a power failure.
    Unsynced(io::Error),
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(_) => f.write_str("the secret was not written to any file"),
            Self::Elsewhere { path, .. } => {
                write!(f, "the secret is in {} instead of its own file. Move it there", path.display())
            }
            Self::Unsynced(_) => f.write_str("the secret is in its file, but may not survive a power failure"),
        }
    }
}

impl std::error::Error for SecretFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost(why) | Self::Unsynced(why) | Self::Elsewhere { why, .. } => Some(why),
        }
    }
}

impl SecretFile {
    /// Reserves room for a secret in the folder of this path. Does not change a file that is already at the path.
    ///
    /// # Errors
    ///
    /// If no such file could be written, the disk is full, or the file at the path may not or cannot be replaced.
    pub fn reserve(path: impl Into<PathBuf>, treats_existing: Existing) -> io::Result<Self> {
        let path = path.into();
        let text = path.as_os_str().as_encoded_bytes();
        if text.ends_with(b"/") || text.ends_with(b"/.") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is a folder's. Name a file"));
        }
        let existing = ExistingFile::open(&path)?;
        if let Some(existing) = &existing {
            match treats_existing {
                Existing::Keep => return Err(io::ErrorKind::AlreadyExists.into()),
                Existing::Replace => {
                    if let Some(problem) = Whole::of(&existing.text()?).problem() {
                        return Err(Unfit::Kind(problem).into());
                    }
                }
                Existing::Overwrite => {}
            }
        }
        rehearse(&path, existing.as_ref(), &path, Purpose::Issue)?;
        let base = path.clone();
        // Another process may put a file there until the secret comes.
        let treats_existing = if existing.is_none() { Existing::Keep } else { treats_existing };
        let reserved = Self::reserve_for(path, existing, &base, Purpose::Issue, 0)?;
        Ok(Self { treats_existing, ..reserved })
    }

    /// Reserves room for `bytes` more bytes than a secret has, in a file that will take the place of an existing one.
    /// Its temporary name begins as `base` does.
    pub(super) fn reserve_for(
        path: PathBuf,
        existing: Option<ExistingFile>,
        base: &Path,
        purpose: Purpose,
        bytes: u64,
    ) -> Result<Self, Unfit> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name").into());
        }
        let folder = Folder::containing(&path)?;
        let mut temporary = create_temporary(base, purpose)?;
        // A query for the free space would not reserve it.
        io::copy(&mut io::Read::take(io::repeat(0), RESERVED_BYTES + bytes), &mut temporary)?;
        temporary.as_file().sync_all()?;
        // Until it holds a secret for them, nobody else needs to use the file.
        #[cfg(unix)]
        super::existing::drop_inherited_access(temporary.as_file())?;
        Ok(Self { temporary, folder, path, existing, treats_existing: Existing::Replace })
    }

    /// Returns the path at which the file will appear.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the secret into the file and returns as soon as it is on the disk.
    ///
    /// # Errors
    ///
    /// A [`SecretFileError`], which names where the secret is instead.
    pub fn put(self, secret: &Secret) -> Result<(), SecretFileError> {
        let replaced = self.existing.as_ref().filter(|_| self.treats_existing == Existing::Replace);
        let there = replaced.and_then(|existing| existing.text().ok()).unwrap_or_default();
        let text = Whole::of(&there).with(secret);
        self.put_bytes(text.as_bytes())
    }

    pub(super) fn put_bytes(mut self, bytes: &[u8]) -> Result<(), SecretFileError> {
        self.fill(bytes).map_err(SecretFileError::Lost)?;
        if !is_same_file(&self.temporary) {
            return Err(SecretFileError::Lost(io::Error::other(
                "another process has removed or replaced the temporary file beside it",
            )));
        }
        if let Some(existing) = &self.existing {
            // This comes after the write, because a write may remove some rights and attributes.
            let kept = existing.give_access(self.temporary.as_file());
            if let Err(error) = kept.and_then(|()| Ok(self.temporary.as_file().sync_all()?)) {
                return Err(elsewhere(error.into(), self.temporary));
            }
        }
        let is_changed = self.existing.as_ref().is_some_and(|existing| !existing.is_at(&self.path));
        let Self { temporary, folder, path, treats_existing, .. } = self;
        if is_changed {
            return Err(elsewhere(io::Error::other("another process replaced the file meanwhile"), temporary));
        }
        let placed = match treats_existing {
            Existing::Replace | Existing::Overwrite => temporary.persist(&path),
            Existing::Keep => temporary.persist_noclobber(&path),
        };
        match placed {
            Ok(_) => folder.sync().map_err(SecretFileError::Unsynced),
            Err(PersistError { error, file }) => Err(elsewhere(error, file)),
        }
    }

    /// Puts a text that may be a secret into a new file and returns the path of that file.
    ///
    /// The path is the intended one plus `suffix`. If a file is already there, the new one keeps its temporary name.
    /// Only this process's user can read the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn set_aside(mut self, unclaimed: &[u8], suffix: &str) -> io::Result<PathBuf> {
        self.fill(unclaimed)?;
        let Self { temporary, folder, mut path, .. } = self;
        path.as_mut_os_string().push(suffix);
        let path = match temporary.persist_noclobber(&path) {
            Ok(_) => path,
            Err(PersistError { file, .. }) => file.keep().map_err(|error| error.error)?.1,
        };
        // The file exists, and a person is about to read it. A failed sync therefore matters little.
        drop(folder.sync());
        Ok(path)
    }

    fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.temporary.as_file_mut();
        file.rewind()?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    }
}

/// Returns whether a temporary file still is the file at its path.
fn is_same_file(temporary: &NamedTempFile) -> bool {
    #[cfg(unix)]
    let is_same = |metadata| super::existing::is_at(&metadata, temporary.path());
    #[cfg(not(unix))]
    let is_same = |_| temporary.path().exists();
    temporary.as_file().metadata().is_ok_and(is_same)
}

/// Keeps a temporary file that cannot be moved to its path.
fn elsewhere(why: io::Error, file: NamedTempFile) -> SecretFileError {
    if !is_same_file(&file) {
        return SecretFileError::Lost(why);
    }
    match file.keep() {
        Ok((_, path)) => SecretFileError::Elsewhere { why, path },
        Err(error) => SecretFileError::Lost(error.error),
    }
}

/// Does once, beside the file, all that a later write does to it: creates a file with the same access, renames it over
/// another one, makes that permanent and removes it. Looks up what cannot be tried without changing the file. Returns an
/// open file without a name, which keeps the room for a secret.
pub(super) fn rehearse(
    path: &Path,
    existing: Option<&ExistingFile>,
    base: &Path,
    purpose: Purpose,
) -> Result<File, Unfit> {
    check_folder(path)?;
    let folder = Folder::containing(path)?;
    // As many files at once as a rotation needs: the pending and the previous secret, and the file that is written. The
    // file system must have room for all of them.
    let room = RESERVED_BYTES + existing.map_or(0, ExistingFile::len);
    let filled = || {
        let mut file = create_temporary(base, purpose)?;
        io::copy(&mut io::Read::take(io::repeat(0), room), &mut file)?;
        file.as_file().sync_all()?;
        io::Result::Ok(file)
    };
    let (spare, target, source) = (filled()?, filled()?, filled()?);
    // The secret is read back later, whatever the process's mask of modes is.
    File::open(spare.path())?;
    let target: TempPath = target.into_temp_path();
    if let Some(existing) = existing {
        existing.give_access(source.as_file())?;
        existing.check_replaceable(path)?;
    }
    source.as_file().sync_all()?;
    source.persist(&target).map_err(|error| error.error)?;
    folder.sync()?;
    target.close()?;
    let room = match existing {
        Some(_) => {
            let (room, name) = spare.into_parts();
            name.close()?;
            room
        }
        None => {
            // A new file appears by a call that replaces nothing, which not every file system has.
            let new = folder_of(base).join(temporary_name(base, purpose, &Mark::random()));
            let room = spare.persist_noclobber(&new).map_err(|error| error.error)?;
            std::fs::remove_file(new)?;
            room
        }
    };
    folder.sync()?;
    Ok(room)
}

/// Creates a temporary file beside a path. Its name is longer than that of any slot with the same beginning, so a
/// folder that takes it takes the slots' names, too.
fn create_temporary(base: &Path, purpose: Purpose) -> io::Result<NamedTempFile> {
    let name = temporary_name(base, purpose, &Mark::random());
    let file = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempfile_in(folder_of(base))?;
    // The process's mask of modes may have taken the owner's rights, too.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(PermissionsExt::from_mode(0o600))?;
        if file.as_file().metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(no_modes());
        }
    }
    Ok(file)
}

/// Returns the error for a file system on which every user can read every file.
#[cfg(unix)]
pub(super) fn no_modes() -> io::Error {
    io::Error::other("its file system keeps no modes, so other users could read the secret. Name a file on another one")
}

/// Returns the name of a temporary file. Its end is a hash of the rest, so no other program's file has such a name.
fn temporary_name(base: &Path, purpose: Purpose, mark: &Mark) -> OsString {
    let mut name = OsString::from(".");
    name.push(base.file_name().unwrap_or_default());
    name.push(match purpose {
        Purpose::Write => ".new-",
        Purpose::Issue => ".issue-",
    });
    name.push(mark.as_str());
    let hash =
        Sha256::new().chain_update("api-keyring temporary file\n").chain_update(name.as_encoded_bytes()).finalize();
    name.push(hash.iter().take(4).fold("-".to_owned(), |text, byte| format!("{text}{byte:02x}")));
    name
}

/// Returns whether a name is that of a temporary file of a write. If no process is writing, a killed one left it.
pub(super) fn is_left_over(base: &Path, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let Some((rest, _)) = name.rsplit_once('-') else { return false };
    let mark = rest.rsplit_once('-').and_then(|(_, mark)| mark.parse::<Mark>().ok());
    mark.is_some_and(|mark| temporary_name(base, Purpose::Write, &mark) == *name)
}

/// Returns the folder that contains a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a file. It is opened early, because a folder that could not be opened later could not be synced.
#[derive(Debug)]
pub(super) struct Folder(Option<File>);

impl Folder {
    pub(super) fn containing(path: &Path) -> io::Result<Self> {
        // Only Unix can open folders. On other systems, the rename alone has to suffice.
        if cfg!(unix) { File::open(folder_of(path)).map(Some).map(Self) } else { Ok(Self(None)) }
    }

    /// Makes the renames and removals in the folder permanent.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn put(path: &Path, secret: &str, existing: Existing) -> Result<(), SecretFileError> {
        SecretFile::reserve(path, existing).unwrap().put(&secret.into())
    }

    #[test]
    fn a_secret_is_written_completely_and_privately() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        put(&path, "sk_live_1", Existing::Keep).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "sk_live_1");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        put(&path, "sk_live_2", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "sk_live_2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_in_the_meantime_stays_the_same_and_the_secret_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let reserved = SecretFile::reserve(&path, Existing::Keep).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        let Err(SecretFileError::Elsewhere { path: kept, .. }) = reserved.put(&"sk_live_1".into()) else {
            panic!("the secret replaced the file")
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        assert_eq!(fs::read_to_string(kept).unwrap(), "sk_live_1");
    }

    #[test]
    fn setting_a_text_aside_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "the-old-secret").unwrap();
        let mut paths = Vec::new();
        for text in ["first", "second"] {
            let aside = SecretFile::reserve(&path, Existing::Replace)
                .unwrap()
                .set_aside(text.as_bytes(), ".unclaimed")
                .unwrap();
            assert_eq!(fs::read_to_string(&aside).unwrap(), text);
            paths.push(aside);
        }
        assert_eq!(paths[0], folder.path().join("key.unclaimed"));
        assert_ne!(paths[0], paths[1]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the-old-secret");
    }

    #[test]
    #[cfg(unix)]
    fn a_temporary_file_that_somebody_swaps_or_removes_is_never_called_the_secrets_place() {
        for is_swapped in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let reserved = SecretFile::reserve(&path, Existing::Keep).unwrap();
            let temporary = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            fs::remove_file(&temporary).unwrap();
            if is_swapped {
                fs::write(&temporary, "somebody else's").unwrap();
            }
            let put = reserved.put(&"sk_live_1".into());
            assert!(matches!(put, Err(SecretFileError::Lost(_))), "{put:?}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_that_appears_is_kept_even_if_an_existing_one_would_be_replaced() {
        for treats in [Existing::Replace, Existing::Overwrite] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let reserved = SecretFile::reserve(&path, treats).unwrap();
            fs::write(&path, "somebody else's").unwrap();
            assert!(matches!(reserved.put(&"sk_live_1".into()), Err(SecretFileError::Elsewhere { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        }
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_early_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["missing/key", "/", "/dev/full/key", "key/", "key/."].map(|path| folder.path().join(path)) {
            assert!(SecretFile::reserve(&path, Existing::Keep).is_err(), "{}", path.display());
        }
        drop(SecretFile::reserve(folder.path().join("key"), Existing::Keep).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
