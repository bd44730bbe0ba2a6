//! Whether there is a way back, and what is there at its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::{
    Clock as _, Error, ErrorKind, Expiry, KeyUpdate, Mark, Memory, NewKey, Operation, Outcome, Provider as _,
    ProviderExt as _, Revocation, Secret,
};
use api_keyring_rotation::{Journal as _, MemoryJournal, MemorySink, RotateKey, Rotator, Sink, SinkSet, State};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use crate::bench::{Bench, Brittle, bench, refusal};

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
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("holds another secret"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
    // To go back would lose it as well.
    let stuck = bench.rotator.abort(&record.id, "changed my mind").await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
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

#[tokio::test]
async fn an_old_key_that_ends_while_it_is_gone_back_to_leaves_the_new_one_in_use() {
    let bench = bench().await;
    let brittle = Brittle::over(&bench.sink);
    let rotator = bench.rotator.with_sink(brittle.clone());
    let record = rotator.rotate(&bench.rotate()).await.unwrap();
    brittle.broken.store(true, Ordering::Relaxed);
    rotator.abort(&record.id, "not today").await.unwrap_err();
    assert_eq!(bench.journal.load(&record.id).await.unwrap().unwrap().state.name(), "aborting");
    bench.provider.revoke(bench.old.id(), &Revocation::new()).await.unwrap();
    brittle.broken.store(false, Ordering::Relaxed);
    assert!(refusal(rotator.resume(&record.id).await).contains("there is no way back"));
    assert!(bench.works(&bench.current().await).await);
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "promoted");
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "done");
    assert!(bench.works(&bench.current().await).await);
}

