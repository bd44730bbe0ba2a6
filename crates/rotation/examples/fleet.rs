//! Rotates every key of an account that matches a pattern: first one canary, then all others, four at a time.
//!
//! `cargo run -p api-keyring-rotation --example fleet --features sinks,sqlite`

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use api_keyring::{ListKeys, Monad, ProviderExt};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{Existing, FileSink, Fleet, FleetKey, RotateKey, SecretFile, Selector, SqliteJournal};
use chrono::Utc;
use futures_util::TryStreamExt as _;
use futures_util::stream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start().await?;
    let service = emulator.monad();
    let monad = Monad::builder()
        .organization_id(service.organization_id())
        .api_key(service.admin_key())
        .base_url(service.base_url())
        .build()?;

    // Ten keys, each with its secret in a file named after its id.
    let folder = tempfile::tempdir()?;
    let folder_path = folder.path().canonicalize()?;
    for key in service.add_keys(10) {
        SecretFile::reserve(folder_path.join(&key.id), Existing::Keep)?.put(&key.secret.as_str().into())?;
    }

    // Select the keys, and say where each one's secret is.
    let selector = Selector::new().named("seeded-*")?;
    let keys: Vec<_> = monad.list(ListKeys::new()).try_collect().await?;
    let mut selected = Vec::new();
    for key in keys.iter().filter(|key| selector.matches(key, Utc::now())) {
        let sink = Arc::new(FileSink::new(folder_path.join(key.id().as_str()))?);
        selected.push(FleetKey { rotate: RotateKey::new(key.id().clone()).role("role-reader").leaked(), sink });
    }

    let journal = SqliteJournal::open(folder.path().join("rotations.sqlite"))?;
    let fleet = Fleet::new(monad.clone(), journal).waves([1]).concurrency(4);
    let summary = fleet.rotate(stream::iter(selected), |key, result| println!("{key}: {result:?}")).await;

    println!("{} keys were rotated, {} were not", summary.done, summary.failed);
    assert_eq!((summary.done, summary.failed), (10, 0));
    emulator.shutdown().await;
    Ok(())
}
