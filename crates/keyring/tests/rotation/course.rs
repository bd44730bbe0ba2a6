//! What a rotation does when nothing is cut off: plans, waits, stops for a person, and is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api_keyring::rotation::{
    Confirmation, Journal, JournalError, MemoryJournal, MemorySink, Place, PlannedExpiry, Record, RotateError,
    RotateKey, Rotator, Several, Sink, SinkError, State, Store,
};
use api_keyring::{
    Clock, Expiry, IssuedKey, KeyUpdate, ManualClock, Memory, Monad, NewKey, Provider, ProviderExt, Secret,
};
use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta, Utc};

/// A sink that can be broken.
#[derive(Clone, Debug)]
struct Brittle {
    sink: MemorySink,
    broken: Arc<AtomicBool>,
}

#[async_trait]
impl Store for Brittle {
    fn address(&self) -> String {
        "brittle".to_owned()
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read(&self, place: &Place) -> Result<Option<Secret>, SinkError> {
        self.sink.read(place).await
    }

    async fn write(&self, place: &Place, secret: &Secret) -> Result<(), SinkError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(SinkError::new("it is broken"));
        }
        self.sink.write(place, secret).await
    }

    async fn remove(&self, place: &Place) -> Result<(), SinkError> {
        self.sink.remove(place).await
    }
}

/// A key in memory, and all that it takes to rotate it.
struct Bench {
    provider: Memory,
    sink: MemorySink,
    journal: MemoryJournal,
    clock: ManualClock,
    old: IssuedKey,
    rotator: Rotator,
}

async fn bench() -> Bench {
    let clock = ManualClock::new(Utc::now().trunc_subsecs(0));
    let provider = Memory::new().clock(clock.clone());
    let new = NewKey::new("ci").role("reader").description("builds").owner("user-7").expires_in(TimeDelta::days(90));
    let old = provider.create(&new).await.unwrap();
    let sink = MemorySink::holding(old.secret().clone());
    let journal = MemoryJournal::new().clock(clock.clone());
    let rotator = Rotator::new(provider.clone(), sink.clone(), journal.clone()).clock(clock.clone());
    Bench { provider, sink, journal, clock, old, rotator }
}

impl Bench {
    fn rotate(&self) -> RotateKey {
        RotateKey::new(self.old.id().clone())
    }

    /// A rotation that waits for the end of an hour of grace.
    async fn promoted(&self) -> Record {
        let record = self.rotator.rotate(&self.rotate()).await.unwrap();
        assert_eq!(record.state.name(), "promoted");
        record
    }

    async fn works(&self, secret: &Secret) -> bool {
        self.provider.accepts(secret).await.unwrap()
    }

