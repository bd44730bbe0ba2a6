//! Calls every operation at both vendors, against the emulator.
//!
//! `cargo run -p api-keyring --example every_operation`

#![allow(clippy::print_stdout)]

use api_keyring::{
    Capability, Expiry, IssuedKey, KeyId, KeyUpdate, Keyring, ListKeys, Monad, NamedProvider, NewKey, Provider,
    ProviderExt, Regeneration, Retry, Revocation, Secret, Spartera,
};
use api_keyring_emulator::Emulator;
use chrono::TimeDelta;
use futures_util::TryStreamExt;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let emulator = Emulator::start().await?;
    let keys = keyring(&emulator)?;
    for (name, role) in [("analytics", "3"), ("siem", "role-reader")] {
        let provider = keys.provider(name)?;
        let issued = create(&provider, role).await?;
        update_and_read(&provider, issued.id()).await?;
        let (id, secret) = regenerate(&provider, issued).await?;
        end(&provider, &id, &secret).await?;
    }
    list(&keys).await?;
    emulator.shutdown().await;
    Ok(())
}

/// Adds both vendors under names of our choice.
fn keyring(emulator: &Emulator) -> Result<Keyring> {
    let (spartera, monad) = (emulator.spartera(), emulator.monad());
    // Leave `base_url` out to call the vendors themselves.
    let spartera = Spartera::builder()
        .company_id(spartera.company_id())
        .api_key(spartera.admin_key())
        .base_url(spartera.base_url())
        .build()?;
    let monad = Monad::builder()
        .organization_id(monad.organization_id())
        .api_key(monad.admin_key())
        .base_url(monad.base_url())
        .build()?;
    Ok(Keyring::builder()
        .add("analytics", spartera.retrying(Retry::new()))
        .add("siem", monad.retrying(Retry::new()))
        .build()?)
}

/// Issues a key. The vendor shows its secret only here.
async fn create(provider: &NamedProvider, role: &str) -> Result<IssuedKey> {
    let new = NewKey::new("ci").role(role).expires_in(TimeDelta::days(7));
    let issued = provider.create(&new).await?;
    println!("{}: created {}, with the secret {:?}", provider.name(), issued.id(), issued.secret());
    Ok(issued)
}

/// Renames the key and reads it. The other fields keep their values.
async fn update_and_read(provider: &NamedProvider, id: &KeyId) -> Result {
    let name = provider.name();
    provider.update(id, &KeyUpdate::new().name("ci, builds")).await?;
    let key = provider.get(id).await?;
    println!("{name}: read {}, named {:?}, {}", key.reference()?, key.name().unwrap_or_default(), key.status());
    if offers(provider, Capability::Stats) {
        let stats = provider.stats(id).await?;
        println!("{name}: used {} times", stats.usage_count.unwrap_or_default());
    }
    Ok(())
}

/// Replaces the key's secret if the vendor can. The old secret stops working at once, and the id may change.
async fn regenerate(provider: &NamedProvider, issued: IssuedKey) -> Result<(KeyId, Secret)> {
    let (name, id, secret) = (provider.name(), issued.id().clone(), issued.into_secret());
    if !offers(provider, Capability::Regenerate) {
        return Ok((id, secret));
    }
    let how = Regeneration::new().expiry(Expiry::In(TimeDelta::days(30)));
    let regenerated = provider.regenerate(&id, &how).await?;
    println!("{name}: regenerated, the old secret works: {}", provider.accepts(&secret).await?.is_accepted());
    Ok((regenerated.id().clone(), regenerated.into_secret()))
}

/// Revokes the key if the vendor can, and deletes it.
async fn end(provider: &NamedProvider, id: &KeyId, secret: &Secret) -> Result {
    let name = provider.name();
    println!("{name}: the secret works: {}", provider.accepts(secret).await?.is_accepted());
    if offers(provider, Capability::Revoke) {
        provider.revoke(id, &Revocation::new().reason("the example is over")).await?;
        println!("{name}: revoked, the secret works: {}", provider.accepts(secret).await?.is_accepted());
    }
    provider.delete(id).await?;
    println!("{name}: deleted, the key exists: {}", provider.exists(id).await?);
    Ok(())
}

/// Lists the keys of all providers. The stream requests a page when you ask for its first key.
async fn list(keys: &Keyring) -> Result {
    let mut all = keys.list(ListKeys::new().name_contains("admin"));
    while let Some(key) = all.try_next().await? {
        println!("listed {} {:?}", key.reference()?, key.name().unwrap_or_default());
    }
    Ok(())
}

/// Returns whether the vendor offers a capability. Nothing is sent.
fn offers(provider: &NamedProvider, capability: Capability) -> bool {
    provider.capabilities().support(capability).is_supported()
}
