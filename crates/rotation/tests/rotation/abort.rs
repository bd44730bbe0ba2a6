//! Aborting a rotation: whether there is a way back, and what it leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{
    Clock as _, Error, ErrorKind, Expiry, KeyUpdate, Mark, Memory, NewKey, Operation, Outcome, Provider as _,
    ProviderExt as _, Revocation, Secret,
};
use api_keyring_rotation::{
    Journal as _, MemoryJournal, MemorySink, Record, RotateError, RotateKey, Rotator, Sink, SinkSet, Slot, State,
    Store as _,
};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use crate::fixture::{FaultySink, Fixture, refusal};

#[tokio::test]
async fn a_foreign_secret_in_the_sink_keeps_the_old_key_alive() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    // Somebody else puts another secret there.
    let other = fixture.provider.create(&NewKey::new("other").role("reader")).await.unwrap();
    let mark = api_keyring::Mark::random();
    fixture.sink.put(&mark, other.secret()).await.unwrap();
    fixture.sink.promote(&mark).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("does not hold the new key's secret"), "{why}");
    assert!(fixture.works(fixture.old.secret()).await);
    // An abort would lose it as well.
    let attention = fixture.rotator.abort(&record.id, "changed my mind").await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("would destroy it"), "{why}");
    assert_eq!(&fixture.current().await, other.secret());
    // After the secret is put back, the rotation follows the last decision: the abort.
    fixture.sink.withdraw(&mark).await.unwrap();
    let aborted = fixture.rotator.resume(&record.id).await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(&fixture.current().await, fixture.old.secret());
    assert!(fixture.works(fixture.old.secret()).await && !fixture.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_new_key_that_stops_working_keeps_the_old_one_alive_until_the_abort() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    fixture.provider.revoke(&new.key, &api_keyring::Revocation::new()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    assert_eq!(attention.state.name(), "stuck");
    assert!(fixture.works(fixture.old.secret()).await);
    let aborted = fixture.rotator.abort(&record.id, "the new key is dead").await.unwrap();
    assert_eq!(aborted.state, State::Aborted { why: "the new key is dead".to_owned() });
    assert_eq!(&fixture.current().await, fixture.old.secret());
    assert!(!fixture.provider.exists(&new.key).await.unwrap());
    // The key can be rotated again.
    let record = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert_eq!(record.state.name(), "done");
}

#[tokio::test]
async fn an_abort_is_refused_if_the_old_key_is_gone() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    assert!(refusal(fixture.rotator.abort(&record.id, "changed my mind").await).contains("there is no way back"));
    assert!(fixture.works(&fixture.current().await).await);
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn the_old_key_expires_with_the_grace_unless_the_rotation_is_aborted() {
    let fixture = Fixture::new().await;
    let expiry =
        async || fixture.provider.get(fixture.old.id()).await.unwrap().expires_at().and_then(|time| time.utc());
    let before = expiry().await;
    for undo in [true, false] {
        let rotate = fixture.rotate().expire_old();
        let plan = fixture.rotator.plan(&rotate).await.unwrap();
        let updates = plan.steps().iter().filter(|step| step.requests == [api_keyring::Operation::Update]).count();
        assert_eq!(updates, 1);
        let record = fixture.rotator.rotate(&rotate).await.unwrap();
        let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
        assert_eq!(expiry().await.map(|time| time.trunc_subsecs(0)), Some(until.trunc_subsecs(0)));
        if undo {
            fixture.rotator.abort(&record.id, "not today").await.unwrap();
            assert_eq!(expiry().await, before);
        }
    }
    // No process resumes.
    fixture.clock.advance(Duration::from_secs(3601));
    assert!(!fixture.works(fixture.old.secret()).await);
    assert!(fixture.works(&fixture.current().await).await);
    // A vendor that cannot change an expiry is refused.
    let monad = Memory::like_monad();
    let key = monad.create(&NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90))).await.unwrap();
    let rotator = Rotator::new(monad, MemorySink::new(), MemoryJournal::new());
    let refused = refusal(rotator.plan(&RotateKey::new(key.id().clone()).expire_old()).await);
    assert!(refused.contains("no way to change a key's expiry"), "{refused}");
}

