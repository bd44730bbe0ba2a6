//! Rotates a key whose secret is in a file, and records the rotation in a SQLite journal.
//!
//! `cargo run -p api-keyring-rotation --example rotate --features sinks,sqlite`

#![allow(clippy::print_stdout)]

use api_keyring::{Monad, ProviderExt, Secret};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{Existing, FileSink, RotateKey, Rotator, SecretFile, Sink, SqliteJournal, State};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start().await?;
    let service = emulator.monad();
    let monad = Monad::builder()
        .organization_id(service.organization_id())
        .api_key(service.admin_key())
        .base_url(service.base_url())
        .build()?;

    // A key that somebody issued earlier. Its users read the secret from this file.
    let old = &service.add_keys(1)[0];
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?.join("ci.key");
    let old_secret = Secret::new(old.secret.as_str());
    SecretFile::reserve(&path, Existing::Keep)?.put(&old_secret)?;

    let sink = FileSink::new(&path)?;
    let journal = SqliteJournal::open(folder.path().join("rotations.sqlite"))?;
    let rotator = Rotator::new(monad.clone(), sink.clone(), journal)
        .observe(|record| println!("{}: {}", record.id, record.state.kind()));

    // Read the plan before you start it.
    let request = RotateKey::new(old.id.parse()?).role("role-reader").leaked();
    let plan = rotator.plan(&request).await?;
    for step in plan.steps() {
        println!("plan: {}", step.what);
    }

    let rotation = rotator.start(plan).await?;
    // If this process dies now, another one continues with the same call.
    let rotation = rotator.resume(&rotation.id).await?;

    assert!(matches!(rotation.state, State::Done { .. }));
    let new_secret = sink.current().await?.ok_or("the file is empty")?;
    println!("the new secret works: {}", monad.accepts(&new_secret).await?.is_accepted());
    println!("the old secret works: {}", monad.accepts(&old_secret).await?.is_accepted());
    emulator.shutdown().await;
    Ok(())
}
