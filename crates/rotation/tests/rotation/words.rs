//! Whose word counts: answers that prove nothing, and keys of which nothing shows whether they are the right ones.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Expiry, KeyId, KeyUpdate, ManualClock, Mark, Memory, NewKey, Provider, ProviderExt as _, Spartera};
use api_keyring_emulator::{self as emulator, ChangeKind, Emulator, Fault, Operation};
use api_keyring_rotation::{
    Confirmation, Journal as _, MemoryJournal, MemorySink, PlannedExpiry, Record, RotateKey, Rotator, Sink as _, State,
    Timing,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::fixture::{Fixture, monad};

/// Makes the emulator read the rotator's clock.
#[derive(Debug)]
struct SameClock(ManualClock);

impl emulator::Clock for SameClock {
    fn now(&self) -> DateTime<Utc> {
        use api_keyring::Clock as _;
        self.0.now()
    }
}

/// A key at an emulated service, and a rotator.
struct Bench {
    emulator: Emulator,
    provider: Arc<dyn Provider>,
    rotator: Rotator,
    journal: MemoryJournal,
    old: KeyId,
}

impl Bench {
    async fn monad() -> Self {
        Self::new(false).await
    }

    async fn new(is_spartera: bool) -> Self {
        let clock = ManualClock::new(Utc::now());
        let emulator = Emulator::builder().clock(SameClock(clock.clone())).seed(3).start().await.unwrap();
        let old = if is_spartera { emulator.spartera().add_keys(1) } else { emulator.monad().add_keys(1) }.remove(0);
        let provider: Arc<dyn Provider> = if is_spartera {
            let service = emulator.spartera();
            let builder = Spartera::builder().company_id(service.company_id()).api_key(service.admin_key());
            Arc::new(builder.base_url(service.base_url()).build().unwrap())
        } else {
            Arc::new(monad(&emulator))
        };
        let sink = MemorySink::holding(old.secret.as_str());
        let journal = MemoryJournal::new().clock(clock.clone());
        let rotator = Rotator::new(Arc::clone(&provider), sink, journal.clone()).clock(clock);
        emulator.clear_requests();
        Self { emulator, provider, rotator, journal, old: old.id.parse().unwrap() }
    }

    fn inject(&self, faults: &[&str]) {
        faults.iter().for_each(|fault| self.emulator.inject(fault.parse::<Fault>().unwrap()));
    }

    fn rotate(&self) -> RotateKey {
        RotateKey::new(self.old.clone()).leaked()
    }

    /// Returns how often an operation arrived.
    fn count(&self, operation: Operation) -> usize {
        self.emulator.requests().iter().filter(|seen| seen.operation == Some(operation)).count()
    }

    /// Checks that the old key works.
    async fn old_works(&self) -> bool {
        self.emulator.keys().iter().any(|key| key.id == self.old.as_str() && key.live_secrets > 0)
    }
}

fn why(record: &Record) -> &str {
    match &record.state {
        State::NeedsAttention { why, .. } => why,
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn a_403_that_a_wrong_secret_gets_as_well_promotes_nothing() {
    for form in ["own", "json", "kong"] {
        let bench = Bench::monad().await;
        bench.inject(&[&format!("*:unknown-is-403={form}"), "create:late=1000:1"]);
        // A gateway's form is an answer that is not the vendor's own, so it counts as a failure that passes.
        let stopped = bench.rotator.rotate(&bench.rotate()).await;
        if form == "own" {
            let record = stopped.unwrap();
            assert!(why(&record).contains("nothing shows whether the new key works"), "{record:?}");
            assert_eq!(bench.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
        } else {
            assert!(stopped.unwrap_err().to_string().contains("403"), "{form}");
        }
        assert!(bench.old_works().await, "{form}");
        let ended = bench.emulator.changes().into_iter().filter(|change| change.key_id == bench.old.as_str());
        assert!(ended.into_iter().all(|change| change.kind == ChangeKind::Seeded), "{form}");
    }
}

#[tokio::test]
async fn a_gateways_403_is_no_success() {
    for form in ["html", "json", "azure"] {
        let bench = Bench::monad().await;
        // The new secret never works. Of its trials, a gateway answers the first, the third and the fourth. A control
        // after the first one would reach the vendor.
        bench.inject(&["create:late=1000:1"]);
        let faults = [format!("list:gateway-403={form}:1"), format!("list:gateway-403={form}:2@3")];
        let promoted = Arc::new(std::sync::Mutex::new(false));
        let seen = Arc::clone(&promoted);
        let bench = Arc::new(bench);
        let lying = Arc::clone(&bench);
        let rotator = bench.rotator.clone().observe(move |record| match record.state.name() {
            "delivered" => faults.iter().for_each(|fault| lying.inject(&[fault])),
            "verified" | "promoted" => *seen.lock().unwrap() = true,
            _ => {}
        });
        let record = rotator.rotate(&bench.rotate()).await.unwrap();
        assert_eq!(record.state.name(), "aborted", "{form}: {record:?}");
        assert!(!*promoted.lock().unwrap() && bench.old_works().await, "{form}");
    }
}

#[tokio::test]
async fn a_vendor_that_answers_every_unknown_secret_with_403_can_be_rotated() {
    for is_spartera in [true, false] {
        let bench = Bench::new(is_spartera).await;
        bench.inject(&["*:unknown-is-403=own", "create:late=5:1"]);
        let rotate = if is_spartera { bench.rotate().role("3") } else { bench.rotate() };
        let record = bench.rotator.rotate(&rotate).await.unwrap();
        // The old secret's 403 proves nothing. What the vendor shows of the key does.
        assert!(matches!(record.state, State::Done { confirmed: Confirmation::KeyGone, .. }), "{record:?}");
        assert!(!bench.old_works().await);
    }
    // In place, the new secret's success shows what the old one's 403 means.
    let bench = Bench::monad().await;
    bench.inject(&["*:unknown-is-403=own"]);
    let record = bench.rotator.rotate(&bench.rotate().in_place()).await.unwrap();
    assert!(matches!(record.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{record:?}");
}

#[tokio::test]
async fn a_gateways_404_never_counts_as_gone() {
    let bench = Bench::monad().await;
    let promoted = bench.rotator.rotate(&RotateKey::new(bench.old.clone())).await.unwrap();
    // For as long as the gateway lies, the rotator neither goes forward nor back.
    bench.inject(&["get:gateway-404", "list:gateway-404"]);
    let error = bench.rotator.abort(&promoted.id, "not today").await.unwrap_err();
    assert!(!error.to_string().contains("is gone"), "{error}");
    assert!(bench.old_works().await);
    bench.emulator.clear_faults();
    let aborted = bench.rotator.abort(&promoted.id, "not today").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    // Beside it, the two services' administrators have keys.
    assert!(bench.old_works().await && bench.emulator.keys().len() == 3, "{:?}", bench.emulator.keys());
}

#[tokio::test]
async fn a_request_that_ends_a_key_is_not_repeated_without_a_look() {
    // The vendor acts, and its answer is lost.
    for (is_spartera, operation, fault) in [
        (true, Operation::Revoke, "spartera.revoke:reset-after:1"),
        (true, Operation::Revoke, "spartera.revoke:gateway-502-after:1"),
        (false, Operation::Delete, "delete:reset-after:1"),
        (false, Operation::Delete, "delete:gateway-404-after:1"),
    ] {
        let bench = Bench::new(is_spartera).await;
        bench.inject(&[fault]);
        let rotate = if is_spartera { bench.rotate().role("3") } else { bench.rotate() };
        assert_eq!(bench.rotator.rotate(&rotate).await.unwrap().state.name(), "done", "{fault}");
        assert_eq!(bench.count(operation), 1, "{fault}");
    }
    // The vendor does not act, so the request is sent again.
    for fault in ["delete:reset-before:2", "delete:gateway-404:2", "delete:status=503:2"] {
        let bench = Bench::monad().await;
        bench.inject(&[fault]);
        assert_eq!(bench.rotator.rotate(&bench.rotate()).await.unwrap().state.name(), "done", "{fault}");
        assert_eq!(bench.count(Operation::Delete), 3, "{fault}");
    }
}

/// The journal says that the key is gone. The vendor's answers said so, and were wrong.
#[tokio::test]
async fn a_discarded_key_that_is_seen_alive_again_is_deleted_again() {
    for is_spartera in [true, false] {
        let bench = Bench::new(is_spartera).await;
        let mark = Mark::random();
        let role = if is_spartera { "3" } else { "role-reader" };
        let new = NewKey::new("ci").role(role).expires_in(TimeDelta::days(90)).marked(&mark);
        let discarded = bench.provider.create(&new).await.unwrap();
        let plan = bench.rotator.plan(&bench.rotate()).await.unwrap();
        let mut record = bench.rotator.start(plan).await.unwrap();
        record.version += 1;
        let discard = json!({"key": discarded.id(), "mark": mark, "confirmed": Confirmation::KeyGone});
        record.discards.push(serde_json::from_value(discard).unwrap());
        record.marks.push(mark);
        let lease = bench.journal.take(&record.id, "test", Duration::from_secs(60)).await.unwrap();
        bench.journal.save(&lease, &record).await.unwrap();
        bench.journal.release(&lease).await.unwrap();
        let record = bench.rotator.resume(&record.id).await.unwrap();
        assert_eq!(record.state.name(), "done");
        assert!(bench.emulator.keys().iter().all(|key| key.id != discarded.id().as_str()), "{record:?}");
    }
}

#[tokio::test]
async fn a_renamed_old_key_is_recognized_by_its_secret() {
    let bench = Bench::monad().await;
    let record = bench.rotator.rotate(&RotateKey::new(bench.old.clone())).await.unwrap();
    bench.provider.update(&bench.old, &KeyUpdate::new().name("renamed")).await.unwrap();
    let patient = bench.rotator.clone().patience(Duration::from_secs(7200));
    assert_eq!(patient.resume(&record.id).await.unwrap().state.name(), "done");
    assert!(!bench.old_works().await);
}

#[tokio::test]
async fn a_person_decides_about_a_key_that_may_be_another_one() {
    // The sink was adopted, so the rotation does not know the old key's secret.
    for is_old_key in [true, false] {
        let bench = Bench::monad().await;
        let patient = bench.rotator.with_sink(MemorySink::new()).patience(Duration::from_secs(7200));
        let renaming = {
            let (provider, old) = (Arc::clone(&bench.provider), bench.old.clone());
            let rotate = RotateKey::new(bench.old.clone()).adopt_sink();
            let record = patient.clone().patience(Duration::ZERO).rotate(&rotate).await.unwrap();
            provider.update(&old, &KeyUpdate::new().name("renamed")).await.unwrap();
            record
        };
        let attention = patient.resume(&renaming.id).await.unwrap();
        assert!(why(&attention).contains("may be another one") && why(&attention).contains("waive"), "{attention:?}");
        assert!(bench.old_works().await);
        // Resuming does not help by itself.
        assert!(why(&patient.resume(&attention.id).await.unwrap()).contains("may be another one"));
        let done = match is_old_key {
            true => {
                bench.provider.delete(&bench.old).await.unwrap();
                patient.resume(&attention.id).await.unwrap()
            }
            false => patient.waive_evidence(&attention.id, "it is another key").await.unwrap(),
        };
        assert_eq!(done.state.name(), "done", "{done:?}");
        assert_eq!(bench.old_works().await, !is_old_key);
    }
}

#[tokio::test]
async fn a_sink_with_another_keys_token_is_recognized_without_a_mask() {
    let bench = Bench::monad().await;
    let other = bench.emulator.monad().add_keys(1).remove(0);
    let rotator = bench.rotator.with_sink(MemorySink::holding(other.secret.as_str()));
    let refused = rotator.plan(&bench.rotate()).await.unwrap_err();
    assert!(refused.to_string().contains("does not hold its secret"), "{refused}");
}

#[tokio::test]
async fn a_sink_whose_secret_nobody_can_judge_is_refused() {
    // The old key may not list keys, and the vendor answers a wrong secret in the same way.
    let bench = Bench::monad().await;
    bench.inject(&["*:unknown-is-403=own"]);
    let rotator = bench.rotator.with_sink(MemorySink::holding("not.a.token"));
    let refused = rotator.plan(&bench.rotate()).await.unwrap_err();
    assert!(refused.to_string().contains("nothing shows whether"), "{refused}");
    assert!(rotator.plan(&bench.rotate().adopt_sink()).await.is_ok());
}

#[tokio::test]
async fn one_clock_decides_whether_a_key_has_expired() {
    // By the machine's clock, the keys have expired.
    let clock = ManualClock::new(Utc::now() - TimeDelta::days(30));
    let provider = Memory::new().clock(clock.clone());
    let old = provider.create(&NewKey::new("ci").role("reader").expires_in(TimeDelta::days(1))).await.unwrap();
    let sink = MemorySink::holding(old.secret().clone());
    let rotator = Rotator::new(provider.clone(), sink.clone(), MemoryJournal::new().clock(clock.clone())).clock(clock);
    let record = rotator.rotate(&RotateKey::new(old.id().clone()).leaked()).await.unwrap();
    assert_eq!(record.state.name(), "done");
    assert!(provider.accepts(&sink.current().await.unwrap().unwrap()).await.unwrap().is_accepted());
    assert!(provider.accepts(old.secret()).await.unwrap().is_refused());
}

#[tokio::test]
async fn a_new_keys_lifetime_counts_from_the_providers_clock() {
    use api_keyring::Clock as _;
    for ahead in [TimeDelta::days(-400), TimeDelta::days(400)] {
        let clock = ManualClock::new(Utc::now() + ahead);
        let emulator = Emulator::builder().clock(SameClock(clock.clone())).start().await.unwrap();
        let service = emulator.spartera();
        let provider = Spartera::builder().company_id(service.company_id()).api_key(service.admin_key());
        let provider = provider.base_url(service.base_url()).clock(clock.clone()).build().unwrap();
        let old = provider.create(&NewKey::new("ci").role("3").expires_in(TimeDelta::days(7))).await.unwrap();
        let sink = MemorySink::holding(old.secret().clone());
        let journal = MemoryJournal::new().clock(clock.clone());
        let rotator = Rotator::new(provider.clone(), sink, journal).clock(clock.clone());
        let record = rotator.rotate(&RotateKey::new(old.id().clone()).leaked()).await.unwrap();
        let State::Done { key, .. } = record.state else { panic!("{record:?}") };
        let expires = provider.get(&key).await.unwrap().expires_at().unwrap().utc().unwrap();
        let off = expires - clock.now() - TimeDelta::days(7);
        assert!(off.abs() < TimeDelta::minutes(5), "{ahead}: {off}");
    }
}

#[tokio::test]
async fn a_lifetime_stays_the_same_from_rotation_to_rotation() {
    let emulator = Emulator::builder().start().await.unwrap();
    let provider = monad(&emulator);
    let new = NewKey::new("ci").role("role-reader").expiry(Expiry::In(TimeDelta::seconds(20)));
    let old = provider.create(&new).await.unwrap();
    let rotator = Rotator::new(provider, MemorySink::holding(old.secret().clone()), MemoryJournal::new());
    let mut timing = Timing::default();
    timing.poll_millis = 1;
    let mut key = old.id().clone();
    for number in 0..4 {
        let rotate = RotateKey::new(key).timing(timing).leaked();
        let plan = rotator.plan(&rotate).await.unwrap();
        assert_eq!(plan.expiry, PlannedExpiry::AfterSeconds(20), "rotation {number}");
        let started = rotator.start(plan).await.unwrap();
        let State::Done { key: new, .. } = rotator.resume(&started.id).await.unwrap().state else { panic!() };
        key = new;
    }
}

#[tokio::test]
async fn patience_bounds_the_wait_for_evidence_as_well() {
    use api_keyring::Clock as _;
    let fixture = Fixture::new().await;
    let begun = fixture.clock.elapsed();
    let rotator = fixture.rotator.clone().patience(Duration::ZERO);
    let record = rotator.rotate(&fixture.rotate().unused_for(Duration::from_secs(1800))).await.unwrap();
    assert_eq!((record.state.name(), &record.evidence), ("promoted", &None));
    // It waited for the checks of the new key only.
    assert!(fixture.clock.elapsed() - begun < Duration::from_secs(10), "{:?}", fixture.clock.elapsed() - begun);
    fixture.clock.advance(Duration::from_secs(60));
    assert!(rotator.resume(&record.id).await.unwrap().evidence.is_some());
}
