//! Measures how long `api-keyring status` takes with a journal of many finished rotations.
//!
//! `cargo bench -p api-keyring-cli --bench status` fills a journal with 10,000 finished rotations and one that is not,
//! and prints how long each command takes, as a process: the median of 20 runs. It fails if `status` takes 50 ms.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use api_keyring::Monad;
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{MemorySink, RotateKey, Rotator, SqliteJournal};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LONGEST: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    // Without `--bench`, `cargo test --all-targets` runs this. Then a few rotations show that it works.
    let measures = env::args().any(|argument| argument == "--bench");
    let (rotations, runs) = if measures { (10_000, 20) } else { (20, 1) };
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    fill(&journal, rotations).await?;
    println!("{rotations} finished rotations, {} MiB", std::fs::metadata(&journal)?.len() >> 20);
    let status = measure(&journal, &["status"], runs)?;
    measure(&journal, &["history"], runs)?;
    measure(&journal, &["prune", "--older-than", "0s", "--dry-run"], 1)?;
    measure(&journal, &["prune", "--older-than", "0s", "--yes"], 1)?;
    measure(&journal, &["status"], runs)?;
    if measures && status > LONGEST {
        return Err(format!("`status` took more than {LONGEST:?}").into());
    }
    Ok(())
}

/// Rotates two keys, one of which waits for the end of its grace, and copies the finished rotation.
async fn fill(path: &Path, rotations: usize) -> Result {
    let emulator = Emulator::start().await?;
    let service = emulator.monad();
    let builder = Monad::builder().organization_id(service.organization_id()).api_key(service.admin_key());
    let provider = builder.base_url(service.base_url()).build()?;
    let journal = SqliteJournal::open(path)?;
    for (number, key) in service.add_keys(2).into_iter().enumerate() {
        let sink = MemorySink::holding(key.secret.as_str());
        let rotator = Rotator::new(provider.clone(), sink, journal.clone()).patience(Duration::ZERO);
        let rotate = RotateKey::new(key.id.parse()?).role("role-reader");
        rotator.rotate(&if number == 0 { rotate.leaked() } else { rotate }).await?;
    }
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TEMP TABLE copy AS WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number
             WHERE n < {rotations} - 1) SELECT n, printf('%016d', n) AS text FROM number;
         INSERT INTO rotation (number, id, provider, vendor, scope, old_key, old_created, state, new_key, version)
             SELECT 10 + n, 'r-' || text, provider, vendor, scope, text, old_created, state, new_key, version
             FROM rotation, copy WHERE number = 1;
         INSERT INTO mark (mark, rotation) SELECT text, 10 + n FROM copy;
         INSERT INTO version (rotation, version, time, state, record)
             SELECT 10 + n, version, time, state, replace(json_set(record, '$.id', 'r-' || text, '$.plan.old.id', text),
                 (SELECT mark FROM mark WHERE rotation = 1), text)
             FROM copy, version WHERE rotation = 1;
         COMMIT;"
    ))?;
    Ok(())
}

/// Runs a command and prints how long it takes. Returns the median.
fn measure(journal: &Path, arguments: &[&str], runs: usize) -> Result<Duration> {
    let mut times = Vec::new();
    let mut shown = String::new();
    for _ in 0..runs {
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-keyring"));
        let begun = Instant::now();
        let run = command.args(arguments).arg("--journal").arg(journal).output()?;
        times.push(begun.elapsed());
        shown = String::from_utf8(run.stdout)?;
        if !run.status.success() || shown.contains("unreadable") {
            return Err(format!("{arguments:?}: {shown}{}", String::from_utf8_lossy(&run.stderr)).into());
        }
    }
    times.sort_unstable();
    let median = times.get(runs / 2).copied().unwrap_or_default();
    println!("{:40} {median:>10.1?}, {} lines", arguments.join(" "), shown.lines().count());
    Ok(median)
}
