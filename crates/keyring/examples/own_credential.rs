//! Replaces the key that a program itself uses, without an interruption.
//!
//! `cargo run -p api-keyring --example own_credential`

#![allow(clippy::print_stdout)]

use api_keyring::{ListKeys, NewKey, Provider, ProviderExt, Retry, Retrying, SharedSecret, Spartera};
use api_keyring_emulator::Emulator;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start().await?;
    let service = emulator.spartera();
    let secret = SharedSecret::new(service.admin_key());
    let print = |retrying: &Retrying<'_>| println!("{retrying}");
    let spartera = Spartera::builder()
        .company_id(service.company_id())
        .api_key_from(secret.clone())
        .base_url(service.base_url())
        .build()?
        .retrying(Retry::new().observe(print));

    // The key in use is still the only one.
    let old = spartera.list_all(ListKeys::new()).await?.remove(0);
    let new = NewKey::new("administrator, next").role(old.role().unwrap_or("1"));
    let issued = spartera.create(&new).await?;
    assert!(
        spartera.accepts(issued.secret()).await?.is_accepted(),
        "the new key works before the program switches to it"
    );

    // The next request sends the new key. Requests in progress finish with the old one.
    secret.replace(issued.into_secret());
    spartera.delete(old.id()).await?;
    println!("listed {} keys with the new key", spartera.list_all(ListKeys::new()).await?.len());
    assert!(spartera.accepts(&service.admin_key().into()).await?.is_refused(), "the old key no longer works");
    emulator.shutdown().await;
    Ok(())
}
