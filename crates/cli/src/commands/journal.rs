//! Opens the journal of rotations, and decides which commands may create it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_keyring_rotation::{Journal, JournalEntry, JournalError, Listing, MemoryJournal, RotationId, SqliteJournal};

use crate::arguments::{JournalArguments, RotateOptions};
use crate::destination::create_private;
use crate::failure::{Failure, Result};
use crate::{config, output};

/// What a command may do with the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Read it. If it does not exist, the command uses an empty journal instead.
    Read,
    /// Write it.
    Write,
}

impl Access {
    /// Lets a dry run read the journal, and every other run write it.
    pub(super) fn unless_dry_run(is_dry_run: bool) -> Self {
        if is_dry_run { Self::Read } else { Self::Write }
    }
}

/// Opens the journal for a command that rotates. With [`Access::Write`], creates it if it does not exist.
pub(super) fn for_rotation(options: &RotateOptions, access: Access) -> Result<Arc<dyn Journal>> {
    match &options.rotator.journal.journal {
        Some(path) => open(path, access),
        None => {
            if access == Access::Write {
                let folder = config::journal_folder()?;
                create_private(&folder).map_err(|why| {
                    Failure::Other(format!("cannot create the directory {}: {why}", folder.display()))
                })?;
            }
            open(&config::journal()?, access)
        }
    }
}

/// Opens the journal for a command that works on earlier rotations. A new journal would hide that the path is wrong.
pub(super) fn existing(arguments: &JournalArguments, access: Access) -> Result<Arc<dyn Journal>> {
    if let Some(path) = &arguments.journal {
        if !path.exists() {
            return Err(Failure::Other(format!("there is no journal at {}: check --journal", path.display())));
        }
        return open(path, access);
    }
    let path = config::journal()?;
    if !path.exists() {
        output::notice(&format!("there is no journal at {} yet, so no rotation is recorded", path.display()));
        return Ok(Arc::new(MemoryJournal::new()));
    }
    open(&path, access)
}

fn open(path: &Path, access: Access) -> Result<Arc<dyn Journal>> {
    // A journal that cannot be reached is not the same as none.
    let exists = path.try_exists().unwrap_or(true);
    Ok(match access {
        Access::Read if !exists => Arc::new(MemoryJournal::new()),
        Access::Read => Arc::new(SqliteJournal::open_read_only(path)?),
        Access::Write => Arc::new(SqliteJournal::open(path)?),
    })
}

/// Returns the folder of the journal.
pub(super) fn folder(arguments: &JournalArguments) -> Result<PathBuf> {
    match &arguments.journal {
        Some(path) => Ok(path.parent().unwrap_or(Path::new("")).to_owned()),
        None => config::journal_folder(),
    }
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
