//! Every schedule that ever found a fault. They run always, and not only as a part of a search.

use std::time::Duration;

use api_keyring::ProviderExt as _;
use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::Strategy;

use crate::crashes::{Tally, cut_points};
use crate::cut_points::Event;
use crate::reused_ids::{at, judged, nth};
use crate::scenario::{Service, Successor, Vendor};

const SPARTERA: Service = Service::Spartera(Revision::Current, SparteraShape::Documented);
const GUIDE: Service = Service::Spartera(Revision::Current, SparteraShape::Guide);
const MONAD: Service = Service::Monad(Revision::Current);

/// Without the last look for late creates, both keys live.
#[tokio::test]
async fn a_create_that_takes_effect_after_the_settle_time_leaves_no_second_key() {
    for service in [SPARTERA, GUIDE, MONAD] {
        let vendor = Vendor::start(service, Strategy::Overlap).await;
        for late in ["create:held-up=31s:1", "create:held-up=10m:1", "create:held-up=10m:2"] {
            let record = judged(vendor.key(&[late]), &format!("{service:?} {late}")).await;
            assert_eq!(record.state.name(), "done", "{record:?}");
            assert!(record.discards.iter().any(|discard| discard.mark == record.marks[0]), "{record:?}");
        }
    }
}

/// Without the settle time, the late request ends the secret that the next one got.
#[tokio::test]
async fn a_regenerate_that_takes_effect_within_the_settle_time_does_not_end_the_next_secret() {
    for revision in [Revision::Documented, Revision::Current] {
        let vendor = Vendor::start(Service::Monad(revision), Strategy::InPlace).await;
        for late in ["regenerate:held-up=5s:1", "regenerate:held-up=25s:1", "regenerate:held-up=25s:2"] {
            let scenario = vendor.key(&[late]);
            let record = scenario.finish().await;
            assert_eq!(record.state.name(), "done", "{record:?}");
            // The service has carried out everything by now.
            vendor.clock.advance(Duration::from_secs(60));
            vendor.provider.find(&scenario.old).await.unwrap();
            assert_eq!(scenario.judge(&record).await, Vec::<String>::new(), "{revision:?} {late}");
        }
    }
}

/// Holds a process up at each of these points. Another process takes over and aborts the rotation, before the first one
/// continues.
async fn held_up_and_aborted(service: Service, faults: &[&str], held_up_at: [&str; 2]) {
    let vendor = Vendor::start(service, Strategy::Overlap).await;
    let points = cut_points(&vendor, &[], &mut Tally::default()).await;
    for point in held_up_at {
        let mut scenario = vendor.key(faults);
        scenario.successor = Successor::Aborts;
        let number = nth(&points, point, 0);
        drop(scenario.run(&scenario.cut_points(at(number, Event::PauseBeyondLease))).await);
        let record = judged(scenario, &format!("{service:?} {point}")).await;
        assert_eq!(record.state.name(), "aborted");
    }
}

/// Without taking the expiry back, the old key ends at the end of a grace that nobody waits for.
#[tokio::test]
async fn an_expiry_that_is_set_after_an_abort_is_taken_back() {
    for revision in [Revision::Documented, Revision::Current] {
        let service = Service::Spartera(revision, SparteraShape::Guide);
        held_up_and_aborted(service, &[], ["before update", "after update"]).await;
    }
}

/// After the abort, the create takes effect, and its answer is lost.
#[tokio::test]
async fn a_create_after_an_abort_whose_answer_is_lost_leaves_no_key() {
    for service in [SPARTERA, MONAD] {
        let faults = ["create:reset-after:1"];
        held_up_and_aborted(service, &faults, ["after journal issuing", "before create"]).await;
    }
}

/// A process is held up between its record and its create. The one that overtakes it dies before it delivers its own key.
/// No other key is issued while that one is an orphan.
#[tokio::test]
async fn an_overtaken_process_issues_no_key() {
    for service in [SPARTERA, GUIDE, MONAD] {
        let vendor = Vendor::start(service, Strategy::Overlap).await;
        let points = cut_points(&vendor, &[], &mut Tally::default()).await;
        let number = nth(&points, "after journal issuing", 0);
        let pause = at(number, Event::PauseBeyondLease);
        let scenario = vendor.key(&[]);
        let overtaker = scenario.cut_points(None);
        drop(scenario.run_overtaken_by(&scenario.cut_points(pause), &overtaker).await);
        judged(scenario, &format!("{service:?}")).await;
        for death in ["after create", "after journal issued", "after journal delivered"] {
            let scenario = vendor.key(&[]);
            let dies = scenario.cut_points(at(nth(&overtaker.passed(), death, 0), Event::Crash));
            let late = scenario.cut_points(pause);
            drop(scenario.run_overtaken_by(&late, &dies).await);
            assert!(!late.passed().contains(&"before create".to_owned()), "{service:?} {death}");
            judged(scenario, &format!("{service:?} {death}")).await;
        }
    }
}

/// The rotator that sent the create has no lease any more, so a wait that renews the lease would end its only attempt.
#[tokio::test]
async fn a_late_create_whose_delete_is_refused_for_now_leaves_no_key() {
    for (service, refused) in [
        (SPARTERA, "spartera.delete:status=429:1"),
        (GUIDE, "spartera.delete:status=503:1"),
        // The first delete is that of the old key, by the other rotator.
        (MONAD, "monad.delete:status=429,retry-after=1:1@2"),
        (MONAD, "monad.delete:status=503:1@2"),
    ] {
        let vendor = Vendor::start(service, Strategy::Overlap).await;
        let points = cut_points(&vendor, &[], &mut Tally::default()).await;
        let number = nth(&points, "before create", 0);
        let scenario = vendor.key(&[refused]);
        drop(scenario.run(&scenario.cut_points(at(number, Event::PauseBeyondLease))).await);
        let record = judged(scenario, &format!("{service:?} {refused}")).await;
        assert_eq!(record.state.name(), "done", "{record:?}");
    }
}

/// The vendor refused the first regenerate for now, so its mark is reserved. The next one is sent under it, and is held up
/// while another process finishes the rotation.
#[tokio::test]
async fn a_late_regenerate_under_a_reserved_mark_is_taken_back() {
    let vendor = Vendor::start(MONAD, Strategy::InPlace).await;
    let refused = async || {
        let scenario = vendor.key(&["regenerate:status=429:1"]);
        drop(scenario.run(&scenario.cut_points(None)).await);
        scenario
    };
    let scenario = refused().await;
    let probe = scenario.cut_points(None);
    drop(scenario.run(&probe).await);
    let number = nth(&probe.passed(), "before regenerate", 0);
    for event in [Event::PauseBeyondLease, Event::Crash, Event::Lose] {
        let scenario = refused().await;
        drop(scenario.run(&scenario.cut_points(at(number, event))).await);
        let record = judged(scenario, &format!("{event:?}")).await;
        assert_eq!(record.state.name(), "done", "{event:?}: {record:?}");
    }
}
