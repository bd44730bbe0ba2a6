//! The journal of rotations: who may make one, and what is said where there is none.

use std::fs::DirBuilder;
use std::path::Path;
use std::sync::Arc;

use api_keyring_rotation::{Journal, MemoryJournal, RotationId, SqliteJournal};

use crate::arguments::{JournalArguments, RotateOptions};
use crate::failure::{Failure, Result};
use crate::{config, output};

/// What to do when the journal's file does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenMissing {
    /// Create it.
    Create,
    /// Write nothing, and use an empty journal in its place.
    UseEmpty,
}

impl WhenMissing {
    /// A dry run creates nothing.
    pub(super) fn for_run(options: &RotateOptions) -> Self {
        if options.dry_run { Self::UseEmpty } else { Self::Create }
    }
}

/// The journal of a command that rotates, which is made where it is missing, unless nothing is to be written.
pub(super) fn for_rotation(options: &RotateOptions, when_missing: WhenMissing) -> Result<Arc<dyn Journal>> {
    match &options.rotator.journal.journal {
        Some(path) => open(path, when_missing),
        None => {
            let path = config::journal()?;
            if let (Some(folder), WhenMissing::Create) = (path.parent(), when_missing) {
                let made = make_private(folder);
                made.map_err(|why| Failure::Other(format!("{} cannot be made: {why}", folder.display())))?;
            }
            open(&path, when_missing)
        }
    }
}

/// The journal of a command that looks at what was rotated: a new one would hide that this is the wrong place.
pub(super) fn existing(arguments: &JournalArguments) -> Result<Arc<dyn Journal>> {
    if let Some(path) = &arguments.journal {
        if !path.exists() {
            return Err(Failure::Other(format!("there is no journal {}", path.display())));
        }
        return open(path, WhenMissing::Create);
    }
    let path = config::journal()?;
    if !path.exists() {
        output::notice(&format!("there is no journal {} yet: it tells of no rotation", path.display()));
    }
    open(&path, WhenMissing::UseEmpty)
}

fn open(path: &Path, when_missing: WhenMissing) -> Result<Arc<dyn Journal>> {
    if when_missing == WhenMissing::UseEmpty && !path.exists() {
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
