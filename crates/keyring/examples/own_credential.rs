//! A program replaces the key that it works with itself, while it goes on working.
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
    let tell = |retrying: &Retrying<'_>| println!("{retrying}");
    let spartera = Spartera::builder()
        .company_id(service.company_id())
        .api_key_from(secret.clone())
        .base_url(service.base_url())
        .build()?
        .retrying(Retry::new().observe(tell));

    // The key in use now is the only one so far.
    let old = spartera.list_all(ListKeys::new()).await?.remove(0);
    let new = NewKey::new("administrator, next").role(old.role().unwrap_or("1"));
    let issued = spartera.create(&new).await?;
    assert!(spartera.accepts(issued.secret()).await?, "nothing is switched to a key that was not seen to work");

    // From the next request on, the new key is sent; requests that are on their way end with the old one.
    secret.replace(issued.into_secret());
    spartera.delete(old.id()).await?;
    println!("{} keys, listed with the new one", spartera.list_all(ListKeys::new()).await?.len());
    assert!(!spartera.accepts(&service.admin_key().into()).await?, "the old key works no more");
    emulator.shutdown().await;
    Ok(())
}