    async fn current(&self) -> Secret {
        self.sink.current().await.unwrap().unwrap()
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, RotateError>) -> String {
    match result.unwrap_err() {
        RotateError::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_can_be_carried_over_is() {
    let bench = bench().await;
    let plan = bench.rotator.plan(&bench.rotate()).await.unwrap();
    assert_eq!(plan.expiry, PlannedExpiry::AfterSeconds(90 * 24 * 3600));
    assert_eq!(plan.not_carried_over, [""; 0]);
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    let key = bench.provider.get(&new.key).await.unwrap();
    assert_eq!(key.name(), Some(&*format!("ci ~{}", new.mark)));
    assert_eq!((key.role(), key.description(), key.owner()), (Some("reader"), Some("builds"), Some("user-7")));
    // The next rotation's name has one mark, too.
    bench.clock.advance(Duration::from_secs(3600));
    bench.rotator.resume(&record.id).await.unwrap();
    assert_eq!(bench.rotator.plan(&RotateKey::new(new.key.clone())).await.unwrap().name, "ci");
}

#[tokio::test]
async fn a_plan_is_refused_when_its_key_has_changed() {
    let bench = bench().await;
    let plan = bench.rotator.plan(&bench.rotate()).await.unwrap();
    let stored: api_keyring::rotation::Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(stored, plan);
    bench.provider.update(bench.old.id(), &KeyUpdate::new().role("writer")).await.unwrap();
    assert!(refusal(bench.rotator.start(stored).await).contains("has changed since the plan"));
    assert!(bench.journal.unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_rotated_is_refused() {
    let bench = bench().await;
    bench.provider.revoke(bench.old.id(), &api_keyring::Revocation::new()).await.unwrap();
    assert!(refusal(bench.rotator.plan(&bench.rotate()).await).contains("it is revoked"));
    let monad = Memory::like_monad();
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(1));
    let old = monad.create(&new).await.unwrap();
    let rotator = Rotator::new(monad, MemorySink::new(), MemoryJournal::new());
    let forever = RotateKey::new(old.id().clone()).expiry(Expiry::Never);
    assert!(refusal(rotator.plan(&forever).await).contains("no keys that never expire"));
}

#[tokio::test]
async fn a_grace_beyond_patience_is_left_to_whoever_comes_later() {
    let bench = bench().await;
    let record = bench.promoted().await;
    assert_eq!(record.waits_until(), Some(bench.clock.now() + TimeDelta::hours(1)));
    assert!(bench.works(bench.old.secret()).await && bench.works(&bench.current().await).await);
    assert_ne!(&bench.current().await, bench.old.secret());
    // Too early.
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap(), record);
    let again = bench.rotator.rotate(&bench.rotate()).await.unwrap_err();
    assert!(matches!(again, RotateError::Journal(JournalError::UnderWay(id)) if id == record.id));

    bench.clock.advance(Duration::from_secs(3600));
    let record = bench.rotator.resume(&record.id).await.unwrap();
    assert!(matches!(record.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{record:?}");
    assert!(!bench.works(bench.old.secret()).await && bench.works(&bench.current().await).await);
    let again = bench.rotator.resume(&record.id).await.unwrap();
    assert_eq!(again, record, "there is nothing left to do");
    assert!(refusal(bench.rotator.abort(&record.id, "too late").await).contains("is done"));
    let names: Vec<_> = bench.journal.history(&record.id).await.unwrap().iter().map(|r| r.state.name()).collect();
    let expected =
        ["planned", "issuing", "issued", "delivered", "verified", "promoted", "retiring", "retired", "retired", "done"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_leaked_key_has_no_grace() {
    let bench = bench().await;
    let record = bench.rotator.rotate(&bench.rotate().leaked()).await.unwrap();
    assert_eq!(record.state.name(), "done");
    assert!(!bench.works(bench.old.secret()).await);
}

#[tokio::test]
async fn a_sink_that_somebody_else_has_changed_keeps_the_old_key_alive() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    // Somebody puts a secret of their own there.
    let other = bench.provider.create(&NewKey::new("other").role("reader")).await.unwrap();
    let mark = api_keyring::Mark::random();
    bench.sink.put(&mark, other.secret()).await.unwrap();
    bench.sink.promote(&mark).await.unwrap();
    bench.clock.advance(Duration::from_secs(3600));
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::Stuck { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("holds another secret"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
    // To go back would lose it as well.
    let stuck = bench.rotator.abort(&record.id, "changed my mind").await.unwrap();
    let State::Stuck { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("would be lost"), "{why}");
    assert_eq!(&bench.current().await, other.secret());
    // Once that is put right, it goes on: back, as was decided last.
    bench.sink.withdraw(&mark).await.unwrap();
    let aborted = bench.rotator.resume(&record.id).await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(&bench.current().await, bench.old.secret());
    assert!(bench.works(bench.old.secret()).await && !bench.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_sink_that_was_changed_and_put_right_is_gone_on_with() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    let mark = api_keyring::Mark::random();
    bench.sink.put(&mark, &"somebody else's".into()).await.unwrap();
    bench.sink.promote(&mark).await.unwrap();
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "stuck");
    bench.sink.withdraw(&mark).await.unwrap();
    let done = bench.rotator.resume(&record.id).await.unwrap();
    assert!(matches!(&done.state, State::Done { key, .. } if *key == new.key), "{done:?}");
}

#[tokio::test]
async fn a_new_key_that_stops_working_keeps_the_old_one_alive_and_can_be_undone() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    bench.provider.revoke(&new.key, &api_keyring::Revocation::new()).await.unwrap();
    bench.clock.advance(Duration::from_secs(3600));
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    assert_eq!(stuck.state.name(), "stuck");
    assert!(bench.works(bench.old.secret()).await);
    let aborted = bench.rotator.abort(&record.id, "the new key is dead").await.unwrap();
    assert_eq!(aborted.state, State::Aborted { why: "the new key is dead".to_owned() });
    assert_eq!(&bench.current().await, bench.old.secret());
    assert!(!bench.provider.exists(&new.key).await.unwrap());
    // The key can be rotated another time.
    let record = bench.rotator.rotate(&bench.rotate().leaked()).await.unwrap();
    assert_eq!(record.state.name(), "done");
}

#[tokio::test]
async fn an_abort_is_refused_where_the_old_key_is_gone() {
    let bench = bench().await;
    let record = bench.promoted().await;
    bench.provider.delete(bench.old.id()).await.unwrap();
    assert!(refusal(bench.rotator.abort(&record.id, "changed my mind").await).contains("there is no way back"));
    assert!(bench.works(&bench.current().await).await);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn a_rotation_is_of_the_provider_that_it_was_planned_for() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let monad = Monad::builder().organization_id("acme").api_key("e30.e30.c2lnbmF0dXJl").build().unwrap();
    let other = Rotator::new(monad, bench.sink.clone(), bench.journal.clone());
    assert!(refusal(other.resume(&record.id).await).contains("this provider is"));
    // The lease is given back.
    bench.rotator.resume(&record.id).await.unwrap();
}

#[tokio::test]
async fn a_rotation_is_for_the_sink_that_it_was_planned_for() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let brittle = Brittle { sink: bench.sink.clone(), broken: Arc::default() };
    let other = Rotator::new(bench.provider.clone(), brittle, bench.journal.clone());
    let why = refusal(other.abort(&record.id, "changed my mind").await);
    assert!(why.contains("for the sink memory, and this one is brittle"), "{why}");
}

#[tokio::test]
async fn a_secret_that_some_sinks_have_not_got_is_taken_there_later() {
    let bench = bench().await;
    let broken = Arc::new(AtomicBool::new(true));
    let brittle = Brittle { sink: MemorySink::holding(bench.old.secret().clone()), broken: Arc::clone(&broken) };
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(bench.sink.clone()), Arc::new(brittle.clone())];
    let rotator = Rotator::new(bench.provider.clone(), Several::new(sinks), bench.journal.clone());
    let rotator = rotator.clock(bench.clock.clone());

    let failed = rotator.rotate(&bench.rotate()).await.unwrap_err();
    assert_eq!(failed.to_string(), "the sink memory and brittle: brittle: it is broken");
    let under_way = bench.journal.unfinished().await.unwrap().pop().unwrap();
    assert_eq!((under_way.plan.sinks.len(), under_way.state.name()), (2, "issued"));
    rotator.resume(&under_way.id).await.unwrap_err();

    broken.store(false, Ordering::Relaxed);
    let promoted = rotator.resume(&under_way.id).await.unwrap();
    let State::Promoted { new, .. } = &promoted.state else { panic!("{promoted:?}") };
    assert_eq!(promoted.marks.len(), 1, "no other key was issued");
    assert_eq!(brittle.current().await.unwrap().as_ref(), Some(&bench.current().await));
    // Undone in one of them, and then in both.
    broken.store(true, Ordering::Relaxed);
    rotator.abort(&promoted.id, "changed my mind").await.unwrap_err();
    assert!(bench.provider.exists(&new.key).await.unwrap(), "the secret is still in a sink");
    broken.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&promoted.id).await.unwrap().state.name(), "aborted");
    for sink in [&bench.sink as &dyn Sink, &brittle] {
        assert_eq!(sink.current().await.unwrap().as_ref(), Some(bench.old.secret()));
    }
}

#[tokio::test]
async fn the_old_key_expires_with_the_grace_unless_the_rotation_is_undone() {
    let bench = bench().await;
    let expiry = async || bench.provider.get(bench.old.id()).await.unwrap().expires_at().and_then(|time| time.utc());
    let before = expiry().await;
    for undo in [true, false] {
        let rotate = bench.rotate().expire_old();
        let plan = bench.rotator.plan(&rotate).await.unwrap();
        let updates = plan.steps().iter().filter(|step| step.requests == [api_keyring::Operation::Update]).count();
        assert_eq!(updates, 1);
        let record = bench.rotator.rotate(&rotate).await.unwrap();
        let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
        assert_eq!(expiry().await.map(|time| time.trunc_subsecs(0)), Some(until.trunc_subsecs(0)));
        if undo {
            bench.rotator.abort(&record.id, "not today").await.unwrap();
            assert_eq!(expiry().await, before);
        }
    }
    // Nobody comes back.
    bench.clock.advance(Duration::from_secs(3601));
    assert!(!bench.works(bench.old.secret()).await);
    assert!(bench.works(&bench.current().await).await);
    // Where the vendor does not offer it, it is refused.
    let monad = Memory::like_monad();
    let key = monad.create(&NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90))).await.unwrap();
    let rotator = Rotator::new(monad, MemorySink::new(), MemoryJournal::new());
    let refused = refusal(rotator.plan(&RotateKey::new(key.id().clone()).expire_old()).await);
    assert!(refused.contains("does not change when a key expires"), "{refused}");
}