#[tokio::test]
async fn an_old_key_that_ends_during_an_abort_leaves_the_new_one_in_use() {
    let fixture = Fixture::new().await;
    let rotator = &fixture.rotator;
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    let interrupted = rotator.with_sink(fixture.sink.clone()).cancel_when(std::future::ready(()));
    assert!(matches!(interrupted.abort(&record.id, "not today").await, Err(RotateError::Cancelled)));
    assert_eq!(fixture.journal.load(&record.id).await.unwrap().unwrap().state.name(), "aborting");
    fixture.provider.revoke(fixture.old.id(), &Revocation::new()).await.unwrap();
    assert!(refusal(rotator.resume(&record.id).await).contains("there is no way back"));
    assert!(fixture.works(&fixture.current().await).await);
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "promoted");
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "done");
    assert!(fixture.works(&fixture.current().await).await);
}

#[tokio::test]
async fn a_sink_that_cannot_be_written_leaves_every_way_open() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&fixture.sink);
    let rotator = fixture.rotator.with_sink(faulty.clone());
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    faulty.is_unwritable.store(true, Ordering::Relaxed);
    let failed = rotator.abort(&record.id, "not today").await.unwrap_err().to_string();
    assert!(failed.contains("resume --adopt") && !failed.contains("--leave-destination"), "{failed}");
    assert!(fixture.works(&fixture.current().await).await && fixture.works(fixture.old.secret()).await);
    // A scheduled resume does not give the abort up.
    rotator.resume(&record.id).await.unwrap_err();
    assert_eq!(fixture.journal.load(&record.id).await.unwrap().unwrap().state.name(), "aborting");
    // Both ways that the message names.
    assert_eq!(rotator.adopt_sink(&record.id).await.unwrap().state.name(), "promoted");
    rotator.abort(&record.id, "not today").await.unwrap_err();
    faulty.is_unwritable.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
    assert_eq!(fixture.current().await, *fixture.old.secret());
}

/// A set of which one sink was empty, and is empty again.
#[tokio::test]
async fn an_abort_restores_a_set_with_an_empty_sink() {
    let fixture = Fixture::new().await;
    let empty = MemorySink::new();
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(fixture.sink.clone()), Arc::new(empty.clone())];
    let rotator = fixture.rotator.with_sink(SinkSet::new(sinks));
    let record = rotator.rotate(&fixture.rotate().adopt_sink()).await.unwrap();
    assert_eq!(record.state.name(), "promoted");
    let foreign = put_foreign_secret(&empty, &"theirs".into()).await;
    let attention = rotator.abort(&record.id, "not today").await.unwrap();
    assert_eq!(attention.state.name(), "stuck", "{attention:?}");
    assert_eq!(empty.current().await.unwrap(), Some("theirs".into()));
    empty.withdraw(&foreign).await.unwrap();
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
    assert_eq!((fixture.current().await, empty.current().await.unwrap()), (fixture.old.secret().clone(), None));
}

#[tokio::test]
async fn no_abort_ends_a_key_whose_secret_a_sink_still_holds() {
    for leaves in [false, true] {
        let (fixture, other, rotator, record) = promoted_in_one_of_two().await;
        let State::Promoted { new: api_keyring_rotation::Issued { mark: new, .. }, .. } = record.state.clone() else {
            panic!("{record:?}")
        };
        // Somebody copies the new secret, and nothing keeps what was there before.
        other.forget_previous(&new).await.unwrap();
        if leaves {
            fixture.sink.forget_previous(&new).await.unwrap();
        } else {
            put_foreign_secret(&other, &fixture.current().await).await;
        }
        let abort = async || match leaves {
            true => rotator.abort_leaving_sink(&record.id, "given up").await,
            false => rotator.abort(&record.id, "given up").await,
        };
        let why = match abort().await {
            Ok(Record { state: State::NeedsAttention { why, .. }, .. }) | Err(RotateError::Refused(why)) => why,
            other => panic!("{leaves}: {other:?}"),
        };
        assert!(why.contains("holds the new key's secret"), "{leaves}: {why}");
        // Nothing was withdrawn, so that the abort can be repeated.
        assert!(leaves || fixture.current().await == other.current().await.unwrap().unwrap(), "{why}");
        for sink in [&fixture.sink, &other] {
            let held = sink.current().await.unwrap().unwrap();
            assert!(held.expose() == "theirs" || fixture.works(&held).await, "{leaves}");
        }
    }
}

