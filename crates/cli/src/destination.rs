//! Where a new secret goes.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api_keyring::Secret;
use tempfile::{NamedTempFile, PersistError};

use crate::failure::{Failure, Result};
use crate::output;

/// How much room is made sure of before a key is issued: more than any secret needs.
const RESERVED_BYTES: usize = 16 * 1024;

/// A destination as it is written: `-` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some("") => Err("file: needs a path".to_owned()),
            Some(path) => Ok(Self::File(path.into())),
            None if text == "-" => Ok(Self::Stdout),
            None => Err("write - for standard output, or file:PATH".to_owned()),
        }
    }
}

/// A destination that has been tried and can take a secret.
///
/// A file is written beside its path and put into place when it is whole and on the disk. The room for it is taken when
/// the destination is made ready: a full disk, a missing folder or a missing right is noticed before a key exists.
#[derive(Debug)]
pub(crate) enum ReadyDestination {
    Stdout,
    File { temporary: NamedTempFile, folder: Folder, path: PathBuf, overwrite: bool },
}

/// Why a secret is not where it should be.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// It is nowhere.
    Lost(io::Error),
    /// It is whole, in another file.
    Elsewhere { why: io::Error, path: PathBuf },
}

impl Destination {
    /// Makes sure that a secret can be written. Nothing is left behind if it is not written after all.
    pub(crate) fn ready(self, overwrite: bool) -> Result<ReadyDestination> {
        match self {
            Self::Stdout if leads_nowhere() => {
                Err(Failure::Usage("standard output leads nowhere, and the secret would be lost".to_owned()))
            }
            Self::Stdout => Ok(ReadyDestination::Stdout),
            Self::File(path) => {
                let refuse = |why: io::Error| Failure::Other(format!("{} cannot be written: {why}", path.display()));
                check_existing(&path, overwrite)?;
                let folder = Folder::of(&path).map_err(refuse)?;
                let mut temporary = temporary_beside(&path).map_err(refuse)?;
                reserve(temporary.as_file_mut()).map_err(refuse)?;
                Ok(ReadyDestination::File { temporary, folder, path, overwrite })
            }
        }
    }
}

impl ReadyDestination {
    /// Whether the secret goes to standard output, so that nothing else may.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// What the destination is called on the command line.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "-".to_owned(),
            Self::File { path, .. } => file_name(path),
        }
    }

    /// Writes a secret, and for a file makes sure that it is on the disk.
    pub(crate) fn deliver(self, secret: &Secret) -> Result<(), Undelivered> {
        match self {
            Self::Stdout => write_line(secret).map_err(Undelivered::Lost),
            Self::File { mut temporary, folder, path, overwrite } => {
                write_whole(temporary.as_file_mut(), secret).map_err(Undelivered::Lost)?;
                let placed = if overwrite { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
                match placed {
                    Ok(_) => {
                        folder.sync();
                        Ok(())
                    }
                    Err(PersistError { error: why, file }) => match file.keep() {
                        Ok((_, path)) => Err(Undelivered::Elsewhere { why, path }),
                        Err(error) => Err(Undelivered::Lost(error.error)),
                    },
                }
            }
        }
    }

    /// Writes something that may or may not hold the secret where it overwrites nothing: beside a file. Tells where it is.
    pub(crate) fn set_aside(self, unclaimed: &Secret) -> io::Result<String> {
        match self {
            Self::Stdout => write_line(unclaimed).map(|()| "-".to_owned()),
            Self::File { mut temporary, folder, mut path, .. } => {
                write_whole(temporary.as_file_mut(), unclaimed)?;
                path.as_mut_os_string().push(".unclaimed");
                let path = match temporary.persist_noclobber(&path) {
                    Ok(_) => path,
                    Err(PersistError { file, .. }) => file.keep().map_err(|error| error.error)?.1,
                };
                folder.sync();
                Ok(file_name(&path))
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn write_line(secret: &Secret) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", secret.expose())?;
    stdout.flush()
}

fn write_whole(file: &mut File, secret: &Secret) -> io::Result<()> {
    file.rewind()?;
    file.write_all(secret.expose().as_bytes())?;
    file.set_len(secret.expose().len() as u64)?;
    file.sync_all()
}

fn check_existing(path: &Path, overwrite: bool) -> Result {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::Other(format!("{} cannot be written: {error}", path.display()))),
        Ok(found) if !found.is_file() => Err(Failure::Usage(format!("{} exists and is no plain file", path.display()))),
        Ok(_) if overwrite => Ok(()),
        Ok(_) => Err(Failure::Usage(format!("{} exists; --force overwrites it", path.display()))),
    }
}

/// A file in the same folder, so that it can be renamed into place; readable by its owner alone.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"));
    }
    tempfile::Builder::new().prefix(".api-keyring-").tempfile_in(folder_of(path))
}

