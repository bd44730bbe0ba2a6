//! `prune` removes old finished rotations from the journal.

use api_keyring_rotation::{Journal as _, Prune, Pruned};
use serde_json::json;

use super::journal::{self, Access};
use crate::arguments::{self, Format};
use crate::confirm::confirm;
use crate::failure::Result;
use crate::output;

pub(super) async fn run(format: Format, arguments: &arguments::Prune) -> Result {
    let journal = journal::existing(&arguments.journal, Access::unless_dry_run(arguments.dry_run))?;
    let found = journal.prune(arguments.older_than, Prune::Count).await?;
    if arguments.dry_run || found.rotations == 0 {
        return print(format, found, arguments.dry_run);
    }
    let consequence = format!("{} finished rotations disappear from the journal.", found.rotations);
    confirm(&arguments.consent, &consequence, "Remove them?")?;
    print(format, journal.prune(arguments.older_than, Prune::Remove).await?, false)
}

fn print(format: Format, pruned: Pruned, is_dry_run: bool) -> Result {
    if format == Format::Json {
        let (rotations, unreadable) = (pruned.rotations, pruned.unreadable);
        return output::json(&json!({"dry_run": is_dry_run, "rotations": rotations, "unreadable": unreadable}));
    }
    let label = if is_dry_run { "would remove" } else { "removed" };
    let unreadable = (pruned.unreadable > 0).then(|| pruned.unreadable.to_string());
    output::fields([(label, Some(pruned.rotations.to_string())), ("kept, because unreadable", unreadable)])
}
