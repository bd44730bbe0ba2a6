//! Recovers from a create whose answer is lost, and ends with exactly one key whose secret is known.
//!
//! `cargo run -p api-keyring --example lost_answer`

#![allow(clippy::print_stdout)]

use api_keyring::{IssuedKey, ListKeys, Mark, Monad, NewKey, Provider, ProviderExt, Result};
use api_keyring_emulator::{Emulator, Fault};
use chrono::TimeDelta;

/// Issues a key even if answers are lost, and deletes the keys whose secrets were lost.
async fn create_one(provider: &dyn Provider, new: &NewKey) -> Result<IssuedKey> {
    loop {
        // A new mark for each attempt identifies this attempt's key.
        let mark = Mark::random();
        let error = match provider.create(&new.clone().marked(&mark)).await {
            Err(error) if error.may_have_taken_effect() => error,
            answered => return answered,
        };
        println!("{error}");
        // A service may list a new key only after some time, which only its vendor knows.
        for orphan in provider.resolve(&mark).await? {
            println!("deleting {}, because its secret is lost", orphan.id());
            provider.delete(orphan.id()).await?;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The first create takes effect, but the connection breaks before the answer.
    let emulator = Emulator::builder().fault("create:reset-after:1".parse::<Fault>()?).start().await?;
    let monad = emulator.monad();
    let monad = Monad::builder()
        .organization_id(monad.organization_id())
        .api_key(monad.admin_key())
        .base_url(monad.base_url())
        .build()?;

    let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(7));
    let issued = create_one(&monad, &new).await?;
    let named = monad.list_all(ListKeys::new().name_contains("ci")).await?;
    println!("{} is the only key of its name: {}", issued.id(), named.len() == 1);
    assert!(named.len() == 1 && monad.accepts(issued.secret()).await?.is_accepted());
    emulator.shutdown().await;
    Ok(())
}
