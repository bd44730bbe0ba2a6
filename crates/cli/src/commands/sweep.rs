//! `sweep`: keys that rotations have left behind.

use api_keyring::rotation::left_behind;
use api_keyring::{Keyring, Provider as _};
use serde_json::json;

use super::rotator;
use crate::arguments::{Format, Sweep};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
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
    let mut failed = 0;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (provider, left) in found {
        let mut done = match &left.rotation {
            Some(_) => "left behind".to_owned(),
            None => "of no rotation in this journal".to_owned(),
        };
        let mut retired = false;
        if arguments.retire && left.rotation.is_some() {
            match provider.delete(left.key.id()).await {
                Err(error) if !error.is_not_found() => {
                    done = error.to_string();
                    failed += 1;
                }
                _ => {
                    done = "deleted".to_owned();
                    retired = true;
                }
            }
        }
        rows.push([
            format!("{}/{}", provider.name(), left.key.id()),
            left.key.name().unwrap_or("-").to_owned(),
            left.rotation.as_ref().map_or("-".to_owned(), ToString::to_string),
            done,
        ]);
        documents.push(json!({
            "provider": provider.name(), "id": left.key.id(), "name": left.key.name(), "mark": left.mark,
            "rotation": left.rotation, "deleted": retired,
        }));
    }
    let printed = match format {
        Format::Json => output::json(&documents),
        Format::Table => output::table(["KEY", "NAME", "ROTATION", "WHAT"], rows),
    };
    match failed {
        0 => printed,
        failed => Err(Failure::Other(format!("{failed} of {} keys could not be deleted", documents.len()))),
    }
}