#[tokio::test]
async fn an_abort_can_leave_a_sink_that_cannot_be_read() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&fixture.sink);
    let rotator = fixture.rotator.with_sink(faulty.clone());
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    faulty.is_unreadable.store(true, Ordering::Relaxed);
    let failed = rotator.abort(&record.id, "given up").await.unwrap_err().to_string();
    assert!(failed.contains("--leave-destination"), "{failed}");
    let aborted = rotator.abort_leaving_sink(&record.id, "given up").await.unwrap();
    let State::Aborted { why } = &aborted.state else { panic!("{aborted:?}") };
    assert!(why.contains("cannot be read"), "{why}");
    assert!(fixture.works(fixture.old.secret()).await);
}

#[tokio::test]
async fn an_interrupted_abort_ends_even_if_no_secret_works() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&fixture.sink);
    let rotator = fixture.rotator.with_sink(faulty.clone());
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    // The old secret is current again, but nothing else was restored.
    faulty.keeps_everything.store(true, Ordering::Relaxed);
    rotator.abort(&record.id, "not today").await.unwrap_err();
    assert_eq!(&fixture.current().await, fixture.old.secret());
    fixture.provider.revoke(fixture.old.id(), &Revocation::new()).await.unwrap();
    faulty.keeps_everything.store(false, Ordering::Relaxed);
    let aborted = rotator.resume(&record.id).await.unwrap();
    assert!(
        matches!(&aborted.state, State::Aborted { why } if why.contains("the old key has stopped working")),
        "{aborted:?}"
    );
    assert!(!fixture.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_rotation_between_two_dead_keys_can_be_ended() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    fixture.provider.revoke(&new.key, &Revocation::new()).await.unwrap();
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    assert!(
        matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("The old key is gone as well")),
        "{attention:?}"
    );
    let done = fixture.rotator.waive_evidence(&record.id, "nobody needs it").await.unwrap();
    assert_eq!((done.state.name(), done.waived.as_deref()), ("done", Some("nobody needs it")));

    // The same if users have another secret.
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    put_foreign_secret(&fixture.sink, &"theirs".into()).await;
    let aborted = fixture.rotator.abort_leaving_sink(&record.id, "given up").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(fixture.current().await, "theirs".into());

    // The rotation does not decide this by itself, because its users' destination may be on another host.
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    put_foreign_secret(&fixture.sink, &"theirs".into()).await;
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "stuck");
    assert!(fixture.current().await == "theirs".into() && fixture.provider.exists(&new.key).await.unwrap());
}

/// Returns when the old key expires.
async fn expiry(fixture: &Fixture) -> Option<DateTime<Utc>> {
    fixture.provider.get(fixture.old.id()).await.unwrap().expires_at().and_then(|time| time.utc())
}

#[tokio::test]
async fn an_expiry_that_may_have_been_set_is_restored() {
    let fixture = Fixture::new().await;
    let before = expiry(&fixture).await;
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    let record = fixture.rotator.rotate(&fixture.rotate().expire_old()).await.unwrap();
    drop(fixture.inject.clone().before(Operation::Update, refused));
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "promoted");
    assert_ne!(expiry(&fixture).await, before);
    // An abort is refused if the old key would expire anyway.
    drop(fixture.inject.clone().before(Operation::Update, refused));
    let why = refusal(fixture.rotator.abort(&record.id, "not today").await);
    assert!(why.contains("cannot be restored"), "{why}");
    assert_eq!(fixture.journal.load(&record.id).await.unwrap().unwrap().state.name(), "promoted");
    assert_eq!(fixture.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
    assert_eq!(expiry(&fixture).await, before);
}

