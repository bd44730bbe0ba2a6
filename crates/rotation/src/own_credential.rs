//! Whether a key is your own credential, found out by trying if nothing shows it.

use api_keyring::{ApiKey, Capability, KeyId, OwnCredential, Provider, ProviderExt as _, Secret};

/// Returns whether `provider` authenticates with `key`. If the vendor does not show it, finds out by trying.
///
/// `secret` is the secret that the provider authenticates with, if it is known.
///
/// # Errors
///
/// Those of the requests that it takes to find out.
pub async fn own_credential(
    provider: &dyn Provider,
    key: &ApiKey,
    secret: Option<&Secret>,
) -> api_keyring::Result<OwnCredential> {
    match provider.is_own_credential(key, secret).await? {
        OwnCredential::Unknown if is_used_by_every_request(provider, key.id()).await? => Ok(OwnCredential::Yes),
        shown => Ok(shown),
    }
}

/// How many requests must each raise the number of a key's uses, so that the key counts as your own credential.
const TRIALS: usize = 3;

/// Returns whether each of a few requests raises the number of uses of the key. Then the key is your own credential, or
/// it is in such heavy use that it should be treated like it.
async fn is_used_by_every_request(provider: &dyn Provider, key: &KeyId) -> api_keyring::Result<bool> {
    if !provider.capabilities().support(Capability::Stats).is_supported() {
        return Ok(false);
    }
    let mut before = None;
    for trial in 0..=TRIALS {
        let uses = match provider.stats(key).await {
            Ok(stats) => stats.usage_count,
            // The credential may not read this, or the vendor does not have it for this key.
            Err(error) if error.is_permission_denied() || error.is_not_found() || error.is_unsupported() => None,
            Err(error) => return Err(error),
        };
        let Some(uses) = uses else { return Ok(false) };
        if trial > 0 && before.is_none_or(|before| uses <= before) {
            return Ok(false);
        }
        before = Some(uses);
    }
    Ok(true)
}
