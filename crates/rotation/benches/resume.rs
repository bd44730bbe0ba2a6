//! Measures how long it takes to resume a rotation that needs attention, again and again.
//!
//! `cargo bench -p api-keyring-rotation --bench resume` resumes a rotation 1,440 times, as a scheduled job does in a day,
//! while the vendor refuses to retire the old key. It prints the wall time and how many versions the journal has got,
//! and fails if that takes ten seconds or more than two versions.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use api_keyring::Monad;
use api_keyring_emulator::{Emulator, Fault};
use api_keyring_rotation::{Journal as _, MemorySink, RotateKey, Rotator, SqliteJournal};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LONGEST: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    // Without `--bench`, `cargo test --all-targets` runs this. Then a few resumes show that it works.
    let resumes = if env::args().any(|argument| argument == "--bench") { 1440 } else { 10 };
    let emulator = Emulator::start().await?;
    let service = emulator.monad();
    let seeded = service.add_keys(1).remove(0);
    let builder = Monad::builder().organization_id(service.organization_id()).api_key(service.admin_key());
    let provider = builder.base_url(service.base_url()).build()?;
    emulator.inject("delete:status=403".parse::<Fault>()?);
    let folder = tempfile::tempdir()?;
    let journal = SqliteJournal::open(folder.path().join("journal"))?;
    let rotator = Rotator::new(provider, MemorySink::holding(seeded.secret.as_str()), journal.clone());

    let stuck = rotator.rotate(&RotateKey::new(seeded.id.parse()?).role("role-reader").leaked()).await?;
    let before = journal.history(&stuck.id).await?.len();
    let (mut first, begun) = (None, Instant::now());
    for _ in 0..resumes {
        let resumed = rotator.resume(&stuck.id).await?;
        if resumed.state.name() != "stuck" {
            return Err(format!("the rotation no longer needs attention: {resumed:?}").into());
        }
        first.get_or_insert(begun.elapsed());
    }
    let (took, written) = (begun.elapsed(), journal.history(&stuck.id).await?.len() - before);
    println!("{resumes} resumes took {took:.2?}, the first {:.2?}; {written} versions", first.unwrap_or_default());
    if took > LONGEST || written > 2 {
        return Err(format!("more than {LONGEST:?}, or more than 2 versions").into());
    }
    Ok(())
}
