//! What is refused before anything is sent.

use std::sync::Arc;

use api_keyring::rotation::{
    JournalError, MemoryJournal, MemorySink, RotateError, RotateKey, Rotator, Several, Sink, Timing,
};
use api_keyring::{Memory, Monad, NewKey, Provider, Spartera};
use api_keyring_emulator::{Emulator, Fault};
use chrono::TimeDelta;

use crate::bench::refusal;

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

#[tokio::test]
async fn a_sink_that_does_not_hold_the_keys_secret_is_taken_for_a_mistake() {
    let provider = Memory::new();
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    let [old, other] = [provider.create(&new).await.unwrap(), provider.create(&new).await.unwrap()];
    let rotator = Rotator::new(provider.clone(), MemorySink::new(), MemoryJournal::new());
    let rotate = RotateKey::new(old.id().clone()).leaked();
    let sink = |secret: &str| Arc::new(MemorySink::holding(secret)) as Arc<dyn Sink>;
    let (right, wrong) = (sink(old.secret().expose()), sink(other.secret().expose()));
    for (wrong, problem) in
        [(Arc::new(MemorySink::new()) as Arc<dyn Sink>, "is empty"), (Arc::clone(&wrong), "holds another key's secret")]
    {
        let why = refusal(rotator.to(wrong).plan(&rotate).await);
        assert!(why.contains(problem), "{why}");
    }
    let both = rotator.to(Several::new([Arc::clone(&right), Arc::clone(&wrong)]));
    let why = both.plan(&rotate).await.unwrap_err().to_string();
    assert!(why.contains("do not hold the same"), "{why}");
    // Who means it says so.
    rotator.to(wrong).plan(&rotate.clone().adopt_sink()).await.unwrap();
    rotator.to(MemorySink::new()).rotate(&rotate.clone().adopt_sink()).await.unwrap();

    // A rotation that is under way is the better reason.
    let (other, right) = (RotateKey::new(other.id().clone()), MemorySink::holding(other.secret().clone()));
    let rotator = rotator.to(right);
    let under_way = rotator.rotate(&other).await.unwrap();
    match rotator.plan(&other).await.unwrap_err() {
        RotateError::Journal(JournalError::UnderWay(id)) => assert_eq!(id, under_way.id),
        error => panic!("{error:?}"),
    }
}
