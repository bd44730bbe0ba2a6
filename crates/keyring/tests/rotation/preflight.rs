//! What is refused before anything is sent.

use std::sync::Arc;

use api_keyring::rotation::{MemoryJournal, MemorySink, RotateError, RotateKey, Rotator, Timing};
use api_keyring::{Monad, Provider, Spartera};
use api_keyring_emulator::{Emulator, Fault};

fn refusal<T: std::fmt::Debug>(result: Result<T, RotateError>) -> String {
    match result.unwrap_err() {
        RotateError::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_found_out() {
    let emulator = Emulator::builder().start().await.unwrap();
    let (spartera, monad) = (emulator.spartera(), emulator.monad());
    let (key_of_spartera, key_of_monad) = (spartera.add_keys(1).remove(0), monad.add_keys(1).remove(0));
    let builder = Spartera::builder().company_id(spartera.company_id()).api_key(spartera.admin_key());
    let spartera: Arc<dyn Provider> = Arc::new(builder.base_url(spartera.base_url()).build().unwrap());
    let builder = Monad::builder().organization_id(monad.organization_id()).api_key(monad.admin_key());
    let monad: Arc<dyn Provider> = Arc::new(builder.base_url(monad.base_url()).build().unwrap());
    emulator.clear_changes();
    for (provider, key) in [(spartera, key_of_spartera), (monad, key_of_monad)] {
        let rotator = Rotator::new(provider, MemorySink::holding(key.secret), MemoryJournal::new());
        let rotate = RotateKey::new(key.id.parse().unwrap()).role("3");
        let fault = |fault: &str| emulator.inject(fault.parse::<Fault>().unwrap());
        fault("get:clock-ahead=6m");
        let why = refusal(rotator.plan(&rotate).await);
        assert!(why.contains(" s behind the vendor's") && why.contains(&key.id), "{why}");
        // Whoever knows better says so.
        let mut timing = Timing::default();
        timing.clock_seconds = 400;
        rotator.plan(&rotate.clone().timing(timing)).await.unwrap();
        emulator.clear_faults();
        let plan = rotator.plan(&rotate).await.unwrap();
        // It is looked at again when the plan is begun.
        fault("get:clock-behind=1h");
        let why = refusal(rotator.start(plan.clone()).await);
        assert!(why.contains(" s ahead of the vendor's"), "{why}");
        emulator.clear_faults();
        rotator.start(plan).await.unwrap();
    }
    assert!(emulator.changes().is_empty());
}
