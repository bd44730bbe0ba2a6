//! The end of the old key, with obstacles.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{Error, ErrorKind, KeyId, ManualClock, Mark, Operation, Outcome, Provider as _, Revocation};
use api_keyring_emulator::{Emulator, Fault};
use api_keyring_rotation::{
    Confirmation, Journal as _, JournalError, MemoryJournal, MemorySink, Record, RotateError, RotateKey, Rotator,
    Sink as _, State,
};
use chrono::Utc;
use futures_util::FutureExt as _;

use crate::fixture::{FaultySink, Fixture, monad};

/// Starts a rotation that may not retire the old key for now. Returns its record and the new key.
async fn refused(fixture: &Fixture) -> (Record, KeyId) {
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "not with this role");
    drop(fixture.inject.clone().before(Operation::Revoke, refused));
    let record = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    let State::NeedsAttention { was, why } = &record.state else { panic!("{record:?}") };
    assert!(was.name() == "retiring" && why.contains("could not be retired"), "{why}");
    let new = record.state.new_key().unwrap().clone();
    (record, new)
}

#[tokio::test]
async fn an_old_key_that_users_returned_to_is_left_alone() {
    let fixture = Fixture::new().await;
    let (record, _) = refused(&fixture).await;
    let mark = Mark::random();
    fixture.sink.put(&mark, fixture.old.secret()).await.unwrap();
    fixture.sink.promote(&mark).await.unwrap();
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("the destination does not hold the new key's secret"), "{why}");
    assert!(fixture.works(fixture.old.secret()).await);
    fixture.sink.withdraw(&mark).await.unwrap();
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn an_old_key_is_left_alone_if_the_new_one_has_ended() {
    let fixture = Fixture::new().await;
    let (record, new) = refused(&fixture).await;
    fixture.provider.revoke(&new, &Revocation::new()).await.unwrap();
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("has stopped working"), "{why}");
    assert!(fixture.works(fixture.old.secret()).await);
    // Somebody else retires the old key. Users have no secret that works, so a person has to know.
    fixture.provider.revoke(fixture.old.id(), &Revocation::new()).await.unwrap();
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("The old key is gone as well") && why.contains("--waive-evidence"), "{why}");
    let done = fixture.rotator.waive_evidence(&record.id, "its users are gone").await.unwrap();
    assert_eq!(done.state.name(), "done");
}

#[tokio::test]
async fn an_unreadable_old_secret_does_not_count_as_ended() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&fixture.sink);
    let rotator = fixture.rotator.with_sink(faulty.clone());
    let record = rotator.rotate(&fixture.rotate().grace(Duration::from_secs(3600))).await.unwrap();
    faulty.hides_previous.store(true, Ordering::Relaxed);
    fixture.clock.advance(Duration::from_secs(3600));
    let failed = rotator.resume(&record.id).await.unwrap_err();
    assert!(matches!(failed, RotateError::Sink { .. }), "{failed:?}");
    faulty.hides_previous.store(false, Ordering::Relaxed);
    let done = rotator.resume(&record.id).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{done:?}");
}

#[tokio::test]
async fn an_end_that_cannot_be_seen_can_be_waived() {
    let emulator = Emulator::builder().start().await.unwrap();
    let key = emulator.monad().add_keys(1).remove(0);
    // The vendor no longer has the key, but its secret still works.
    emulator.inject("delete:linger=4000:1".parse::<Fault>().unwrap());
    let journal = MemoryJournal::new();
    let sink = MemorySink::holding(key.secret.clone());
    let rotator = Rotator::new(monad(&emulator), sink, journal.clone()).clock(ManualClock::new(Utc::now()));
    let attention = rotator.rotate(&RotateKey::new(key.id.parse().unwrap()).leaked()).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("another key's secret"), "{why}");
    let done = rotator.waive_evidence(&attention.id, "it is the other key's").await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::Acknowledged, .. }), "{done:?}");
    assert_eq!(done.waived.as_deref(), Some("it is the other key's"));
    // A finished rotation does not change.
    let refused = rotator.waive_evidence(&attention.id, "once more").await.unwrap_err();
    assert!(refused.to_string().contains("it is finished"), "{refused}");
    assert_eq!(journal.load(&attention.id).await.unwrap(), Some(done));
}

#[tokio::test]
async fn a_new_key_whose_secret_is_lost_is_given_up_only_by_a_person() {
    let fixture = Fixture::new().await;
    let (record, new) = refused(&fixture).await;
    let mark = Mark::random();
    fixture.sink.put(&mark, &"theirs".into()).await.unwrap();
    fixture.sink.promote(&mark).await.unwrap();
    fixture.provider.revoke(fixture.old.id(), &Revocation::new()).await.unwrap();
    // The secret may be on another host, so only a person can give the key up.
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("the old key is gone") && fixture.provider.get(&new).await.is_ok(), "{why}");
    let aborted = fixture.rotator.abort_leaving_sink(&record.id, "its secret is lost").await.unwrap();
    let State::Aborted { why } = &aborted.state else { panic!("{aborted:?}") };
    assert!(why.contains("its secret is lost; the old key"), "{why}");
    assert_eq!(fixture.current().await, "theirs".into());
    assert!(fixture.provider.get(&new).await.is_err());
}

#[tokio::test]
async fn an_old_key_that_only_seemed_gone_is_retired_again() {
    let fixture = Fixture::new().await;
    let missing = || Error::new(ErrorKind::NotFound, Outcome::Rejected, "there is no such key");
    drop(fixture.inject.clone().before(Operation::Revoke, missing));
    let attention = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert!(
        matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("the old key still works")),
        "{attention:?}"
    );
    assert!(fixture.works(fixture.old.secret()).await);
    let done = fixture.rotator.resume(&attention.id).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{done:?}");
    assert!(!fixture.works(fixture.old.secret()).await);
}

#[tokio::test]
async fn a_rotator_that_was_overtaken_does_not_retire_the_old_key() {
    let fixture = Fixture::new().await;
    let (clock, journal) = (fixture.clock.clone(), fixture.journal.clone());
    // The process pauses between the record of the retirement and its request. Another one takes the lease.
    let overtaken = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "retiring" {
            clock.advance(Duration::from_secs(301));
            journal.take(&record.id, "another process", Duration::from_secs(300)).now_or_never().unwrap().unwrap();
        }
    });
    let lost = overtaken.rotate(&fixture.rotate().leaked()).await.unwrap_err();
    assert!(matches!(lost, RotateError::Journal(JournalError::LeaseLost)), "{lost:?}");
    assert!(fixture.works(fixture.old.secret()).await, "the vendor was not asked to retire it");
}
