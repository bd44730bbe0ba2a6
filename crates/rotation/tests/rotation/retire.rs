//! The end of the old key, when something stands in its way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{Error, ErrorKind, KeyId, ManualClock, Mark, Operation, Outcome, Provider as _, Revocation};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{
    Confirmation, Journal as _, MemoryJournal, MemorySink, Record, RotateError, RotateKey, Rotator, Sink as _, State,
};
use chrono::Utc;

use crate::bench::{Bench, Brittle, bench, monad};

/// A rotation whose old key may not be retired, for now, and the new key.
async fn refused(bench: &Bench) -> (Record, KeyId) {
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "not with this role");
    drop(bench.inject.clone().before(Operation::Revoke, refused));
    let record = bench.rotator.rotate(&bench.rotate().leaked()).await.unwrap();
    let State::NeedsAttention { was, why } = &record.state else { panic!("{record:?}") };
    assert!(was.name() == "retiring" && why.contains("could not be retired"), "{why}");
    let new = record.state.new_key().unwrap().clone();
    (record, new)
}

#[tokio::test]
async fn an_old_key_that_users_have_gone_back_to_is_left_alone() {
    let bench = bench().await;
    let (record, _) = refused(&bench).await;
    let mark = Mark::random();
    bench.sink.put(&mark, bench.old.secret()).await.unwrap();
    bench.sink.promote(&mark).await.unwrap();
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("the sink holds another secret"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
    bench.sink.withdraw(&mark).await.unwrap();
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn an_old_key_is_left_alone_where_the_new_one_has_ended_meanwhile() {
    let bench = bench().await;
    let (record, new) = refused(&bench).await;
    bench.provider.revoke(&new, &Revocation::new()).await.unwrap();
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("has stopped working"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
    // Somebody has retired it: what is left is to look.
    bench.provider.revoke(bench.old.id(), &Revocation::new()).await.unwrap();
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn an_old_secret_that_cannot_be_read_is_not_taken_to_have_ended() {
    let bench = bench().await;
    let brittle = Brittle::over(&bench.sink);
    let rotator = bench.rotator.with_sink(brittle.clone());
    let record = rotator.rotate(&bench.rotate().grace(Duration::from_secs(3600))).await.unwrap();
    brittle.forgetful.store(true, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(3600));
    let failed = rotator.resume(&record.id).await.unwrap_err();
    assert!(matches!(failed, RotateError::Sink { .. }), "{failed:?}");
    brittle.forgetful.store(false, Ordering::Relaxed);
    let done = rotator.resume(&record.id).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{done:?}");
}

#[tokio::test]
async fn an_end_that_is_not_seen_can_be_waived() {
    // The vendor shows no secret, so that another key's passes for the old one's.
    let emulator = Emulator::builder().start().await.unwrap();
    let keys = emulator.monad().add_keys(2);
    let journal = MemoryJournal::new();
    let rotator = Rotator::new(monad(&emulator), MemorySink::holding(keys[1].secret.clone()), journal.clone());
    let rotator = rotator.clock(ManualClock::new(Utc::now()));
    let stuck = rotator.rotate(&RotateKey::new(keys[0].id.parse().unwrap()).leaked()).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("another key's secret"), "{why}");
    let done = rotator.waive_evidence(&stuck.id, "it is the other key's").await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::Acknowledged, .. }), "{done:?}");
    assert_eq!(done.waived.as_deref(), Some("it is the other key's"));
    // What is finished is not written any more.
    let refused = rotator.waive_evidence(&stuck.id, "once more").await.unwrap_err();
    assert!(refused.to_string().contains("it is finished"), "{refused}");
    assert_eq!(journal.load(&stuck.id).await.unwrap(), Some(done));
}

#[tokio::test]
async fn a_new_key_whose_secret_nobody_has_is_not_left_behind_when_the_old_one_is_gone() {
    let bench = bench().await;
    let (record, new) = refused(&bench).await;
    let mark = Mark::random();
    bench.sink.put(&mark, &"theirs".into()).await.unwrap();
    bench.sink.promote(&mark).await.unwrap();
    bench.provider.revoke(bench.old.id(), &Revocation::new()).await.unwrap();
    let aborted = bench.rotator.resume(&record.id).await.unwrap();
    assert!(matches!(&aborted.state, State::Aborted { why } if why.contains("the old key is gone")), "{aborted:?}");
    assert_eq!(bench.current().await, "theirs".into());
    assert!(bench.provider.get(&new).await.is_err());
}

#[tokio::test]
async fn an_old_key_that_was_said_to_be_gone_and_is_not_is_retired_once_more() {
    let bench = bench().await;
    let missing = || Error::new(ErrorKind::NotFound, Outcome::Rejected, "there is no such key");
    drop(bench.inject.clone().before(Operation::Revoke, missing));
    let stuck = bench.rotator.rotate(&bench.rotate().leaked()).await.unwrap();
    assert!(matches!(&stuck.state, State::NeedsAttention { why, .. } if why.contains("shows it alive")), "{stuck:?}");
    assert!(bench.works(bench.old.secret()).await);
    let done = bench.rotator.resume(&stuck.id).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{done:?}");
    assert!(!bench.works(bench.old.secret()).await);
}
