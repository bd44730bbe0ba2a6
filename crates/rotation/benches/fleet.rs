//! Measures how long it takes to rotate many keys, and how many requests it takes.
//!
//! `cargo bench -p api-keyring-rotation --bench fleet` rotates 1,000 keys, half of them at each vendor, 32 at a time.
//! The emulator takes 20 ms for each answer. The benchmark prints the wall time and the ideal time, in which only the
//! answers take time (requests × 20 ms ÷ 32). It also prints the number of requests, and the minimum according to the
//! plans.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_keyring::{Monad, Provider, Spartera};
use api_keyring_emulator::{Emulator, Fault, FaultKind, SeededKey};
use api_keyring_rotation::{
    Fleet, FleetKey, FleetSummary, Journal, MemoryJournal, MemorySink, RotateKey, Rotator, SqliteJournal, Timing,
};
use futures_util::stream;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const CONCURRENCY: usize = 32;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    // Without `--bench`, `cargo test --all-targets` runs this. Then a few keys show that it works.
    let measures = env::args().any(|argument| argument == "--bench");
    let (keys, latency) = if measures { (1000, 20) } else { (8, 1) };
    let folder = tempfile::tempdir()?;
    let journal = SqliteJournal::open(folder.path().join("journal.sqlite"))?;
    measure("journal in memory", Arc::new(MemoryJournal::new()), keys, latency).await?;
    measure("journal in a file", Arc::new(journal), keys, latency).await
}

async fn measure(name: &str, journal: Arc<dyn Journal>, keys: usize, latency: u64) -> Result {
    let latency = Duration::from_millis(latency);
    let emulator = Emulator::builder().record_limit(1_000_000).start().await?;
    let (spartera, monad) = (emulator.spartera(), emulator.monad());
    let seeded = [spartera.add_keys(keys / 2), monad.add_keys(keys / 2)];
    let providers: [Arc<dyn Provider>; 2] = [
        Arc::new(
            Spartera::builder()
                .company_id(spartera.company_id())
                .api_key(spartera.admin_key())
                .base_url(spartera.base_url())
                .build()?,
        ),
        Arc::new(
            Monad::builder()
                .organization_id(monad.organization_id())
                .api_key(monad.admin_key())
                .base_url(monad.base_url())
                .build()?,
        ),
    ];
    let mut least = 0;
    for (provider, seeded) in providers.iter().zip(&seeded) {
        let rotator =
            Rotator::new(Arc::clone(provider), MemorySink::holding(seeded[0].secret.clone()), MemoryJournal::new());
        emulator.clear_requests();
        let plan = rotator.plan(&rotate(&seeded[0])?).await?;
        // Making the plan takes requests that are not among its steps.
        let planning = emulator.requests().len();
        let each: usize = planning + plan.steps().iter().map(|step| step.requests.len()).sum::<usize>();
        least += each * seeded.len();
    }
    emulator.clear_requests();
    emulator.inject(Fault::new(FaultKind::Delay(latency)));
    let started = Instant::now();
    let [at_spartera, at_monad] = seeded;
    let [spartera, monad] = providers;
    let (first, second) =
        tokio::join!(fleet(spartera, Arc::clone(&journal), at_spartera), fleet(monad, journal, at_monad));
    let elapsed = started.elapsed();
    let requests = emulator.requests().len();
    for summary in [first?, second?] {
        if summary.done != keys / 2 {
            return Err(format!("not all keys were rotated: {summary:?}").into());
        }
    }
    let ideal = latency * u32::try_from(requests)? / u32::try_from(CONCURRENCY)?;
    println!("{name}: {keys} keys in {elapsed:.1?}, ideal {ideal:.1?}; {requests} requests, at least {least}");
    emulator.shutdown().await;
    Ok(())
}

fn rotate(key: &SeededKey) -> Result<RotateKey> {
    let mut timing = Timing::default();
    timing.poll_millis = 1;
    Ok(RotateKey::new(key.id.parse()?).timing(timing).grace(Duration::ZERO))
}

async fn fleet(provider: Arc<dyn Provider>, journal: Arc<dyn Journal>, keys: Vec<SeededKey>) -> Result<FleetSummary> {
    let fleet = Fleet::new(provider, journal).concurrency(CONCURRENCY / 2).waves([]);
    let mut fleet_keys = Vec::new();
    for key in &keys {
        let sink = Arc::new(MemorySink::holding(key.secret.clone()));
        fleet_keys.push(FleetKey { rotate: rotate(key)?, sink });
    }
    Ok(fleet.rotate(stream::iter(fleet_keys), |_, _| {}).await)
}
