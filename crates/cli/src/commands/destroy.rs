//! `revoke` and `delete` end a key.

use api_keyring::{Capability, KeyRef, Provider as _, Revocation};
use serde_json::json;

use super::provider_of;
use crate::arguments::{Delete, Format, Revoke};
use crate::confirm::confirm;
use crate::failure::Result;
use crate::output;

pub(super) async fn revoke(format: Format, arguments: Revoke) -> Result {
    let key = &arguments.key.key;
    let provider = provider_of(key)?;
    // If the vendor does not support it, the call fails: no question is needed.
    if provider.capabilities().support(Capability::Revoke).is_supported() {
        confirm(&arguments.consent, &format!("Every program that uses {key} stops working."), "Revoke it?")?;
    }
    let mut revocation = Revocation::new();
    revocation.reason = arguments.reason;
    revocation.role = arguments.role;
    provider.revoke(key.id(), &revocation).await?;
    report(format, key, "revoked")
}

pub(super) async fn delete(format: Format, arguments: Delete) -> Result {
    let key = &arguments.key.key;
    let provider = provider_of(key)?;
    confirm(&arguments.consent, &format!("Every program that uses {key} stops working."), "Delete it?")?;
    provider.delete(key.id()).await?;
    report(format, key, "deleted")
}

fn report(format: Format, key: &KeyRef, done: &str) -> Result {
    match format {
        Format::Json => output::json(&json!({"provider": key.provider(), "id": key.id(), "done": done})),
        Format::Table => output::fields([("key", Some(key.to_string())), ("done", Some(done.to_owned()))]),
    }
}