#[tokio::test]
async fn an_expiry_that_somebody_else_restored_is_accepted() {
    let fixture = Fixture::new().await;
    let before = expiry(&fixture).await.unwrap();
    let record = fixture.rotator.rotate(&fixture.rotate().expire_old()).await.unwrap();
    fixture.provider.update(fixture.old.id(), &KeyUpdate::new().expiry(Expiry::At(before))).await.unwrap();
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    drop(fixture.inject.clone().before(Operation::Update, refused));
    assert_eq!(fixture.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn a_key_that_expires_before_the_end_of_the_grace_keeps_its_expiry() {
    let fixture = Fixture::new().await;
    let soon = fixture.clock.now() + TimeDelta::minutes(30);
    fixture.provider.update(fixture.old.id(), &KeyUpdate::new().expiry(Expiry::At(soon))).await.unwrap();
    let rotate = fixture.rotate().expire_old().expiry(Expiry::In(TimeDelta::days(90)));
    let record = fixture.rotator.rotate(&rotate).await.unwrap();
    assert_eq!((record.state.name(), record.old_expires), ("promoted", false));
    assert_eq!(expiry(&fixture).await, Some(soon));
    assert_eq!(fixture.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn an_expiry_that_could_not_be_removed_is_not_set() {
    let fixture = Fixture::new().await;
    let endless = fixture.provider.create(&NewKey::new("ci").role("reader").expiry(Expiry::Never)).await.unwrap();
    let sink = MemorySink::holding(endless.secret().clone());
    let plan = fixture.rotator.with_sink(sink).plan(&RotateKey::new(endless.id().clone()).expire_old()).await;
    assert!(refusal(plan).contains("leave its expiry alone"));
}

/// Puts another secret into the sink, as somebody else would.
async fn put_foreign_secret(sink: &dyn Sink, secret: &Secret) -> Mark {
    let mark = Mark::random();
    sink.put(&mark, secret).await.unwrap();
    sink.promote(&mark).await.unwrap();
    mark
}

#[tokio::test]
async fn an_abort_can_leave_a_foreign_secret_in_the_sink() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    // This is refused while users find the new key's secret.
    assert!(refusal(fixture.rotator.abort_leaving_sink(&record.id, "given up").await).contains("would stop working"));
    let theirs = Secret::new("theirs");
    put_foreign_secret(&fixture.sink, &theirs).await;
    assert_eq!(fixture.rotator.abort(&record.id, "given up").await.unwrap().state.name(), "stuck");
    let aborted = fixture.rotator.abort_leaving_sink(&record.id, "given up").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(fixture.current().await, theirs);
    assert_eq!(fixture.sink.previous(&new.mark).await.unwrap(), None);
    assert!(fixture.works(fixture.old.secret()).await && !fixture.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_foreign_secret_in_one_of_several_sinks_is_not_lost() {
    let fixture = Fixture::new().await;
    let other = MemorySink::holding(fixture.old.secret().clone());
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(fixture.sink.clone()), Arc::new(other.clone())];
    let rotator = fixture.rotator.with_sink(SinkSet::new(sinks));
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    let mark = put_foreign_secret(&other, &"theirs".into()).await;
    let attention = rotator.abort(&record.id, "not today").await.unwrap();
    assert!(
        matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("would destroy it")),
        "{attention:?}"
    );
    assert_eq!(other.current().await.unwrap(), Some("theirs".into()));
    other.withdraw(&mark).await.unwrap();
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
}

/// A promoted rotation of two sinks, one of which holds a foreign secret since.
async fn promoted_in_one_of_two() -> (Fixture, MemorySink, Rotator, Record) {
    let fixture = Fixture::new().await;
    let other = MemorySink::holding(fixture.old.secret().clone());
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(fixture.sink.clone()), Arc::new(other.clone())];
    let rotator = fixture.rotator.with_sink(SinkSet::new(sinks));
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    put_foreign_secret(&other, &"theirs".into()).await;
    (fixture, other, rotator, record)
}

#[tokio::test]
async fn an_abort_that_leaves_a_foreign_secret_restores_the_other_sinks() {
    let (fixture, other, rotator, record) = promoted_in_one_of_two().await;
    let new = record.state.new_key().unwrap().clone();
    let attention = rotator.abort(&record.id, "not today").await.unwrap();
    assert!(
        matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("--leave-destination")),
        "{attention:?}"
    );
    let aborted = rotator.abort_leaving_sink(&record.id, "not today").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(other.current().await.unwrap(), Some("theirs".into()));
    assert_eq!(fixture.current().await, *fixture.old.secret());
    assert!(fixture.works(fixture.old.secret()).await && !fixture.provider.exists(&new).await.unwrap());
}

#[tokio::test]
async fn an_abort_leaves_no_sink_with_a_secret_that_stops_working() {
    let (fixture, other, rotator, record) = promoted_in_one_of_two().await;
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    let why = refusal(rotator.abort_leaving_sink(&record.id, "not today").await);
    assert!(why.contains("Copy the new secret to the other destinations and resume"), "{why}");
    let new = fixture.current().await;
    assert!(fixture.works(&new).await);
    // The message names the way out.
    put_foreign_secret(&other, &new).await;
    let mut state = rotator.resume(&record.id).await.unwrap().state;
    if matches!(state, State::Promoted { .. }) {
        fixture.clock.advance(std::time::Duration::from_secs(86_400 * 8));
        state = rotator.resume(&record.id).await.unwrap().state;
    }
    assert_eq!(state.name(), "done", "{state:?}");
    assert!(fixture.works(&new).await);
}

#[tokio::test]
async fn a_foreign_secret_in_a_sink_that_was_empty_is_not_lost() {
    let fixture = Fixture::new().await;
    let sink = MemorySink::new();
    let rotator = fixture.rotator.with_sink(sink.clone());
    let record = rotator.rotate(&fixture.rotate().adopt_sink()).await.unwrap();
    put_foreign_secret(&sink, &"theirs".into()).await;
    assert_eq!(rotator.abort(&record.id, "not today").await.unwrap().state.name(), "stuck");
    assert_eq!(sink.current().await.unwrap(), Some("theirs".into()));
}

#[tokio::test]
async fn a_refused_retirement_can_be_aborted() {
    let fixture = Fixture::new().await;
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    drop(fixture.inject.clone().before(Operation::Revoke, refused));
    let attention = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert!(matches!(&attention.state, State::NeedsAttention { was, .. } if was.name() == "retiring"), "{attention:?}");
    let new = attention.state.new_key().unwrap().clone();
    assert_eq!(fixture.rotator.abort(&attention.id, "not today").await.unwrap().state.name(), "aborted");
    assert_eq!(&fixture.current().await, fixture.old.secret());
    assert!(fixture.works(fixture.old.secret()).await && !fixture.provider.exists(&new).await.unwrap());
}

#[tokio::test]
async fn a_confirmed_retirement_cannot_be_aborted() {
    let fixture = Fixture::new().await;
    // The vendor confirms the retirement, but the old key stays; then it refuses to retire it again.
    let missing = || Error::new(ErrorKind::NotFound, Outcome::Rejected, "there is no such key");
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    drop(fixture.inject.clone().before(Operation::Revoke, missing).before(Operation::Revoke, refused));
    let attention = fixture.rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert!(matches!(&attention.state, State::NeedsAttention { was, .. } if was.name() == "retired"), "{attention:?}");
    let attention = fixture.rotator.resume(&attention.id).await.unwrap();
    assert!(matches!(&attention.state, State::NeedsAttention { was, .. } if was.name() == "retiring"), "{attention:?}");
    let why = refusal(fixture.rotator.abort(&attention.id, "not today").await);
    assert!(why.contains("already accepted the retirement"), "{why}");
}

#[tokio::test]
async fn an_empty_sink_keeps_the_only_key_alive() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let new = record.state.new_key().unwrap().clone();
    let current = fixture.current().await;
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    // The volume with the secret is not mounted.
    fixture.sink.remove(&Slot::Current).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3600));
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    assert!(
        matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("does not hold")),
        "{attention:?}"
    );
    assert!(fixture.provider.exists(&new).await.unwrap());
    fixture.sink.write(&Slot::Current, &current).await.unwrap();
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn a_removed_previous_secret_keeps_the_new_key_alive() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    fixture.sink.forget_previous(&new.mark).await.unwrap();
    let why = refusal(fixture.rotator.abort(&record.id, "not today").await);
    assert!(why.contains("no longer kept"), "{why}");
    assert!(fixture.works(&fixture.current().await).await && fixture.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_decision_to_leave_the_sink_can_be_changed() {
    let fixture = Fixture::new().await;
    let faulty = FaultySink::over(&fixture.sink);
    // The process that aborts is cancelled once it has recorded the decision.
    let (decided, has_decided) = tokio::sync::watch::channel(false);
    let mut cancelled = has_decided.clone();
    let aborts = move |record: &Record| _ = decided.send(record.state.name() == "aborting");
    let cancel = async move { drop(cancelled.wait_for(|has_decided| *has_decided).await) };
    let rotator = fixture.rotator.with_sink(faulty);
    let record = rotator.rotate(&fixture.rotate()).await.unwrap();
    let ours = fixture.current().await;
    fixture.sink.write(&Slot::Current, &"theirs".into()).await.unwrap();
    let first = rotator.clone().observe(aborts).cancel_when(cancel);
    first.abort_leaving_sink(&record.id, "not today").await.unwrap_err();
    // The person puts the rotation's secret back.
    fixture.sink.write(&Slot::Current, &ours).await.unwrap();
    let attention = rotator.resume(&record.id).await.unwrap();
    assert!(matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("again")), "{attention:?}");
    assert!(fixture.works(&ours).await);
    assert_eq!(rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
    assert_eq!(&fixture.current().await, fixture.old.secret());
}
