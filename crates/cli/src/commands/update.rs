//! `update` changes a key's metadata.

use api_keyring::{KeyUpdate, Provider as _};

use super::provider_of;
use crate::arguments::{Format, Update};
use crate::failure::Result;
use crate::output;

pub(super) async fn run(format: Format, arguments: Update) -> Result {
    let key = &arguments.key.key;
    let provider = provider_of(key)?;
    let mut update = KeyUpdate::new();
    update.name = arguments.name;
    update.role = arguments.role;
    update.expiry = arguments.expiry.expiry();
    update.description = arguments.description;
    update.owner = arguments.owner;
    let updated = match provider.update(key.id(), &update).await? {
        Some(updated) => updated,
        None => match provider.get(key.id()).await {
            Ok(updated) => updated,
            Err(error) => {
                output::notice(&format!("{key} was updated, but api-keyring cannot read it back:"));
                return Err(error.into());
            }
        },
    };
    match format {
        Format::Json => output::json(&updated),
        Format::Table => output::fields(output::key_fields(&updated)),
    }
}
