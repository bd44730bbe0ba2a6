//! The destinations of a new secret.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api_keyring::{Mark, Secret};
use api_keyring_rotation::{Existing, SecretFile, SecretFileError};

use crate::failure::{Failure, Result};
use crate::output;

/// How users write standard output as a destination.
pub(crate) const STDOUT: &str = "-";

/// A destination as users write it: `-` or `file:PATH`.
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
            Some("") => Err("file: needs a path, as in file:PATH".to_owned()),
            Some(path) => Ok(Self::File(path.into())),
            None if text == STDOUT => Ok(Self::Stdout),
            None => Err("write - for standard output, or file:PATH".to_owned()),
        }
    }
}

/// A destination that can take a secret.
#[derive(Debug)]
pub(crate) enum ReadyDestination {
    /// Standard output. An answer that cannot be read goes to the file, if there is one.
    Stdout(Option<Box<SecretFile>>, Undeliverable),
    File(Box<SecretFile>),
}

/// What becomes of a secret that standard output does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undeliverable {
    /// It goes to the file, because nothing else works any more.
    Keep,
    /// Nobody needs it.
    Drop,
}

/// Where an answer that cannot be read goes if the secret goes to standard output. A program that reads standard output
/// would take the answer for a secret.
#[derive(Debug)]
pub(crate) enum Aside {
    /// A file in this folder. Without it, the command is refused.
    Required(PathBuf),
    /// A file in this folder, if possible.
    IfPossible(Option<PathBuf>),
}

impl Aside {
    fn reserve(self) -> Result<Option<Box<SecretFile>>> {
        let reserve = |folder: &Path| {
            create_private(folder)?;
            SecretFile::reserve(folder.join(format!("stdout-{}", Mark::random())), Existing::Keep)
        };
        match self {
            Self::Required(folder) => reserve(&folder).map(|file| Some(file.into())).map_err(|why| {
                Failure::Other(format!(
                    "an answer that cannot be read could not be saved in {}, and its secret would be lost ({why}). \
                     Nothing was sent. Name a journal in a folder that can be written (`--journal`), or use --to file:PATH",
                    folder.display()
                ))
            }),
            Self::IfPossible(folder) => Ok(folder.and_then(|folder| reserve(&folder).ok()).map(Into::into)),
        }
    }
}

/// Creates a folder for this user alone, if it does not exist.
pub(crate) fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Why a secret is not at its destination.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// The secret is stored nowhere.
    Lost(io::Error),
    /// The whole secret is in another file.
    Elsewhere { why: io::Error, path: PathBuf },
}

impl Destination {
    /// Checks that the destination can take a secret, and reserves room for it.
    ///
    /// A prepared destination that receives no secret leaves no file behind.
    pub(crate) fn prepare(self, existing: Existing, aside: Aside) -> Result<ReadyDestination> {
        match self {
            Self::Stdout if !is_stdout_writable() => Err(Failure::Usage(
                "standard output cannot be written, and the secret would be lost: use --to file:PATH".to_owned(),
            )),
            Self::Stdout if is_stdout_discarded() => Err(Failure::Usage(
                "standard output is the null device, and the secret would be lost: use --to file:PATH".to_owned(),
            )),
            Self::Stdout => {
                let undeliverable =
                    if matches!(aside, Aside::Required(_)) { Undeliverable::Keep } else { Undeliverable::Drop };
                aside.reserve().map(|file| ReadyDestination::Stdout(file, undeliverable))
            }
            Self::File(path) => {
                let file = SecretFile::reserve(&path, existing);
                file.map(|file| ReadyDestination::File(file.into())).map_err(|why| unusable(&path, &why))
            }
        }
    }
}

impl ReadyDestination {
    /// Returns whether the secret goes to standard output. Nothing else may go there then.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(..))
    }

    /// Returns the destination as users write it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout(..) => STDOUT.to_owned(),
            Self::File(file) => file_name(file.path()),
        }
    }

    /// Writes a secret. A file is on the disk when this returns.
    pub(crate) fn deliver(self, secret: &Secret) -> Result<(), DeliveryError> {
        match self {
            Self::Stdout(..) => write_line(secret.expose().as_bytes()).map_err(|why| self.not_delivered(secret, why)),
            Self::File(file) => match file.put(secret) {
                Ok(()) => Ok(()),
                Err(SecretFileError::Elsewhere { why, path }) => Err(DeliveryError::Elsewhere { why, path }),
                Err(SecretFileError::Unsynced(why)) => {
                    output::notice(&format!(
                        "note: the secret is in its file, but the file may not survive a power failure: {why}"
                    ));
                    Ok(())
                }
                Err(SecretFileError::Lost(why)) => Err(DeliveryError::Lost(why)),
                Err(other) => Err(DeliveryError::Lost(io::Error::other(other))),
            },
        }
    }

    /// Says where a secret is that standard output did not take.
    pub(crate) fn not_delivered(self, secret: &Secret, why: io::Error) -> DeliveryError {
        match self {
            Self::Stdout(Some(file), Undeliverable::Keep) => {
                match file.set_aside(secret.expose().as_bytes(), ".unclaimed") {
                    Ok(path) => DeliveryError::Elsewhere { why, path },
                    Err(_) => DeliveryError::Lost(why),
                }
            }
            _ => DeliveryError::Lost(why),
        }
    }
}

/// Saves an answer that may contain the secret, and returns its destination.
///
/// The answer goes to a file beside the intended one, because it must not overwrite a secret that works.
pub(crate) fn set_aside(file: SecretFile, unclaimed: &[u8]) -> io::Result<String> {
    file.set_aside(unclaimed, ".unclaimed").map(|path| file_name(&path))
}

fn file_name(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn write_line(secret: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(secret)?;
    writeln!(stdout)?;
    stdout.flush()
}

/// Returns the failure for a file that cannot take a secret.
fn unusable(path: &Path, why: &io::Error) -> Failure {
    let path = path.display();
    match why.kind() {
        io::ErrorKind::AlreadyExists => Failure::Usage(format!("{path} already exists: use --force to overwrite it")),
        io::ErrorKind::InvalidInput => Failure::Usage(format!("cannot write {path}: {why}")),
        _ => Failure::Other(format!("cannot write {path}: {why}")),
    }
}

/// Returns whether standard output is open for writing. Writes to one that is not seem to succeed.
fn is_stdout_writable() -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = rustix::fs::fcntl_getfl(std::io::stdout());
        flags.is_ok_and(|flags| flags & OFlags::RWMODE != OFlags::RDONLY && !flags.contains(OFlags::PATH))
    }
    #[cfg(not(unix))]
    true
}

/// Returns whether standard output is the null device.
///
/// The user may have redirected it, or closed it: Rust's runtime replaces a closed one by the null device.
fn is_stdout_discarded() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path| std::fs::metadata(path).map(|metadata| metadata.rdev()).ok().filter(|device| *device != 0);
        device("/dev/null").is_some() && device("/dev/stdout") == device("/dev/null")
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn destination(path: &Path) -> Destination {
        format!("file:{}", path.display()).parse().unwrap()
    }

    fn aside() -> Aside {
        Aside::IfPossible(None)
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
        assert!(matches!(destination(&path).prepare(Existing::Keep, aside()), Err(Failure::Usage(_))));
        destination(&path).prepare(Existing::Replace, aside()).unwrap().deliver(&"new".into()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(matches!(destination(folder.path()).prepare(Existing::Replace, aside()), Err(Failure::Usage(_))));
    }
}
