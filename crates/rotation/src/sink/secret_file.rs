//! Secrets in files of their own.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use api_keyring::Secret;
use tempfile::{NamedTempFile, PersistError};

/// How much room is made sure of before a secret exists: more than any needs.
const RESERVED_BYTES: usize = 16 * 1024;

/// A file that is going to hold a secret: it appears at its path whole or not at all, and only its owner can read it.
///
/// Everything that can fail beforehand has failed when it is reserved: a missing folder or right, a full disk. Dropped
/// before a secret was put into it, it leaves nothing behind.
///
/// ```
/// use api_keyring::Secret;
/// use api_keyring_rotation::{Existing, SecretFile};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ci.key");
/// let file = SecretFile::reserve(&path)?;
/// // Issue a key; then:
/// file.put(&Secret::new("sk_live_123"), Existing::Keep)?;
/// assert_eq!(std::fs::read_to_string(&path)?, "sk_live_123");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SecretFile {
    /// Beside the path, so that it can be renamed into place.
    temporary: NamedTempFile,
    folder: Folder,
    path: PathBuf,
}

/// What [`SecretFile::put`] does with a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keeps it, and fails.
    Keep,
    /// Replaces it.
    Replace,
}

/// Who may read a file that takes the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The other file's owner alone.
    Owner,
    /// The other file's owner and, if it could read that file, its group.
    OwnerAndGroup,
}

/// Why a secret is not in the file where it should be.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It is in no file.
    Lost(io::Error),
    /// It is whole, in another file.
    Elsewhere {
        /// Why it is not in its own.
        why: io::Error,
        /// Where it is.
        path: PathBuf,
    },
    /// It is in place, and may not survive a power failure.
    Unsynced(io::Error),
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(_) => f.write_str("the secret was not written"),
            Self::Elsewhere { path, .. } => write!(f, "the secret is in {} instead", path.display()),
            Self::Unsynced(_) => f.write_str("the file is in place, but may not survive a power failure"),
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
    /// Takes room for a secret beside this path. A file that is there already is left alone for now.
    ///
    /// # Errors
    ///
    /// When there could be no such file, or there is no room on the disk.
    pub fn reserve(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::reserve_as(path.into(), ".api-keyring-")
    }

    /// The same, where the file has a name that begins so until it is in place. A process that is killed leaves it behind.
    pub(crate) fn reserve_as(path: PathBuf, prefix: impl AsRef<OsStr>) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
        }
        let folder = Folder::containing(&path)?;
        let mut temporary = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder_of(&path))?;
        // To ask how much is free would prove nothing.
        temporary.write_all(&[0; RESERVED_BYTES])?;
        temporary.as_file().sync_all()?;
        Ok(Self { temporary, folder, path })
    }

    /// Where the file is going to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the secret there, and returns when it is on the disk. `existing` says what becomes of a file that is already there.
    ///
    /// # Errors
    ///
    /// [`SecretFileError`] says where the secret is instead.
    pub fn put(self, secret: &Secret, existing: Existing) -> Result<(), SecretFileError> {
        self.put_bytes(secret.expose().as_bytes(), existing)
    }

    pub(crate) fn put_bytes(mut self, bytes: &[u8], existing: Existing) -> Result<(), SecretFileError> {
        self.fill(bytes).map_err(SecretFileError::Lost)?;
        let Self { temporary, folder, path } = self;
        let placed = match existing {
            Existing::Replace => temporary.persist(&path),
            Existing::Keep => temporary.persist_noclobber(&path),
        };
        match placed {
            Ok(_) => folder.sync().map_err(SecretFileError::Unsynced),
            Err(PersistError { error: why, file }) => match file.keep() {
                Ok((_, path)) => Err(SecretFileError::Elsewhere { why, path }),
                Err(error) => Err(SecretFileError::Lost(error.error)),
            },
        }
    }

    /// Puts something that may or may not be a secret into a new file beside the path, whose name ends with `suffix` if that is
    /// free, and tells which.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn set_aside(mut self, unclaimed: &Secret, suffix: &str) -> io::Result<PathBuf> {
        self.fill(unclaimed.expose().as_bytes())?;
        let Self { temporary, folder, mut path } = self;
        path.as_mut_os_string().push(suffix);
        let path = match temporary.persist_noclobber(&path) {
            Ok(_) => path,
            Err(PersistError { file, .. }) => file.keep().map_err(|error| error.error)?.1,
        };
        // It is there, and whoever is told of it looks at it soon.
        drop(folder.sync());
        Ok(path)
    }

    /// Gives the file the owner of the one that is there, where that is somebody else; and lets its group read it, if it is said and
    /// the group can read the one that is there and all others cannot: who lets everybody read has hardly chosen the group.
    #[cfg(unix)]
    pub(crate) fn take_owner_of(&self, there: &fs::Metadata, readers: Readers) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
        const GROUP_READS: u32 = 0o040;
        const OTHERS: u32 = 0o007;
        let file = self.temporary.as_file();
        let ours = file.metadata()?;
        let for_group = readers == Readers::OwnerAndGroup && there.mode() & (GROUP_READS | OTHERS) == GROUP_READS;
        if ours.uid() != there.uid() || (for_group && ours.gid() != there.gid()) {
            fchown(file, Some(there.uid()), Some(there.gid()))?;
        }
        if for_group {
            file.set_permissions(fs::Permissions::from_mode(0o600 | GROUP_READS))?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn take_owner_of(&self, _: &fs::Metadata, _: Readers) -> io::Result<()> {
        Ok(())
    }

    fn fill(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.temporary.as_file_mut();
        file.rewind()?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a file, opened beforehand: what cannot be opened later could not be synced.
#[derive(Debug)]
pub(crate) struct Folder(Option<File>);

impl Folder {
    pub(crate) fn containing(path: &Path) -> io::Result<Self> {
        // Elsewhere folders cannot be opened, and a rename has to do.
        if cfg!(unix) { File::open(folder_of(path)).map(Some).map(Self) } else { Ok(Self(None)) }
    }

    /// Makes what was renamed or removed in it last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }

    /// The folder itself, where it can be opened.
    pub(crate) fn file(self) -> Option<File> {
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn put(path: &Path, secret: &str, existing: Existing) -> Result<(), SecretFileError> {
        SecretFile::reserve(path).unwrap().put(&secret.into(), existing)
    }

    #[test]
    fn a_secret_lands_whole_and_private() {
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
    fn a_file_that_appears_meanwhile_is_left_alone_and_the_secret_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let reserved = SecretFile::reserve(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        let Err(SecretFileError::Elsewhere { path: kept, .. }) = reserved.put(&"sk_live_1".into(), Existing::Keep)
        else {
            panic!("it was put there")
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        assert_eq!(fs::read_to_string(kept).unwrap(), "sk_live_1");
    }

    #[test]
    fn what_is_set_aside_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "the old secret").unwrap();
        let mut paths = Vec::new();
        for text in ["first", "second"] {
            let aside = SecretFile::reserve(&path).unwrap().set_aside(&text.into(), ".unclaimed").unwrap();
            assert_eq!(fs::read_to_string(&aside).unwrap(), text);
            paths.push(aside);
        }
        assert_eq!(paths[0], folder.path().join("key.unclaimed"));
        assert_ne!(paths[0], paths[1]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the old secret");
    }

    #[test]
    fn what_cannot_be_written_is_refused_beforehand_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/key"), PathBuf::from("/"), PathBuf::from("/dev/full/key")] {
            assert!(SecretFile::reserve(&path).is_err(), "{}", path.display());
        }
        drop(SecretFile::reserve(folder.path().join("key")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