/// Takes room on the disk by writing to it: to ask how much is free would prove nothing.
fn reserve(file: &mut File) -> io::Result<()> {
    file.write_all(&[0; RESERVED_BYTES])?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a destination, opened beforehand: what cannot be opened later could not be synced.
#[derive(Debug)]
pub(crate) struct Folder(Option<File>);

impl Folder {
    fn of(path: &Path) -> io::Result<Self> {
        // Elsewhere folders cannot be opened, and a rename has to do.
        if cfg!(unix) { File::open(folder_of(path)).map(Some).map(Self) } else { Ok(Self(None)) }
    }

    /// Makes a rename last. The file is in place whether or not this can be done.
    fn sync(&self) {
        if let Some(Err(why)) = self.0.as_ref().map(File::sync_all) {
            output::tell(&format!("note: the file is in place, but may not survive a power failure: {why}"));
        }
    }
}

/// Whether standard output is the null device: redirected there, or closed, in which case the runtime puts it there.
fn leads_nowhere() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path| fs::metadata(path).map(|metadata| metadata.rdev()).ok().filter(|device| *device != 0);
        device("/dev/null").is_some() && device("/dev/stdout") == device("/dev/null")
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn destination(path: &Path) -> Destination {
        format!("file:{}", path.display()).parse().unwrap()
    }

    #[test]
    fn destinations_are_dash_and_files() {
        assert_eq!("-".parse(), Ok(Destination::Stdout));
        assert_eq!("file:a/b".parse(), Ok(Destination::File("a/b".into())));
        for odd in ["", "file:", "a/b", "stdout", "FILE:x", "file"] {
            assert!(odd.parse::<Destination>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_secret_lands_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        destination(&path).ready(false).unwrap().deliver(&"sk_live_1".into()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "sk_live_1");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "old").unwrap();
        assert!(matches!(destination(&path).ready(false), Err(Failure::Usage(_))));
        destination(&path).ready(true).unwrap().deliver(&"new".into()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(matches!(destination(folder.path()).ready(true), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_left_alone_and_the_secret_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let ready = destination(&path).ready(false).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        let Err(Undelivered::Elsewhere { path: kept, .. }) = ready.deliver(&"sk_live_1".into()) else {
            panic!("it was delivered")
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        assert_eq!(fs::read_to_string(kept).unwrap(), "sk_live_1");
    }

    #[test]
    fn what_is_set_aside_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "the old secret").unwrap();
        let mut places = Vec::new();
        for text in ["first", "second"] {
            let place = destination(&path).ready(true).unwrap().set_aside(&text.into()).unwrap();
            assert_eq!(fs::read_to_string(place.strip_prefix("file:").unwrap()).unwrap(), text);
            places.push(place);
        }
        assert_eq!(places[0], format!("file:{}.unclaimed", path.display()));
        assert_ne!(places[0], places[1]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the old secret");
    }

    #[test]
    fn what_cannot_be_written_is_refused_beforehand_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/key"), PathBuf::from("/"), PathBuf::from("/dev/full/key")] {
            assert!(destination(&path).ready(false).is_err(), "{}", path.display());
        }
        drop(destination(&folder.path().join("key")).ready(false).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
