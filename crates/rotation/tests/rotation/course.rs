//! What a rotation does when nothing is cut off: plans, waits, stops for a person, and is undone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{Clock, Expiry, KeyUpdate, Memory, Monad, NewKey, Provider, ProviderExt};
use api_keyring_rotation::{
    Confirmation, Journal, JournalError, MemoryJournal, MemorySink, PlannedExpiry, RotateError, RotateKey, Rotator,
    Sink, SinkSet, Slot, State, Store as _,
};
use chrono::TimeDelta;

use crate::bench::{Brittle, bench, refusal};

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
    let stored: api_keyring_rotation::Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(stored, plan);
    bench.provider.update(bench.old.id(), &KeyUpdate::new().role("writer")).await.unwrap();
    assert!(refusal(bench.rotator.start(stored).await).contains("has changed since the plan"));
    assert!(bench.journal.unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_is_refused_when_its_sink_has_changed() {
    let bench = bench().await;
    let plan = bench.rotator.plan(&bench.rotate()).await.unwrap();
    bench.sink.write(&Slot::Current, &"somebody else's".into()).await.unwrap();
    assert!(refusal(bench.rotator.start(plan).await).contains("has changed since the plan"));
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
    let brittle = Brittle::over(&bench.sink);
    let other = Rotator::new(bench.provider.clone(), brittle, bench.journal.clone());
    let why = refusal(other.abort(&record.id, "changed my mind").await);
    assert!(why.contains(&format!("for the sink {}, and this one is brittle", bench.sink.name())), "{why}");
}

#[tokio::test]
async fn a_secret_that_some_sinks_have_not_got_is_taken_there_later() {
    let bench = bench().await;
    let brittle = Brittle::over(&MemorySink::holding(bench.old.secret().clone()));
    brittle.broken.store(true, Ordering::Relaxed);
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(bench.sink.clone()), Arc::new(brittle.clone())];
    let rotator = Rotator::new(bench.provider.clone(), SinkSet::new(sinks), bench.journal.clone());
    let rotator = rotator.clock(bench.clock.clone());

    let failed = rotator.rotate(&bench.rotate()).await.unwrap_err();
    assert_eq!(failed.to_string(), format!("the sink {} and brittle: brittle: it is broken", bench.sink.name()));
    let under_way = bench.journal.unfinished().await.unwrap().pop().unwrap();
    assert_eq!((under_way.plan.sinks.len(), under_way.state.name()), (2, "issued"));
    rotator.resume(&under_way.id).await.unwrap_err();

    brittle.broken.store(false, Ordering::Relaxed);
    let promoted = rotator.resume(&under_way.id).await.unwrap();
    let State::Promoted { new, .. } = &promoted.state else { panic!("{promoted:?}") };
    assert_eq!(promoted.marks.len(), 1, "no other key was issued");
    assert_eq!(brittle.current().await.unwrap().as_ref(), Some(&bench.current().await));
    // Undone in one of them, and then in both.
    brittle.broken.store(true, Ordering::Relaxed);
    rotator.abort(&promoted.id, "changed my mind").await.unwrap_err();
    assert!(bench.provider.exists(&new.key).await.unwrap(), "the secret is still in a sink");
    brittle.broken.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&promoted.id).await.unwrap().state.name(), "aborted");
    for sink in [&bench.sink as &dyn Sink, &brittle] {
        assert_eq!(sink.current().await.unwrap().as_ref(), Some(bench.old.secret()));
    }
}

/// Whatever a rotator does may be done by a task of its own.
#[tokio::test]
async fn a_rotation_can_be_spawned() {
    let bench = bench().await;
    let (rotator, rotate) = (bench.rotator.clone(), bench.rotate());
    let id = tokio::spawn(async move { rotator.rotate(&rotate).await.map(|record| record.id) }).await.unwrap().unwrap();
    let rotator = bench.rotator.clone();
    let aborted = tokio::spawn(async move { rotator.abort(&id, "not today").await }).await.unwrap().unwrap();
    assert_eq!(aborted.state.name(), "aborted");
}
