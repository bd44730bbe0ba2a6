//! `get` shows one key, and `stats` shows its use.

use api_keyring::{KeyRef, Provider as _};

use super::provider_of;
use crate::arguments::Format;
use crate::failure::Result;
use crate::output;

pub(super) async fn get(format: Format, key: &KeyRef) -> Result {
    let key = provider_of(key)?.get(key.id()).await?;
    match format {
        Format::Json => output::json(&key),
        Format::Table => output::fields(output::key_fields(&key)),
    }
}

pub(super) async fn stats(format: Format, key: &KeyRef) -> Result {
    let stats = provider_of(key)?.stats(key.id()).await?;
    match format {
        Format::Json => output::json(&stats),
        Format::Table => output::fields(output::stats_fields(&stats)),
    }
}
