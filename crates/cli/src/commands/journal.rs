//! The journal of rotations: who may make one, and what is said where there is none.

use std::fs::DirBuilder;
use std::path::Path;
use std::sync::Arc;

use api_keyring_rotation::{Journal, MemoryJournal, RotationId, SqliteJournal};

use crate::arguments::{JournalArguments, RotateOptions};
use crate::failure::{Failure, Result};
use crate::{config, output};

/// The journal of a command that rotates, which is made where it is missing, unless nothing is to be written.
pub(super) fn of_rotation(options: &RotateOptions, only_reads: bool) -> Result<Arc<dyn Journal>> {
    match &options.how.journal.journal {
        Some(path) => open(path, only_reads),
        None => {
            let path = config::journal()?;
            if let (Some(folder), false) = (path.parent(), only_reads) {
                let made = make_private(folder);
                made.map_err(|why| Failure::Other(format!("{} cannot be made: {why}", folder.display())))?;
            }
            open(&path, only_reads)
        }
    }
}

/// The journal of a command that looks at what was rotated: a new one would hide that this is the wrong place.
pub(super) fn existing(arguments: &JournalArguments) -> Result<Arc<dyn Journal>> {
    if let Some(path) = &arguments.journal {
        if !path.exists() {
            return Err(Failure::Other(format!("there is no journal {}", path.display())));
        }
        return open(path, false);
    }
    let path = config::journal()?;
    if !path.exists() {
        output::tell(&format!("there is no journal {} yet: it tells of no rotation", path.display()));
    }
    open(&path, true)
}

/// An empty journal stands in for one that is missing and is not to be made.
fn open(path: &Path, only_if_there: bool) -> Result<Arc<dyn Journal>> {
    if only_if_there && !path.exists() {
        return Ok(Arc::new(MemoryJournal::new()));
    }
    Ok(Arc::new(SqliteJournal::open(path)?))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The command that carries a rotation on, in the same journal.
pub(super) fn command_to_resume(id: &RotationId, arguments: &JournalArguments) -> String {
    match &arguments.journal {
        Some(path) => format!("api-keyring resume {id} --journal {path:?}"),
        None => format!("api-keyring resume {id}"),
    }
}
