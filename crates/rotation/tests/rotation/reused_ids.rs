//! Reused ids: the vendor gives the id of a deleted key to the next key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api_keyring::{CallInfo, KeyId, Layer, NewKey, Provider, ProviderExt as _, SendCall};
use api_keyring_emulator::{ReuseIds, Revision, SparteraShape};
use api_keyring_rotation::{Record, RotateError, RotateKey, Rotator, State, Strategy, find_orphans};
use async_trait::async_trait;
use chrono::TimeDelta;

use crate::crashes::{Tally, aborted, cut_points, explore, overtaken, setting};
use crate::cut_points::Event;
use crate::scenario::{LEASE, Reuse, Scenario, Service, Successor, Vendor};
use crate::strangers::Strangers;

/// Which keys get the ids of deleted keys.
const REUSES: [Reuse; 5] = [
    Reuse::Strangers(ReuseIds::Next),
    Reuse::Strangers(ReuseIds::LowestFree),
    Reuse::Strangers(ReuseIds::Name),
    Reuse::OwnKeys(ReuseIds::Next),
    Reuse::OwnKeys(ReuseIds::LowestFree),
];

fn stride(name: &str, default: u64) -> usize {
    usize::try_from(setting(name).unwrap_or(default)).unwrap()
}

/// Searches with one event, with an overtaken process and with an abort.
async fn search(service: Service, strategy: Strategy) {
    // Without lost answers, a rotation by a new key deletes only the old key.
    let lost: &[&[&str]] = match strategy {
        Strategy::Overlap => &[&[], &["create:reset-after:1"]],
        _ => &[&[], &["regenerate:reset-after:1"]],
    };
    let mut tally = Tally::default();
    for reuse in REUSES {
        for faults in lost {
            let vendor = Vendor::reusing(service, strategy, reuse).await;
            explore(&vendor, faults, stride("ROTATION_STRIDE", 29), &mut tally).await;
            let pairs = stride("ROTATION_PAIR_STRIDE", 8) * 4;
            overtaken(&vendor, faults, pairs.min(31), &mut tally).await;
            aborted(&vendor, faults, pairs.min(31), &mut tally).await;
        }
    }
    tally.report(&format!("reused ids, {service:?}, {strategy:?}"));
}

#[tokio::test]
async fn at_spartera() {
    search(Service::Spartera(Revision::Current, SparteraShape::Documented), Strategy::Overlap).await;
}

#[tokio::test]
async fn at_spartera_of_the_guide() {
    search(Service::Spartera(Revision::Current, SparteraShape::Guide), Strategy::Overlap).await;
}

#[tokio::test]
async fn at_monad() {
    search(Service::Monad(Revision::Current), Strategy::Overlap).await;
}

#[tokio::test]
async fn at_monad_in_place() {
    search(Service::Monad(Revision::Current), Strategy::InPlace).await;
}

#[tokio::test]
async fn at_monad_in_place_with_a_new_id() {
    search(Service::Monad(Revision::Documented), Strategy::InPlace).await;
}

/// The services with a list, and how their keys end.
const SERVICES: [Service; 2] =
    [Service::Monad(Revision::Current), Service::Spartera(Revision::Current, SparteraShape::Documented)];

/// The answer to the first create is lost, so its key is discarded.
const LOST: [&str; 1] = ["create:reset-after:1"];

/// Returns the number of a cut point with this name.
pub(crate) fn nth(points: &[String], name: &str, nth: usize) -> usize {
    let mut found = (0..points.len()).filter(|number| points[*number] == name);
    found.nth(nth).unwrap_or_else(|| panic!("no {name} in {points:#?}"))
}

pub(crate) fn at(number: usize, event: Event) -> Option<(usize, Event)> {
    Some((number, event))
}

pub(crate) async fn judged(scenario: Scenario<'_>, what: &str) -> Record {
    let record = scenario.finish().await;
    assert_eq!(scenario.judge(&record).await, Vec::<String>::new(), "{what}");
    record
}

/// Holds a process up this many points before it deletes a discarded key, while another process finishes the rotation.
/// Returns the rotation, and what happened.
async fn late_delete(service: Service, reuse: Reuse, points_before: usize) -> (Record, String) {
    let vendor = Vendor::reusing(service, Strategy::Overlap, reuse).await;
    let points = cut_points(&vendor, &LOST, &mut Tally::default()).await;
    let number = nth(&points, "before delete", 0) - points_before;
    let scenario = vendor.key(&LOST);
    drop(scenario.run(&scenario.cut_points(at(number, Event::PauseBeyondLease))).await);
    let what = format!("{service:?} {reuse:?} {}", points[number]);
    let record = judged(scenario, &what).await;
    assert_eq!(record.state.name(), "done", "{what}");
    (record, what)
}