#[tokio::test]
async fn an_abort_that_was_cut_off_ends_also_when_no_secret_is_left() {
    let bench = bench().await;
    let brittle = Brittle::over(&bench.sink);
    let rotator = bench.rotator.with_sink(brittle.clone());
    let record = rotator.rotate(&bench.rotate()).await.unwrap();
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    // The old secret is current again, and that was all.
    brittle.sticky.store(true, Ordering::Relaxed);
    rotator.abort(&record.id, "not today").await.unwrap_err();
    assert_eq!(&bench.current().await, bench.old.secret());
    bench.provider.revoke(bench.old.id(), &Revocation::new()).await.unwrap();
    brittle.sticky.store(false, Ordering::Relaxed);
    let aborted = rotator.resume(&record.id).await.unwrap();
    assert!(
        matches!(&aborted.state, State::Aborted { why } if why.contains("the old key has stopped working")),
        "{aborted:?}"
    );
    assert!(!bench.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn a_rotation_of_two_dead_keys_can_be_ended() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    bench.provider.revoke(&new.key, &Revocation::new()).await.unwrap();
    bench.provider.delete(bench.old.id()).await.unwrap();
    bench.clock.advance(Duration::from_secs(3600));
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    assert!(
        matches!(&stuck.state, State::NeedsAttention { why, .. } if why.contains("the old one is gone as well")),
        "{stuck:?}"
    );
    let done = bench.rotator.waive_evidence(&record.id, "nobody needs it").await.unwrap();
    assert_eq!((done.state.name(), done.waived.as_deref()), ("done", Some("nobody needs it")));

    // And where users have another one altogether.
    let bench = self::bench().await;
    let record = bench.promoted().await;
    bench.provider.delete(bench.old.id()).await.unwrap();
    put_by_somebody(&bench.sink, &"theirs".into()).await;
    let aborted = bench.rotator.abort_leaving_sink(&record.id, "given up").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(bench.current().await, "theirs".into());

    // Nobody has to say so: what nobody has the secret of is of no use.
    let bench = self::bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    bench.provider.delete(bench.old.id()).await.unwrap();
    put_by_somebody(&bench.sink, &"theirs".into()).await;
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
    assert!(bench.current().await == "theirs".into() && !bench.provider.exists(&new.key).await.unwrap());
}

/// When the old key expires.
async fn expiry(bench: &Bench) -> Option<DateTime<Utc>> {
    bench.provider.get(bench.old.id()).await.unwrap().expires_at().and_then(|time| time.utc())
}

#[tokio::test]
async fn an_expiry_that_was_set_once_is_put_back_whatever_was_said_since() {
    let bench = bench().await;
    let before = expiry(&bench).await;
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    let record = bench.rotator.rotate(&bench.rotate().expire_old()).await.unwrap();
    drop(bench.inject.clone().before(Operation::Update, refused));
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "promoted");
    assert_ne!(expiry(&bench).await, before);
    // A rotation whose old key would end all the same is not turned back.
    drop(bench.inject.clone().before(Operation::Update, refused));
    let why = refusal(bench.rotator.abort(&record.id, "not today").await);
    assert!(why.contains("cannot be put back"), "{why}");
    assert_eq!(bench.journal.load(&record.id).await.unwrap().unwrap().state.name(), "promoted");
    assert_eq!(bench.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
    assert_eq!(expiry(&bench).await, before);
}

#[tokio::test]
async fn an_expiry_that_somebody_has_put_back_need_not_be() {
    let bench = bench().await;
    let before = expiry(&bench).await.unwrap();
    let record = bench.rotator.rotate(&bench.rotate().expire_old()).await.unwrap();
    bench.provider.update(bench.old.id(), &KeyUpdate::new().expiry(Expiry::At(before))).await.unwrap();
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "the role was taken away");
    drop(bench.inject.clone().before(Operation::Update, refused));
    assert_eq!(bench.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn a_key_that_expires_before_the_end_of_the_grace_is_left_to_do_so() {
    let bench = bench().await;
    let soon = bench.clock.now() + TimeDelta::minutes(30);
    bench.provider.update(bench.old.id(), &KeyUpdate::new().expiry(Expiry::At(soon))).await.unwrap();
    let rotate = bench.rotate().expire_old().expiry(Expiry::In(TimeDelta::days(90)));
    let record = bench.rotator.rotate(&rotate).await.unwrap();
    assert_eq!((record.state.name(), record.old_expires), ("promoted", false));
    assert_eq!(expiry(&bench).await, Some(soon));
    assert_eq!(bench.rotator.abort(&record.id, "not today").await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn an_expiry_that_could_not_be_taken_away_again_is_not_set() {
    let bench = bench().await;
    let endless = bench.provider.create(&NewKey::new("ci").role("reader").expiry(Expiry::Never)).await.unwrap();
    let sink = MemorySink::holding(endless.secret().clone());
    let plan = bench.rotator.with_sink(sink).plan(&RotateKey::new(endless.id().clone()).expire_old()).await;
    assert!(refusal(plan).contains("leave its expiry alone"));
}

/// Somebody puts another secret into the sink.
async fn put_by_somebody(sink: &dyn Sink, secret: &Secret) -> Mark {
    let mark = Mark::random();
    sink.put(&mark, secret).await.unwrap();
    sink.promote(&mark).await.unwrap();
    mark
}

#[tokio::test]
async fn a_rotation_whose_sink_is_somebody_elses_now_can_be_given_up() {
    let bench = bench().await;
    let record = bench.promoted().await;
    let State::Promoted { new, .. } = record.state.clone() else { panic!("{record:?}") };
    // Not while users find the new key's secret.
    assert!(refusal(bench.rotator.abort_leaving_sink(&record.id, "given up").await).contains("would end"));
    let theirs = Secret::new("theirs");
    put_by_somebody(&bench.sink, &theirs).await;
    assert_eq!(bench.rotator.abort(&record.id, "given up").await.unwrap().state.name(), "stuck");
    let aborted = bench.rotator.abort_leaving_sink(&record.id, "given up").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(bench.current().await, theirs);
    assert_eq!(bench.sink.previous(&new.mark).await.unwrap(), None);
    assert!(bench.works(bench.old.secret()).await && !bench.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn what_somebody_has_put_into_one_of_several_sinks_is_not_lost() {
    let bench = bench().await;
    let other = MemorySink::holding(bench.old.secret().clone());
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(bench.sink.clone()), Arc::new(other.clone())];
    let rotator = bench.rotator.with_sink(SinkSet::new(sinks));
    let record = rotator.rotate(&bench.rotate()).await.unwrap();
    let mark = put_by_somebody(&other, &"theirs".into()).await;
    let stuck = rotator.abort(&record.id, "not today").await.unwrap();
    assert!(matches!(&stuck.state, State::NeedsAttention { why, .. } if why.contains("would be lost")), "{stuck:?}");
    assert_eq!(other.current().await.unwrap(), Some("theirs".into()));
    other.withdraw(&mark).await.unwrap();
    assert_eq!(rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn what_somebody_has_put_into_a_sink_that_was_empty_is_not_lost() {
    let bench = bench().await;
    let sink = MemorySink::new();
    let rotator = bench.rotator.with_sink(sink.clone());
    let record = rotator.rotate(&bench.rotate().adopt_sink()).await.unwrap();
    put_by_somebody(&sink, &"theirs".into()).await;
    assert_eq!(rotator.abort(&record.id, "not today").await.unwrap().state.name(), "stuck");
    assert_eq!(sink.current().await.unwrap(), Some("theirs".into()));
}
