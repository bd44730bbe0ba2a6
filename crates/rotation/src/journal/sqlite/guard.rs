//! Whether a journal's files can be trusted.
//!
//! A journal names programs to run and keys to delete. So nobody but its owner and root may be able to change it, and
//! its owner must be the user who runs this process, or root.
//!
//! The guard checks only the folder that holds the files, because in many containers everybody may write the folder
//! above, where a volume is mounted. A user who can rename the folder can put another one in its place, but the files
//! in that one do not belong to the user who runs this process. The check after opening notices that, unless the right
//! folder is back by then. So a journal is safest where nobody else can write any of the folders above it.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// The endings of the files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The longest chain of symbolic links to follow, as on Linux.
const MAX_LINKS: usize = 40;

type Result<T = ()> = std::result::Result<T, Untrusted>;

/// Why a journal's file is not used.
#[derive(Debug)]
pub(super) struct Untrusted {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    /// It belongs to the user with this id.
    Owner(u32),
    /// Others can write it: these are its mode bits.
    Writable(u32),
    /// It is something else than it must be.
    Kind(&'static str),
    /// Another file took its place while it was opened.
    Replaced,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let why = "Everybody who can write to a journal can make a rotation run programs and delete keys";
        match &self.problem {
            Problem::Io(_) => write!(f, "{path} cannot be examined"),
            Problem::Owner(owner) => write!(
                f,
                "{path} belongs to another user (id {owner}). {why}. Take it over (`chown`), run this program as that \
                 user, or choose another file (`--journal`)"
            ),
            Problem::Writable(mode) => write!(
                f,
                "{path} can be written by other users (mode {mode:04o}). {why}. Run `chmod go-w` on it, or choose another \
                 file (`--journal`)"
            ),
            Problem::Kind(expected) => {
                write!(f, "{path} is not a {expected}. Remove it, or choose another file (`--journal`)")
            }
            Problem::Replaced => write!(
                f,
                "another file took the place of {path} while it was opened. Choose a file in a folder that only you can \
                 write (`--journal`)"
            ),
        }
    }
}

impl std::error::Error for Untrusted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Follows symbolic links, each of which must be the user's own or root's, in a folder that can be trusted. Returns the
/// path without links. The file itself need not exist.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder).map_err(|error| at(folder, Problem::Io(error)))?;
        check_folder(&folder)?;
        path = folder.join(path.file_name().ok_or_else(|| at(&path, Problem::Kind("file")))?);
        let Some(found) = examine(&path)? else { return Ok(path) };
        if !found.is_symlink() {
            return Ok(path);
        }
        check_owner(&path, &found)?;
        path = folder.join(fs::read_link(&path).map_err(|error| at(&path, Problem::Io(error)))?);
    }
    Err(at(&path, Problem::Kind("file, but a chain of too many symbolic links")))
}

/// Checks the folder, the file and its companions, as far as they exist. Returns which file it is.
///
/// This looks at the paths and opens nothing: to close a file would end all locks that this process has on it.
pub(super) fn check(path: &Path) -> Result<Option<Identity>> {
    if let Some(folder) = path.parent() {
        check_folder(folder)?;
    }
    for companion in companions(path) {
        check_file(&companion)?;
    }
    check_file(path)
}

/// Returns the paths of the files that SQLite keeps beside a database.
fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS.into_iter().map(move |ending| {
        let mut companion = OsString::from(path);
        companion.push(ending);
        companion.into()
    })
}

/// Returns whether SQLite keeps changes beside a database that are not in it yet.
pub(super) fn has_log(path: &Path) -> bool {
    // The -shm file is an index of the -wal file.
    let mut logs = companions(path).filter(|companion| !companion.as_os_str().as_encoded_bytes().ends_with(b"-shm"));
    logs.any(|log| fs::symlink_metadata(log).is_ok_and(|found| found.len() > 0))
}

/// Keeps other users from reading the files, as far as this process may. A user who can read them can lock them.
pub(super) fn make_private(path: &Path) {
    #[cfg(unix)]
    for file in companions(path).chain([path.to_owned()]) {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(found) = fs::symlink_metadata(&file) else { continue };
        let mode = found.permissions().mode();
        if found.is_file() && mode & 0o077 != 0 {
            // Another user's file stays as it is.
            drop(fs::set_permissions(&file, fs::Permissions::from_mode(mode & 0o700)));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Checks again once the file is open: it must still be the same, and what SQLite created beside it must be fine, too.
pub(super) fn check_again(path: &Path, before: Option<Identity>) -> Result {
    if check(path)? == before { Ok(()) } else { Err(at(path, Problem::Replaced)) }
}

/// Identifies a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

fn at(path: &Path, problem: Problem) -> Untrusted {
    Untrusted { path: path.to_owned(), problem }
}

/// Reads what is at a path, which is not followed if it is a link. Returns `None` if there is nothing.
fn examine(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, Problem::Io(error))),
    }
}

fn check_folder(folder: &Path) -> Result {
    let Some(found) = examine(folder)?.filter(Metadata::is_dir) else {
        return Err(at(folder, Problem::Kind("folder")));
    };
    check_owner(folder, &found)?;
    // A sticky folder is no exception: others could put a file beside the journal for SQLite to read.
    check_mode(folder, &found)
}

fn check_file(path: &Path) -> Result<Option<Identity>> {
    let Some(found) = examine(path)? else { return Ok(None) };
    if !found.is_file() {
        return Err(at(path, Problem::Kind("regular file")));
    }
    check_owner(path, &found)?;
    check_mode(path, &found)?;
    Ok(Some(identity(&found)))
}

#[cfg(unix)]
fn check_owner(path: &Path, found: &Metadata) -> Result {
    let owner = std::os::unix::fs::MetadataExt::uid(found);
    let is_trusted = owner == 0 || owner == rustix::process::geteuid().as_raw();
    if is_trusted { Ok(()) } else { Err(at(path, Problem::Owner(owner))) }
}

/// Refuses what others can write.
#[cfg(unix)]
fn check_mode(path: &Path, found: &Metadata) -> Result {
    let mode = std::os::unix::fs::MetadataExt::mode(found) & 0o7777;
    // An access-control list that lets others write shows as a group that may.
    if mode & 0o022 == 0 { Ok(()) } else { Err(at(path, Problem::Writable(mode))) }
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Identity(found.dev(), found.ino())
}

// Elsewhere, a file has no owner and no mode to check.
#[cfg(not(unix))]
fn check_owner(_: &Path, _: &Metadata) -> Result {
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result {
    Ok(())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    Identity(0, 0)
}
