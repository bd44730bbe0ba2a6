//! Every operation, at both vendors, against the emulator.
//!
//! `cargo run -p api-keyring --example every_operation`

#![allow(clippy::print_stdout)]

use api_keyring::{
    Capability, Expiry, KeyUpdate, Keyring, ListKeys, Monad, NewKey, Provider, ProviderExt, Regeneration, Retry,
    Revocation, Spartera,
};
use api_keyring_emulator::Emulator;
use chrono::TimeDelta;
use futures_util::TryStreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start().await?;
    let (spartera, monad) = (emulator.spartera(), emulator.monad());
    // At the services themselves, leave `base_url` out.
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
    let keys = Keyring::builder()
        .add("analytics", spartera.retrying(Retry::new()))
        .add("siem", monad.retrying(Retry::new()))
        .build()?;

    for (name, role) in [("analytics", "3"), ("siem", "role-reader")] {
        let provider = keys.provider(name)?;

        // Create. The secret is shown this one time.
        let new = NewKey::new("ci").role(role).expires_in(TimeDelta::days(7));
        let issued = provider.create(&new).await?;
        println!("{name}: created {}, with the secret {:?}", issued.id(), issued.secret());

        // Get, and update. What is not changed stays as it is.
        provider.update(issued.id(), &KeyUpdate::new().name("ci, builds")).await?;
        let key = provider.get(issued.id()).await?;
        println!("{name}: read {}, named {:?}, {}", key.reference()?, key.name().unwrap_or_default(), key.status());

        // What only some vendors have is known beforehand.
        let offers = |capability| provider.capabilities().support(capability).is_supported();
        if offers(Capability::Stats) {
            let stats = provider.stats(issued.id()).await?;
            println!("{name}: used {} times", stats.usage_count.unwrap_or_default());
        }
        let mut secret = issued.secret().clone();
        let mut id = issued.id().clone();
        if offers(Capability::Regenerate) {
            // The old secret dies at once, and the id may change.
            let how = Regeneration::new().expiry(Expiry::In(TimeDelta::days(30)));
            let regenerated = provider.regenerate(&id, &how).await?;
            println!("{name}: regenerated, the old secret works: {}", provider.accepts(&secret).await?);
            (id, secret) = (regenerated.id().clone(), regenerated.into_secret());
        }
        println!("{name}: the secret works: {}", provider.accepts(&secret).await?);
        if offers(Capability::Revoke) {
            provider.revoke(&id, &Revocation::new().reason("the example is over")).await?;
            println!("{name}: revoked, the secret works: {}", provider.accepts(&secret).await?);
        }
        provider.delete(&id).await?;
        println!("{name}: deleted, the key exists: {}", provider.exists(&id).await?);
    }

    // List: over all providers, page by page as the keys are asked for.
    let mut all = keys.list(ListKeys::new().name_contains("admin"));
    while let Some(key) = all.try_next().await? {
        println!("listed {} {:?}", key.reference()?, key.name().unwrap_or_default());
    }
    emulator.shutdown().await;
    Ok(())
}