#[tokio::test]
async fn a_late_delete_of_a_discarded_key_never_ends_the_promoted_one() {
    for service in SERVICES {
        for reuse in [ReuseIds::Next, ReuseIds::LowestFree] {
            // The process is held up right before the request, or after its last look at the key.
            for points_before in [0, 1] {
                let (record, what) = late_delete(service, Reuse::OwnKeys(reuse), points_before).await;
                let State::Done { key, .. } = &record.state else { unreachable!() };
                assert!(record.discards.iter().all(|discard| discard.key != *key), "{what}: {record:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_late_delete_of_a_discarded_key_never_ends_a_strangers() {
    for service in SERVICES {
        for reuse in [ReuseIds::Next, ReuseIds::LowestFree] {
            // The process is held up after its last look at the key. It renews its lease before the request.
            late_delete(service, Reuse::Strangers(reuse), 1).await;
        }
    }
}

/// Returns the points that a process passes that resumes, or aborts, after a crash at this point.
async fn points_after(vendor: &Vendor, crash: usize, successor: Successor) -> Vec<String> {
    let scenario = crashed(vendor, crash, successor).await;
    let probe = scenario.cut_points(None);
    drop(scenario.run(&probe).await);
    judged(scenario, "without a second event").await;
    probe.passed()
}

/// Returns a scenario whose first process died at this point, and whose lease has ended.
async fn crashed(vendor: &Vendor, crash: usize, successor: Successor) -> Scenario<'_> {
    let mut scenario = vendor.key(&[]);
    drop(scenario.run(&scenario.cut_points(at(crash, Event::Crash))).await);
    scenario.successor = successor;
    vendor.clock.advance(LEASE + Duration::from_secs(1));
    scenario
}

#[tokio::test]
async fn a_discarded_key_is_told_from_a_later_one_with_its_id() {
    for service in SERVICES {
        for reuse in REUSES {
            let vendor = Vendor::reusing(service, Strategy::Overlap, reuse).await;
            let points = cut_points(&vendor, &[], &mut Tally::default()).await;
            let issued = nth(&points, "after journal issued", 0);
            // The next process finds no secret in the sink, deletes the key and issues another one. Then it dies.
            let resumed = points_after(&vendor, issued, Successor::Resumes).await;
            let mut scenario = crashed(&vendor, issued, Successor::Resumes).await;
            let delivered = nth(&resumed, "after journal delivered", 0);
            drop(scenario.run(&scenario.cut_points(at(delivered, Event::Crash))).await);
            scenario.successor = Successor::Aborts;
            let record = judged(scenario, &format!("{service:?} {reuse:?}")).await;
            assert_eq!(record.state.name(), "aborted");
        }
    }
}

#[tokio::test]
async fn a_strangers_key_with_the_old_keys_id_is_left_alone() {
    // At the last one, a rotation sets the old key's expiry.
    for service in SERVICES.into_iter().chain([Service::Spartera(Revision::Current, SparteraShape::Guide)]) {
        for reuse in [ReuseIds::Next, ReuseIds::LowestFree, ReuseIds::Name] {
            let vendor = Vendor::reusing(service, Strategy::Overlap, Reuse::Strangers(reuse)).await;
            let points = cut_points(&vendor, &[], &mut Tally::default()).await;
            for point in ["planned", "issuing", "issued", "delivered", "verified", "promoted", "retiring"] {
                let number = match point {
                    "planned" => nth(&points, "after journal begin", 0),
                    point => nth(&points, &format!("after journal {point}"), 0),
                };
                let scenario = vendor.key(&[]);
                drop(scenario.run(&scenario.unchecked(at(number, Event::Crash))).await);
                // The owner deletes the old key, and a stranger gets its id.
                let strangers = scenario.strangers.clone().unwrap();
                vendor.provider.delete(&scenario.old).await.unwrap();
                strangers.take_freed().await;
                let what = format!("{service:?} {reuse:?} {point}");
                let record = scenario.finish_unchecked().await;
                assert_eq!(record.state.name(), "done", "{what}: {record:?}");
                assert_eq!(strangers.judge(), Vec::<String>::new(), "{what}");
                strangers.clean_up().await;
            }
        }
    }
}

/// Deletes a key before the next call, and lets a stranger take its id.
#[derive(Clone, Debug)]
struct Swap {
    is_due: Arc<AtomicBool>,
    provider: Arc<dyn Provider>,
    key: KeyId,
    strangers: Strangers,
}

#[async_trait]
impl Layer for Swap {
    async fn around<T: Send>(&self, _: CallInfo<'_>, send: &SendCall<'_, T>) -> api_keyring::Result<T> {
        if self.is_due.swap(false, Ordering::Relaxed) {
            self.provider.delete(&self.key).await.unwrap();
            self.strangers.take_freed().await;
        }
        send().await
    }
}

#[tokio::test]
async fn a_strangers_key_gets_no_new_secret() {
    let reuse = Reuse::Strangers(ReuseIds::LowestFree);
    let vendor = Vendor::reusing(Service::Monad(Revision::Current), Strategy::InPlace, reuse).await;
    let scenario = vendor.key(&[]);
    let strangers = scenario.strangers.clone().unwrap();
    let is_due = Arc::new(AtomicBool::new(false));
    let (provider, key) = (Arc::clone(&vendor.provider), scenario.old.clone());
    let swap = Swap { is_due: Arc::clone(&is_due), provider: Arc::clone(&provider), key, strangers: strangers.clone() };
    let rotator = Rotator::new(provider.layered(swap), scenario.lineage.sink.clone(), scenario.journal.clone())
        .clock(vendor.clock.clone())
        .observe(move |record| is_due.store(record.state.name() == "issuing", Ordering::Relaxed));
    let plan = rotator.plan(&RotateKey::new(scenario.old.clone()).in_place()).await.unwrap();
    let id = rotator.start(plan).await.unwrap().id;
    assert!(matches!(rotator.resume(&id).await, Err(RotateError::NotYet(_))));
    let attention = rotator.resume(&id).await.unwrap();
    assert_eq!(attention.state.name(), "stuck", "{attention:?}");
    assert_eq!(strangers.judge(), Vec::<String>::new());
}

#[tokio::test]
async fn a_delete_that_was_not_written_down_is_not_repeated_on_a_strangers_key() {
    for service in SERVICES {
        for reuse in [ReuseIds::Next, ReuseIds::LowestFree] {
            let vendor = Vendor::reusing(service, Strategy::Overlap, Reuse::Strangers(reuse)).await;
            let points = cut_points(&vendor, &LOST, &mut Tally::default()).await;
            // A discard's delete.
            for event in [Event::Crash, Event::Lose] {
                let scenario = vendor.key(&LOST);
                let number = nth(&points, "after delete", 0);
                drop(scenario.run(&scenario.cut_points(at(number, event))).await);
                judged(scenario, &format!("{service:?} {reuse:?} {event:?}")).await;
            }
            // An abort's delete.
            let points = cut_points(&vendor, &[], &mut Tally::default()).await;
            let promoted = nth(&points, "after journal promoted", 0);
            let number = nth(&points_after(&vendor, promoted, Successor::Aborts).await, "after delete", 0);
            for event in [Event::Crash, Event::Lose] {
                let scenario = crashed(&vendor, promoted, Successor::Aborts).await;
                drop(scenario.run(&scenario.cut_points(at(number, event))).await);
                let record = judged(scenario, &format!("{service:?} {reuse:?} abort {event:?}")).await;
                assert_eq!(record.state.name(), "aborted");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_alive_under_a_discarded_mark_is_an_orphan_whatever_its_id() {
    let vendor = Vendor::reusing(SERVICES[0], Strategy::Overlap, Reuse::OwnKeys(ReuseIds::Next)).await;
    let scenario = vendor.key(&LOST);
    let record = scenario.finish().await;
    let State::Done { key, .. } = &record.state else { panic!("{record:?}") };
    let (lost, kept) = (record.marks[0].clone(), record.marks.last().unwrap().clone());
    assert_ne!(lost, kept);
    assert!(find_orphans(&vendor.provider, &scenario.journal).await.unwrap().is_empty());
    // The promoted key is deleted, and the lost create takes effect under its id.
    vendor.provider.delete(key).await.unwrap();
    let late = NewKey::new("ci").marked(&lost).role("role-reader").expires_in(TimeDelta::days(90));
    let late = vendor.provider.create(&late).await.unwrap();
    assert_eq!(late.id(), key);
    let orphans = find_orphans(&vendor.provider, &scenario.journal).await.unwrap();
    assert_eq!(orphans.len(), 1, "{orphans:?}");
    assert_eq!((&orphans[0].mark, &orphans[0].rotation), (&lost, &Some(record.id)));
}
