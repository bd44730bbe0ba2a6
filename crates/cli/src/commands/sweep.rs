//! `sweep`: keys that rotations have left behind.

use api_keyring::rotation::left_behind;
use api_keyring::{Keyring, Provider as _};
use serde_json::json;

use super::rotator;
use crate::arguments::{Format, Sweep};
use crate::confirm::confirm;
use crate::failure::Result;
use crate::{config, output};

pub(super) async fn run(format: Format, arguments: &Sweep) -> Result {
    let keyring: Keyring = config::from_environment(arguments.provider.as_deref())?;
    let journal = rotator::journal(&arguments.journal)?;
    let mut found = Vec::new();
    for provider in keyring.providers() {
        let keys = left_behind(&provider, &journal).await?;
        found.extend(keys.into_iter().map(|key| (provider.clone(), key)));
    }
    let known = found.iter().filter(|(_, left)| left.rotation.is_some()).count();
    if arguments.retire && known > 0 {
        confirm(
            &arguments.consent,
            &format!("{known} keys that rotations have left behind stop working. Delete them?"),
        )?;
    }
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (provider, left) in found {
        let retired = arguments.retire && left.rotation.is_some();
        if retired {
            match provider.delete(left.key.id()).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        let done = match (retired, &left.rotation) {
            (true, _) => "deleted",
            (false, Some(_)) => "left behind",
            (false, None) => "of no rotation in this journal",
        };
        rows.push([
            format!("{}/{}", provider.name(), left.key.id()),
            left.key.name().unwrap_or("-").to_owned(),
            left.rotation.as_ref().map_or("-".to_owned(), ToString::to_string),
            done.to_owned(),
        ]);
        documents.push(json!({
            "provider": provider.name(), "id": left.key.id(), "name": left.key.name(), "mark": left.mark,
            "rotation": left.rotation, "deleted": retired,
        }));
    }
    match format {
        Format::Json => output::json(&documents),
        Format::Table => output::table(["KEY", "NAME", "ROTATION", "WHAT"], rows),
    }
}
