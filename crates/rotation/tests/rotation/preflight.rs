//! Preflight checks: what a plan refuses before anything changes.

use std::sync::Arc;

use api_keyring::{ManualClock, Memory, NewKey, Provider, ProviderExt as _, Spartera};
use api_keyring_emulator::{Emulator, Fault};
use api_keyring_rotation::{
    Confirmation, JournalError, MemoryJournal, MemorySink, RotateError, RotateKey, Rotator, Sink, SinkContent, SinkSet,
    State, Timing,
};
use chrono::{TimeDelta, Utc};

use crate::fixture::{monad, refusal};

#[tokio::test]
async fn a_wrong_clock_is_refused() {
    let emulator = Emulator::builder().start().await.unwrap();
    let spartera = emulator.spartera();
    let (key_of_spartera, key_of_monad) = (spartera.add_keys(1).remove(0), emulator.monad().add_keys(1).remove(0));
    let builder = Spartera::builder().company_id(spartera.company_id()).api_key(spartera.admin_key());
    let spartera: Arc<dyn Provider> = Arc::new(builder.base_url(spartera.base_url()).build().unwrap());
    let monad: Arc<dyn Provider> = Arc::new(monad(&emulator));
    emulator.clear_changes();
    for (provider, key) in [(spartera, key_of_spartera), (monad, key_of_monad)] {
        let rotator = Rotator::new(provider, MemorySink::holding(key.secret), MemoryJournal::new());
        let rotate = RotateKey::new(key.id.parse().unwrap()).role("3");
        let fault = |fault: &str| emulator.inject(fault.parse::<Fault>().unwrap());
        fault("get:clock-ahead=6m");
        let why = refusal(rotator.plan(&rotate).await);
        assert!(why.contains(" s behind the vendor's") && why.contains(&key.id), "{why}");
        // A wider tolerance accepts the same clock.
        let mut timing = Timing::default();
        timing.clock_seconds = 400;
        rotator.plan(&rotate.clone().timing(timing)).await.unwrap();
        emulator.clear_faults();
        let plan = rotator.plan(&rotate).await.unwrap();
        // The clock is checked again when the plan starts.
        fault("get:clock-behind=1h");
        let why = refusal(rotator.start(plan.clone()).await);
        assert!(why.contains(" s ahead of the vendor's"), "{why}");
        emulator.clear_faults();
        rotator.start(plan).await.unwrap();
    }
    assert!(emulator.changes().is_empty());
}

#[tokio::test]
async fn a_sink_that_does_not_hold_the_keys_secret_is_refused() {
    let provider = Memory::new();
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    let [old, other] = [provider.create(&new).await.unwrap(), provider.create(&new).await.unwrap()];
    let rotator = Rotator::new(provider.clone(), MemorySink::new(), MemoryJournal::new());
    let rotator = rotator.clock(ManualClock::new(Utc::now()));
    let rotate = RotateKey::new(old.id().clone()).leaked();
    let sink = |secret: &str| Arc::new(MemorySink::holding(secret)) as Arc<dyn Sink>;
    let (right, wrong) = (sink(old.secret().expose()), sink(other.secret().expose()));
    for (wrong, problem) in
        [(Arc::new(MemorySink::new()) as Arc<dyn Sink>, "is empty"), (Arc::clone(&wrong), "does not hold its secret")]
    {
        let why = refusal(rotator.with_sink(wrong).plan(&rotate).await);
        assert!(why.contains(problem), "{why}");
    }
    let both = rotator.with_sink(SinkSet::new([Arc::clone(&right), Arc::clone(&wrong)]));
    let why = both.plan(&rotate).await.unwrap_err().to_string();
    assert!(why.contains("do not hold the same"), "{why}");
    // `adopt_sink` overrides the refusal.
    rotator.with_sink(wrong).plan(&rotate.clone().adopt_sink()).await.unwrap();
    rotator.with_sink(MemorySink::new()).rotate(&rotate.clone().adopt_sink()).await.unwrap();

    // If a rotation of the key is under way, the error names that instead.
    let (other, right) = (RotateKey::new(other.id().clone()), MemorySink::holding(other.secret().clone()));
    let rotator = rotator.with_sink(right);
    let under_way = rotator.rotate(&other).await.unwrap();
    match rotator.plan(&other).await.unwrap_err() {
        RotateError::Journal(JournalError::UnderWay(id)) => assert_eq!(id, under_way.id),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_secret_that_the_vendor_rejects_is_not_the_keys_secret() {
    let emulator = Emulator::builder().start().await.unwrap();
    // The vendor shows no masked secret, so the preflight tries the sink's secret.
    let key = emulator.monad().add_keys(1).remove(0);
    let provider = monad(&emulator);
    let mut timing = Timing::default();
    timing.poll_millis = 1;
    let rotate = RotateKey::new(key.id.parse().unwrap()).timing(timing);
    let rotator = |held: &str| Rotator::new(provider.clone(), MemorySink::holding(held), MemoryJournal::new());
    assert_eq!(rotator(&key.secret).plan(&rotate).await.unwrap().in_sink, SinkContent::OldSecret);
    for held in ["key=abc", "e30.e30.c2lnbmF0dXJl", "none"] {
        let why = refusal(rotator(held).plan(&rotate).await);
        assert!(why.contains("does not hold its secret"), "{why}");
        // An adopted sink is not treated as if it held the old secret.
        let plan = rotator(held).plan(&rotate.clone().adopt_sink()).await.unwrap();
        assert_eq!(plan.in_sink, SinkContent::Other);
    }
    let done = rotator("key=abc").rotate(&rotate.clone().adopt_sink().leaked()).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::KeyGone, .. }), "{done:?}");
}

#[tokio::test]
async fn the_content_of_an_adopted_sink_is_never_treated_as_the_old_secret() {
    let provider = Memory::like_monad();
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    let [old, other] = [provider.create(&new).await.unwrap(), provider.create(&new).await.unwrap()];
    // The secret is another key's and works. Without a masked secret, it looks like the old key's secret.
    let sink = MemorySink::holding(other.secret().clone());
    let empty = MemorySink::new();
    let several = SinkSet::new([Arc::new(sink.clone()) as Arc<dyn Sink>, Arc::new(empty.clone())]);
    let rotator = Rotator::new(provider.clone(), several, MemoryJournal::new()).clock(ManualClock::new(Utc::now()));
    let done = rotator.rotate(&RotateKey::new(old.id().clone()).adopt_sink().leaked()).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::KeyGone, .. }), "{done:?}");
    assert!(provider.accepts(old.secret()).await.unwrap().is_refused());
    assert_eq!(sink.current().await.unwrap(), empty.current().await.unwrap());
}
