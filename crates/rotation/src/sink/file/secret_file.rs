//! Writing a secret to a file of its own.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use api_keyring::Secret;
use tempfile::{NamedTempFile, PersistError};

/// How many bytes to reserve before a secret exists. No secret is that long.
const RESERVED_BYTES: usize = 16 * 1024;

/// A reserved file for a secret. It appears at its path complete or not at all, and only its owner can read it.
///
/// Reserving the file finds out early what would fail later: a missing folder, a missing right, a full disk. If you
/// drop it without a secret, it leaves nothing behind.
///
/// ```
/// use api_keyring::Secret;
/// use api_keyring_rotation::{Existing, SecretFile};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ci.key");
/// let file = SecretFile::reserve(&path)?;
/// // Issue a key, and then:
/// file.put(&Secret::new("sk_live_123"), Existing::Keep)?;
/// assert_eq!(std::fs::read_to_string(&path)?, "sk_live_123");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SecretFile {
    /// The temporary file. It is in the same folder, so that it can be renamed to its path.
    temporary: NamedTempFile,
    folder: Folder,
    path: PathBuf,
}

/// How [`SecretFile::put`] treats a file that is already at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keeps the file and fails.
    Keep,
    /// Replaces the file.
    Replace,
}

/// The users who may read a file that replaces another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only the owner of the replaced file.
    Owner,
    /// The owner of the replaced file, and its group if the group could read that file and all others could not.
    OwnerAndGroup,
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
    /// If no such file could be written, or the disk is full.
    pub fn reserve(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::reserve_as(path.into(), ".api-keyring-")
    }

    /// Reserves a file like [`reserve`](Self::reserve), under a temporary name with this prefix. A process that is
    /// killed leaves the temporary file behind.
    pub(crate) fn reserve_as(path: PathBuf, prefix: impl AsRef<OsStr>) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
        }
        let folder = Folder::containing(&path)?;
        let mut temporary = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder_of(&path))?;
        // A query for the free space would not reserve it.
        temporary.write_all(&[0; RESERVED_BYTES])?;
        temporary.as_file().sync_all()?;
        Ok(Self { temporary, folder, path })
    }

    /// Returns the path at which the file will appear.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the secret into the file and returns as soon as it is on the disk. `existing` decides how to treat a file
    /// that is already at the path.
    ///
    /// # Errors
    ///
    /// A [`SecretFileError`], which names where the secret is instead.
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

    /// Puts a text that may be a secret into a new file and returns the path of that file.
    ///
    /// The path is the intended one plus `suffix`. If a file is already there, the new one keeps its temporary name.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn set_aside(mut self, unclaimed: &[u8], suffix: &str) -> io::Result<PathBuf> {
        self.fill(unclaimed)?;
        let Self { temporary, folder, mut path } = self;
        path.as_mut_os_string().push(suffix);
        let path = match temporary.persist_noclobber(&path) {
            Ok(_) => path,
            Err(PersistError { file, .. }) => file.keep().map_err(|error| error.error)?.1,
        };
        // The file exists, and a person is about to read it. A failed sync therefore matters little.
        drop(folder.sync());
        Ok(path)
    }

    /// Gives the file the owner of the existing one, if that is another user.
    ///
    /// `readers` can also let its group read the file, if the group can read the existing one and all others cannot. A
    /// file that everybody can read was hardly meant for its group in particular.
    #[cfg(unix)]
    pub(crate) fn copy_access_of(&self, there: &fs::Metadata, readers: Readers) -> io::Result<()> {
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
    pub(crate) fn copy_access_of(&self, _: &fs::Metadata, _: Readers) -> io::Result<()> {
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

/// Returns the folder that contains a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a file. It is opened early, because a folder that could not be opened later could not be synced.
#[derive(Debug)]
pub(crate) struct Folder(Option<File>);

impl Folder {
    pub(crate) fn containing(path: &Path) -> io::Result<Self> {
        // Only Unix can open folders. On other systems, the rename alone has to suffice.
        if cfg!(unix) { File::open(folder_of(path)).map(Some).map(Self) } else { Ok(Self(None)) }
    }

    /// Makes the renames and removals in the folder permanent.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }

    /// Returns the open folder, if the system can open folders.
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
        let reserved = SecretFile::reserve(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        let Err(SecretFileError::Elsewhere { path: kept, .. }) = reserved.put(&"sk_live_1".into(), Existing::Keep)
        else {
            panic!("the secret replaced the file")
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        assert_eq!(fs::read_to_string(kept).unwrap(), "sk_live_1");
    }

    #[test]
    fn setting_a_text_aside_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "the old secret").unwrap();
        let mut paths = Vec::new();
        for text in ["first", "second"] {
            let aside = SecretFile::reserve(&path).unwrap().set_aside(text.as_bytes(), ".unclaimed").unwrap();
            assert_eq!(fs::read_to_string(&aside).unwrap(), text);
            paths.push(aside);
        }
        assert_eq!(paths[0], folder.path().join("key.unclaimed"));
        assert_ne!(paths[0], paths[1]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the old secret");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_early_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/key"), PathBuf::from("/"), PathBuf::from("/dev/full/key")] {
            assert!(SecretFile::reserve(&path).is_err(), "{}", path.display());
        }
        drop(SecretFile::reserve(folder.path().join("key")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
