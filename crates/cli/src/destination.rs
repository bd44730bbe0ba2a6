//! Where a new secret goes.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api_keyring::Secret;
use api_keyring_rotation::{Existing, SecretFile, SecretFileError};

use crate::failure::{Failure, Result};
use crate::output;

/// The name of standard output as a destination.
pub(crate) const STDOUT: &str = "-";

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
            None if text == STDOUT => Ok(Self::Stdout),
            None => Err("write - for standard output, or file:PATH".to_owned()),
        }
    }
}

/// A destination that has been tried and can take a secret.
#[derive(Debug)]
pub(crate) enum ReadyDestination {
    Stdout,
    File { file: SecretFile, existing: Existing },
}

/// Why a secret is not where it should be.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// It is nowhere.
    Lost(io::Error),
    /// It is whole, in another file.
    Elsewhere { why: io::Error, path: PathBuf },
}

impl Destination {
    /// Makes sure that a secret can be written. Nothing is left behind if it is not written after all.
    pub(crate) fn prepare(self, existing: Existing) -> Result<ReadyDestination> {
        match self {
            Self::Stdout if is_discarded() => {
                Err(Failure::Usage("standard output leads nowhere, and the secret would be lost".to_owned()))
            }
            Self::Stdout => Ok(ReadyDestination::Stdout),
            Self::File(path) => {
                check_existing(&path, existing)?;
                let file = SecretFile::reserve(&path);
                let file =
                    file.map_err(|why| Failure::Other(format!("{} cannot be written: {why}", path.display())))?;
                Ok(ReadyDestination::File { file, existing })
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
            Self::Stdout => STDOUT.to_owned(),
            Self::File { file, .. } => file_name(file.path()),
        }
    }

    /// Writes a secret, and for a file makes sure that it is on the disk.
    pub(crate) fn deliver(self, secret: &Secret) -> Result<(), DeliveryError> {
        match self {
            Self::Stdout => write_line(secret).map_err(DeliveryError::Lost),
            Self::File { file, existing } => match file.put(secret, existing) {
                Ok(()) => Ok(()),
                Err(SecretFileError::Elsewhere { why, path }) => Err(DeliveryError::Elsewhere { why, path }),
                Err(SecretFileError::Unsynced(why)) => {
                    output::notice(&format!("note: the file is in place, but may not survive a power failure: {why}"));
                    Ok(())
                }
                Err(SecretFileError::Lost(why)) => Err(DeliveryError::Lost(why)),
                Err(other) => Err(DeliveryError::Lost(io::Error::other(other))),
            },
        }
    }

    /// Writes something that may or may not hold the secret where it overwrites nothing: beside a file. Tells where it is.
    pub(crate) fn set_aside(self, unclaimed: &Secret) -> io::Result<String> {
        match self {
            Self::Stdout => write_line(unclaimed).map(|()| STDOUT.to_owned()),
            Self::File { file, .. } => file.set_aside(unclaimed, ".unclaimed").map(|path| file_name(&path)),
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

fn check_existing(path: &Path, existing: Existing) -> Result {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::Other(format!("{} cannot be written: {error}", path.display()))),
        Ok(found) if !found.is_file() => Err(Failure::Usage(format!("{} exists and is no plain file", path.display()))),
        Ok(_) if existing == Existing::Replace => Ok(()),
        Ok(_) => Err(Failure::Usage(format!("{} exists; --force overwrites it", path.display()))),
    }
}

/// Whether standard output is the null device: redirected there, or closed, in which case the runtime puts it there.
fn is_discarded() -> bool {
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
    fn a_destination_is_a_dash_or_a_file() {
        assert_eq!("-".parse(), Ok(Destination::Stdout));
        assert_eq!("file:a/b".parse(), Ok(Destination::File("a/b".into())));
        for odd in ["", "file:", "a/b", "stdout", "FILE:x", "file"] {
            assert!(odd.parse::<Destination>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn an_existing_file_is_kept_without_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "old").unwrap();
        assert!(matches!(destination(&path).prepare(Existing::Keep), Err(Failure::Usage(_))));
        destination(&path).prepare(Existing::Replace).unwrap().deliver(&"new".into()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(matches!(destination(folder.path()).prepare(Existing::Replace), Err(Failure::Usage(_))));
    }
}
