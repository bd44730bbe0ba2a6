//! The life of an undisturbed rotation: it plans, waits, needs attention, and is resumed or aborted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{Clock, Expiry, KeyUpdate, Memory, Monad, NewKey, Provider, ProviderExt};
use api_keyring_rotation::{
    Confirmation, Journal, JournalError, MemoryJournal, MemorySink, PlannedExpiry, RotateError, RotateKey, Rotator,
    Sink, SinkSet, Slot, State, Store as _,
};
use chrono::TimeDelta;

use crate::fixture::{FaultySink, Fixture, refusal};

#[tokio::test]
async fn role_description_and_owner_carry_over() {
    let fixture = Fixture::new().await;
    let plan = fixture.rotator.plan(&fixture.rotate()).await.unwrap();
    assert_eq!(plan.expiry, PlannedExpiry::AfterSeconds(90 * 24 * 3600));
    assert_eq!(plan.not_carried_over, [""; 0]);
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    let key = fixture.provider.get(&new.key).await.unwrap();
    assert_eq!(key.name(), Some(&*format!("ci ~{}", new.mark)));
    assert_eq!((key.role(), key.description(), key.owner()), (Some("reader"), Some("builds"), Some("user-7")));
    // The next rotation's key has one mark in its name, too.
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.rotator.resume(&record.id).await.unwrap();
    assert_eq!(fixture.rotator.plan(&RotateKey::new(new.key.clone())).await.unwrap().name, "ci");
}

#[tokio::test]
async fn a_plan_is_refused_when_its_key_has_changed() {
    let fixture = Fixture::new().await;
    let plan = fixture.rotator.plan(&fixture.rotate()).await.unwrap();
    let stored: api_keyring_rotation::Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(stored, plan);
    fixture.provider.update(fixture.old.id(), &KeyUpdate::new().role("writer")).await.unwrap();
    assert!(refusal(fixture.rotator.start(stored).await).contains("has changed since the plan"));
    assert!(fixture.journal.unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_is_refused_when_its_sink_has_changed() {
    let fixture = Fixture::new().await;
    let plan = fixture.rotator.plan(&fixture.rotate()).await.unwrap();
    fixture.sink.write(&Slot::Current, &"somebody-else's".into()).await.unwrap();
    assert!(refusal(fixture.rotator.start(plan).await).contains("has changed since the plan"));
}

#[tokio::test]
async fn a_key_that_cannot_be_rotated_is_refused() {
    let fixture = Fixture::new().await;
    fixture.provider.revoke(fixture.old.id(), &api_keyring::Revocation::new()).await.unwrap();
    assert!(refusal(fixture.rotator.plan(&fixture.rotate()).await).contains("it is revoked"));
    let monad = Memory::like_monad();
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(1));
    let old = monad.create(&new).await.unwrap();
    let rotator = Rotator::new(monad, MemorySink::new(), MemoryJournal::new());
    let forever = RotateKey::new(old.id().clone()).expiry(Expiry::Never);
    assert!(refusal(rotator.plan(&forever).await).contains("no keys that never expire"));
}

#[tokio::test]
async fn a_grace_beyond_patience_is_left_to_a_later_process() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    assert_eq!(record.waits_until(), Some(fixture.clock.now() + TimeDelta::hours(1)));
    assert!(fixture.works(fixture.old.secret()).await && fixture.works(&fixture.current().await).await);
    assert_ne!(&fixture.current().await, fixture.old.secret());
    // Resuming too early changes nothing.
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap(), record);
    let again = fixture.rotator.rotate(&fixture.rotate()).await.unwrap_err();
    assert!(matches!(again, RotateError::Journal(JournalError::UnderWay(id)) if id == record.id));

    fixture.clock.advance(Duration::from_secs(3600));
    let record = fixture.rotator.resume(&record.id).await.unwrap();
    assert!(matches!(record.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{record:?}");
    assert!(!fixture.works(fixture.old.secret()).await && fixture.works(&fixture.current().await).await);
    let again = fixture.rotator.resume(&record.id).await.unwrap();
    assert_eq!(again, record, "there is nothing left to do");
    assert!(refusal(fixture.rotator.abort(&record.id, "too late").await).contains("is done"));
    let names: Vec<_> = fixture.journal.history(&record.id).await.unwrap().iter().map(|r| r.state.name()).collect();
    let expected =
        ["planned", "issuing", "issued", "delivered", "verified", "promoted", "retiring", "retired", "retired", "done"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_leaked_key_has_no_grace() {
    let fixture = Fixture::new().await;
    let record = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert_eq!(record.state.name(), "done");
    assert!(!fixture.works(fixture.old.secret()).await);
}

#[tokio::test]
async fn a_rotation_resumes_after_its_sink_is_put_right() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    let mark = api_keyring::Mark::random();
    fixture.sink.put(&mark, &"somebody else's".into()).await.unwrap();
    fixture.sink.promote(&mark).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "stuck");
    fixture.sink.withdraw(&mark).await.unwrap();
    let done = fixture.rotator.resume(&record.id).await.unwrap();
    assert!(matches!(&done.state, State::Done { key, .. } if *key == new.key), "{done:?}");
}

#[tokio::test]
async fn a_rotation_is_resumed_only_with_its_own_provider() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let monad = Monad::builder().organization_id("acme").api_key("e30.e30.c2lnbmF0dXJl").build().unwrap();
    let other = Rotator::new(monad, fixture.sink.clone(), fixture.journal.clone());
    assert!(refusal(other.resume(&record.id).await).contains("this provider is"));
    // The refusal released the lease.
    fixture.rotator.resume(&record.id).await.unwrap();
}

