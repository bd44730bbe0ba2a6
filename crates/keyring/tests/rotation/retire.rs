//! The end of the old key, when something stands in its way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api_keyring::rotation::{Confirmation, RotateError, Sink as _, State};
use api_keyring::{Error, ErrorKind, Mark, Operation, Outcome, Provider as _, Revocation};

use crate::bench::{Bench, Brittle, bench};

/// A rotation whose old key may not be retired, for now.
async fn refused(bench: &Bench) -> api_keyring::rotation::Record {
    let refused = || Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "not with this role");
    drop(bench.inject.clone().before(Operation::Revoke, refused));
    let record = bench.rotator.rotate(&bench.rotate().leaked()).await.unwrap();
    let State::Stuck { was, why } = &record.state else { panic!("{record:?}") };
    assert!(was.name() == "retiring" && why.contains("could not be retired"), "{why}");
    record
}

#[tokio::test]
async fn an_old_key_that_users_have_gone_back_to_is_left_alone() {
    let bench = bench().await;
    let record = refused(&bench).await;
    let mark = Mark::random();
    bench.sink.put(&mark, bench.old.secret()).await.unwrap();
    bench.sink.promote(&mark).await.unwrap();
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::Stuck { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("the sink holds another secret"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
    bench.sink.withdraw(&mark).await.unwrap();
    assert_eq!(bench.rotator.resume(&record.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn an_old_key_is_left_alone_where_the_new_one_has_ended_meanwhile() {
    let bench = bench().await;
    let record = refused(&bench).await;
    let State::Stuck { was, .. } = &record.state else { panic!("{record:?}") };
    let State::Retiring(new) = &**was else { panic!("{record:?}") };
    bench.provider.revoke(&new.key, &Revocation::new()).await.unwrap();
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::Stuck { why, .. } = &stuck.state else { panic!("{stuck:?}") };
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
    let rotator = bench.rotator.to(brittle.clone());
    let record = rotator.rotate(&bench.rotate().grace(Duration::from_secs(3600))).await.unwrap();
    brittle.forgetful.store(true, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(3600));
    let failed = rotator.resume(&record.id).await.unwrap_err();
    assert!(matches!(failed, RotateError::Sink { .. }), "{failed:?}");
    brittle.forgetful.store(false, Ordering::Relaxed);
    let done = rotator.resume(&record.id).await.unwrap();
    assert!(matches!(done.state, State::Done { confirmed: Confirmation::SecretRefused, .. }), "{done:?}");
}
