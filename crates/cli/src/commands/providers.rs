//! `providers` shows the configured providers and what each one supports.

use api_keyring::{Capability, Keyring, Provider as _, Support};
use serde_json::{Map, Value, json};

use crate::arguments::Format;
use crate::failure::Result;
use crate::{config, output};

pub(super) fn run(format: Format) -> Result {
    let keyring = config::from_environment(None)?;
    match format {
        Format::Json => output::json(&as_json(&keyring)),
        Format::Table => {
            let providers: Vec<_> = keyring.providers().collect();
            let header = ["CAPABILITY".to_owned()].into_iter().chain(keyring.names().map(str::to_owned));
            let scopes = ["scope".to_owned()].into_iter().chain(providers.iter().map(|one| one.scope().to_owned()));
            let capabilities = Capability::ALL.iter().map(|capability| {
                let support = providers.iter().map(|one| one.capabilities().support(*capability).name().to_owned());
                [capability.name().to_owned()].into_iter().chain(support).collect::<Vec<_>>()
            });
            output::table(header, [scopes.collect()].into_iter().chain(capabilities))
        }
    }
}

fn as_json(keyring: &Keyring) -> Vec<Value> {
    let capabilities = |provider: &api_keyring::NamedProvider| -> Map<String, Value> {
        let support = |capability| match provider.capabilities().support(capability) {
            Support::Emulated { difference } => json!({"support": "emulated", "difference": difference}),
            Support::Unsupported { instead } => json!({"support": "unsupported", "instead": instead}),
            other => json!({"support": other.name()}),
        };
        Capability::ALL.iter().map(|one| (one.name().to_owned(), support(*one))).collect()
    };
    let provider = |provider: api_keyring::NamedProvider| {
        json!({
            "name": provider.name(),
            "vendor": provider.vendor(),
            "scope": provider.scope(),
            "capabilities": capabilities(&provider),
        })
    };
    keyring.providers().map(provider).collect()
}