#[tokio::test]
async fn a_rotation_is_resumed_only_with_its_own_sink() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let faulty = FaultySink::over(&fixture.sink);
    let other = Rotator::new(fixture.provider.clone(), faulty, fixture.journal.clone());
    let why = refusal(other.abort(&record.id, "changed my mind").await);
    assert!(why.contains(&format!("for the destination {}, but this one is faulty", fixture.sink.name())), "{why}");
}

#[tokio::test]
async fn a_sink_that_missed_the_secret_gets_it_on_resume() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&MemorySink::holding(fixture.old.secret().clone()));
    faulty.is_unwritable.store(true, Ordering::Relaxed);
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(fixture.sink.clone()), Arc::new(faulty.clone())];
    let rotator = Rotator::new(fixture.provider.clone(), SinkSet::new(sinks), fixture.journal.clone());
    let rotator = rotator.clock(fixture.clock.clone());

    let failed = rotator.rotate(&fixture.rotate()).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!("the destination {} and faulty: faulty: the sink cannot be written", fixture.sink.name())
    );
    let under_way = fixture.journal.unfinished().await.unwrap().pop().unwrap();
    assert_eq!((under_way.plan.sinks.len(), under_way.state.name()), (2, "issued"));
    rotator.resume(&under_way.id).await.unwrap_err();

    faulty.is_unwritable.store(false, Ordering::Relaxed);
    let promoted = rotator.resume(&under_way.id).await.unwrap();
    let State::Promoted { new, .. } = &promoted.state else { panic!("{promoted:?}") };
    assert_eq!(promoted.marks.len(), 1, "no other key was issued");
    assert_eq!(faulty.current().await.unwrap().as_ref(), Some(&fixture.current().await));
    // An abort withdraws the secret from one sink now, and from the other later.
    faulty.is_unwritable.store(true, Ordering::Relaxed);
    rotator.abort(&promoted.id, "changed my mind").await.unwrap_err();
    assert!(fixture.provider.exists(&new.key).await.unwrap(), "the secret is still in a sink");
    faulty.is_unwritable.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&promoted.id).await.unwrap().state.name(), "aborted");
    for sink in [&fixture.sink as &dyn Sink, &faulty] {
        assert_eq!(sink.current().await.unwrap().as_ref(), Some(fixture.old.secret()));
    }
}

/// The rotator's futures are `Send`.
#[tokio::test]
async fn a_rotation_can_be_spawned() {
    let fixture = Fixture::new().await;
    let (rotator, rotate) = (fixture.rotator.clone(), fixture.rotate());
    let id = tokio::spawn(async move { rotator.rotate(&rotate).await.map(|record| record.id) }).await.unwrap().unwrap();
    let rotator = fixture.rotator.clone();
    let aborted = tokio::spawn(async move { rotator.abort(&id, "not today").await }).await.unwrap().unwrap();
    assert_eq!(aborted.state.name(), "aborted");
}
