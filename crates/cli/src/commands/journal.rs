//! Opens the journal of rotations, and decides which commands may create it.

use std::fs::DirBuilder;
use std::path::Path;
use std::sync::Arc;

use api_keyring_rotation::{Journal, JournalEntry, JournalError, Listing, MemoryJournal, RotationId, SqliteJournal};

use crate::arguments::{JournalArguments, RotateOptions};
use crate::failure::{Failure, Result};
use crate::{config, output};

/// Whether to create the file of the journal if it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenMissing {
    /// Create it.
    Create,
    /// Create no file and use an empty journal instead.
    UseEmpty,
}

impl WhenMissing {
    /// Lets every run create the journal, except a dry run.
    pub(super) fn for_run(options: &RotateOptions) -> Self {
        if options.dry_run { Self::UseEmpty } else { Self::Create }
    }
}

/// Opens the journal for a command that rotates.
pub(super) fn for_rotation(options: &RotateOptions, when_missing: WhenMissing) -> Result<Arc<dyn Journal>> {
    match &options.rotator.journal.journal {
        Some(path) => open(path, when_missing),
        None => {
            let path = config::journal()?;
            if let (Some(folder), WhenMissing::Create) = (path.parent(), when_missing) {
                create_private(folder).map_err(|why| {
                    Failure::Other(format!("cannot create the directory {}: {why}", folder.display()))
                })?;
            }
            open(&path, when_missing)
        }
    }
}

/// Opens the journal for a command that works on earlier rotations. A new journal would hide that the path is wrong.
pub(super) fn existing(arguments: &JournalArguments) -> Result<Arc<dyn Journal>> {
    if let Some(path) = &arguments.journal {
        if !path.exists() {
            return Err(Failure::Other(format!("there is no journal at {}: check --journal", path.display())));
        }
        return open(path, WhenMissing::UseEmpty);
    }
    let path = config::journal()?;
    if !path.exists() {
        output::notice(&format!("there is no journal at {} yet, so no rotation is recorded", path.display()));
    }
    open(&path, WhenMissing::UseEmpty)
}

fn open(path: &Path, when_missing: WhenMissing) -> Result<Arc<dyn Journal>> {
    if when_missing == WhenMissing::UseEmpty && !path.exists() {
        return Ok(Arc::new(MemoryJournal::new()));
    }
    Ok(Arc::new(SqliteJournal::open(path)?))
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// How many rotations to read at a time.
const PAGE: usize = 500;

/// Returns all unfinished rotations, also those whose records cannot be read.
pub(super) async fn unfinished(journal: &dyn Journal) -> Result<Vec<JournalEntry>, JournalError> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = journal.list(Listing::Unfinished, after, PAGE).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(entries),
        }
    }
}

/// Returns the command that continues a rotation from the same journal.
pub(super) fn command_to_resume(id: &RotationId, arguments: &JournalArguments) -> String {
    match &arguments.journal {
        Some(path) => format!("api-keyring resume {id} --journal {path:?}"),
        None => format!("api-keyring resume {id}"),
    }
}
