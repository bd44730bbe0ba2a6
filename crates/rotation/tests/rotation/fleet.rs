//! Fleets: which keys are selected, in which order they are rotated, and what halts them.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::{
    Inject, IssuedKey, ListKeys, ManualClock, Memory, NewKey, Operation, Provider, ProviderExt as _, Secret,
    SharedSecret, Spartera,
};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{
    Exclusion, Fleet, FleetKey, FleetSummary, Journal as _, KeyResult, MemoryJournal, MemorySink, OwnCredential,
    RotateKey, Selector, Sink as _, Strategy, own_credential,
};
use chrono::{TimeDelta, Utc};
use futures_util::{TryStreamExt as _, stream};

struct Bench {
    provider: Memory,
    clock: ManualClock,
    keys: Vec<(IssuedKey, MemorySink)>,
}

async fn bench(count: usize) -> Bench {
    let clock = ManualClock::new(Utc::now());
    let provider = Memory::new().clock(clock.clone());
    let mut keys = Vec::new();
    for number in 0..count {
        let new = NewKey::new(format!("ci-{number}")).role("reader").expires_in(TimeDelta::days(90));
        let key = provider.create(&new).await.unwrap();
        let sink = MemorySink::holding(key.secret().clone());
        keys.push((key, sink));
    }
    Bench { provider, clock, keys }
}

impl Bench {
    fn fleet(&self) -> Fleet {
        let clock = self.clock.clone();
        Fleet::new(self.provider.clone(), MemoryJournal::new().clock(clock.clone()))
            .with(|rotator| rotator.clock(clock))
    }

    /// Returns a fleet that authenticates with this secret.
    fn fleet_of(&self, secret: &SharedSecret) -> Fleet {
        let clock = self.clock.clone();
        let provider = self.provider.with_secret(&secret.get()).unwrap();
        Fleet::new(provider, MemoryJournal::new().clock(clock.clone()))
            .with(|rotator| rotator.clock(clock).own_credential(secret.clone()))
    }

    fn fleet_keys(&self) -> Vec<FleetKey> {
        let key = |(key, sink): &(IssuedKey, MemorySink)| FleetKey {
            rotate: RotateKey::new(key.id().clone()).grace(Duration::ZERO),
            sink: Arc::new(sink.clone()),
        };
        self.keys.iter().map(key).collect()
    }

    /// Rotates these keys and returns the summary, and the keys with their results in the order in which they ended.
    async fn rotate(&self, fleet: &Fleet, keys: Vec<FleetKey>) -> (FleetSummary, Vec<(String, String)>) {
        let mut order = Vec::new();
        let summary = fleet
            .rotate(stream::iter(keys), |key, rotated| {
                let rotated = match rotated {
                    KeyResult::Done => "done",
                    KeyResult::Waiting => "waiting",
                    KeyResult::UnderWay(_) => "under way",
                    KeyResult::NotFound => "not found",
                    KeyResult::Unfinished => "unfinished",
                    KeyResult::OwnCredential => "own",
                    _ => "failed",
                };
                order.push((key.to_string(), rotated.to_owned()));
            })
            .await;
        (summary, order)
    }

    async fn works(&self, secret: &Secret) -> bool {
        self.provider.accepts(secret).await.unwrap().is_accepted()
    }
}

#[tokio::test]
async fn all_keys_are_rotated_and_a_missing_one_is_skipped() {
    let bench = bench(10).await;
    bench.provider.delete(bench.keys[3].0.id()).await.unwrap();
    let (summary, order) = bench.rotate(&bench.fleet().concurrency(4), bench.fleet_keys()).await;
    assert_eq!((summary.done, summary.not_found, summary.failed, summary.halted), (9, 1, 0, None));
    assert_eq!(order.len(), 10);
    assert_eq!(order[0].0, bench.keys[0].0.id().as_str(), "the canary comes first");
    for (number, (key, sink)) in bench.keys.iter().enumerate().filter(|(number, _)| *number != 3) {
        let current = sink.current().await.unwrap().unwrap();
        assert!(bench.works(&current).await && !bench.works(key.secret()).await, "key {number}");
    }
}

#[tokio::test]
async fn a_fleet_does_not_wait_for_the_end_of_a_grace() {
    let bench = bench(5).await;
    let mut keys = bench.fleet_keys();
    keys.iter_mut().for_each(|key| key.rotate = key.rotate.clone().grace(Duration::from_secs(60)));
    let (summary, _) = bench.rotate(&bench.fleet(), keys).await;
    assert_eq!((summary.done, summary.waiting), (0, 5));
}

#[tokio::test]
async fn keys_that_another_rotation_works_on_are_left_to_it() {
    let bench = bench(3).await;
    let fleet = bench.fleet();
    let mut keys = bench.fleet_keys();
    keys.iter_mut().for_each(|key| key.rotate = key.rotate.clone().grace(Duration::from_secs(60)));
    assert_eq!(bench.rotate(&fleet, keys.clone()).await.0.waiting, 3);
    // The keys that these rotations have issued are left to them as well.
    let mut listed = bench.provider.list(ListKeys::new());
    while let Some(key) = listed.try_next().await.unwrap() {
        if key.name().is_some_and(|name| name.starts_with("ci-") && name.contains('~')) {
            let rotate = RotateKey::new(key.id().clone()).adopt_sink();
            keys.push(FleetKey { rotate, sink: Arc::new(MemorySink::new()) });
        }
    }
    assert_eq!(keys.len(), 6);
    let (summary, order) = bench.rotate(&fleet, keys).await;
    assert_eq!((summary.waiting, summary.failed, summary.halted), (6, 0, None));
    assert!(order.iter().all(|(_, rotated)| rotated == "under way"), "{order:?}");
}

#[tokio::test]
async fn a_canary_that_fails_halts_the_fleet() {
    let bench = bench(10).await;
    let mut keys = bench.fleet_keys();
    // The vendor rejects an expiry in the past.
    keys[2].rotate.expiry = Some(api_keyring::Expiry::At(Utc::now() - TimeDelta::days(1)));
    let (summary, order) = bench.rotate(&bench.fleet().waves([1, 3]).concurrency(1), keys.clone()).await;
    assert_eq!((summary.done, summary.failed), (2, 1), "{summary:?}");
    assert!(summary.halted.as_ref().unwrap().contains(bench.keys[2].0.id().as_str()), "{summary:?}");
    assert_eq!(order.len(), 3);
    for (key, _) in &bench.keys[3..] {
        assert!(bench.works(key.secret()).await);
    }
    // After the canaries, a failure does not halt the fleet.
    let (summary, _) = bench.rotate(&bench.fleet().waves([]), keys.split_off(2)).await;
    assert_eq!((summary.done, summary.failed, summary.halted), (7, 1, None));
}

#[tokio::test]
async fn a_rejected_credential_halts_the_fleet() {
    let bench = bench(50).await;
    let stranger = bench.provider.with_secret(&"unknown".into()).unwrap();
    let fleet = Fleet::new(stranger, MemoryJournal::new()).concurrency(2).waves([]);
    let (summary, order) = bench.rotate(&fleet, bench.fleet_keys()).await;
    assert!(summary.halted.is_some() && order.len() < 5, "{summary:?}");
    assert_eq!(summary.done, 0);
}

/// Allows the fleet to rotate these keys even if they are your own credential.
fn even_own(mut keys: Vec<FleetKey>) -> Vec<FleetKey> {
    keys.iter_mut().for_each(|key| key.rotate.even_own = true);
    keys
}

#[tokio::test]
async fn your_own_credential_comes_last() {
    let bench = bench(6).await;
    let (own, _) = &bench.keys[1];
    let secret = SharedSecret::new(own.secret().clone());
    let fleet = bench.fleet().with(|rotator| rotator.own_credential(secret.clone()));
    let (summary, order) = bench.rotate(&fleet, even_own(bench.fleet_keys())).await;
    assert_eq!((summary.done, &*order.last().unwrap().0), (6, own.id().as_str()));
    assert_ne!(secret.get(), *own.secret(), "the provider must use the new secret from now on");
    assert!(bench.works(&secret.get()).await);
}

#[tokio::test]
async fn your_own_credential_is_left_alone_unless_its_request_allows_otherwise() {
    let bench = bench(3).await;
    for (is_in_place, done) in [(false, 2), (true, 0)] {
        let (own, _) = &bench.keys[0];
        let secret = SharedSecret::new(own.secret().clone());
        let fleet = bench.fleet_of(&secret);
        let mut keys = bench.fleet_keys();
        if is_in_place {
            keys.truncate(1);
            keys[0].rotate.strategy = Strategy::InPlace;
        }
        let (summary, order) = bench.rotate(&fleet, keys).await;
        assert_eq!((summary.done, summary.failed, &*order.last().unwrap().1), (done, 1, "own"), "{order:?}");
        assert_eq!(secret.get(), *own.secret());
        assert!(bench.works(own.secret()).await);
    }
}

#[tokio::test]
async fn your_own_credential_is_never_a_canary_and_is_recognized_even_if_its_sink_is_empty() {
    let bench = bench(4).await;
    let (own, _) = &bench.keys[0];
    let secret = SharedSecret::new(own.secret().clone());
    let fleet = bench.fleet_of(&secret).waves([1]).concurrency(4);
    let mut keys = even_own(bench.fleet_keys());
    keys[0] = FleetKey { rotate: keys[0].rotate.clone().adopt_sink(), sink: Arc::new(MemorySink::new()) };
    // The next key is the canary, and it fails.
    keys[1].rotate.expiry = Some(api_keyring::Expiry::At(Utc::now() - TimeDelta::days(1)));
    let (summary, order) = bench.rotate(&fleet, keys.clone()).await;
    assert_eq!((summary.done, summary.failed, order.len()), (0, 1, 1), "{summary:?}");
    assert!(bench.works(own.secret()).await);
}

/// Ways in which a key cannot even be planned.
fn spoil(key: &mut FleetKey, how: &str) {
    match how {
        "an empty sink" => key.sink = Arc::new(MemorySink::new()),
        "another secret in the sink" => key.sink = Arc::new(MemorySink::holding("somebody else's")),
        "an expiry in the past" => key.rotate.expiry = Some(api_keyring::Expiry::At(Utc::now() - TimeDelta::days(1))),
        _ => key.rotate.unused_for = Some(Duration::from_secs(1)),
    }
}

#[tokio::test]
async fn your_own_credential_is_no_canary_even_if_it_cannot_be_planned() {
    for how in ["an empty sink", "another secret in the sink", "an expiry in the past", "evidence of use"] {
        let bench = bench(4).await;
        let (own, _) = &bench.keys[0];
        let secret = SharedSecret::new(own.secret().clone());
        let fleet = bench.fleet_of(&secret).waves([1]).concurrency(2);
        let mut keys = even_own(bench.fleet_keys());
        spoil(&mut keys[0], how);
        let (summary, order) = bench.rotate(&fleet, keys).await;
        let last = (own.id().to_string(), "failed".to_owned());
        assert_eq!((summary.done, summary.failed, order.last()), (3, 1, Some(&last)), "{how}: {order:?}");
        assert_eq!(summary.halted, None, "{how}");
        assert!(bench.works(own.secret()).await, "{how}");

        // A key that is certainly another one is a canary, and halts the fleet.
        let (other, _) = &bench.keys[1];
        let secret = SharedSecret::new(bench.provider.credential().clone());
        let fleet = bench.fleet_of(&secret).waves([1]);
        let mut keys = bench.fleet_keys();
        spoil(&mut keys[0], how);
        if how != "evidence of use" {
            let (summary, order) = bench.rotate(&fleet, keys).await;
            assert_eq!((summary.failed, order.len()), (1, 1), "{how}: {order:?}");
            assert!(summary.halted.is_some() && !bench.works(other.secret()).await, "{how}: {summary:?}");
        }
    }
}

#[tokio::test]
async fn your_own_credential_is_recognized_by_its_use_if_the_vendor_shows_nothing_else() {
    // Without your secret, the masked secret that Spartera shows says nothing.
    let emulator = Emulator::start().await.unwrap();
    let handle = emulator.spartera();
    let other = handle.add_keys(1).remove(0);
    let spartera = Spartera::builder()
        .company_id(handle.company_id())
        .api_key(handle.admin_key())
        .base_url(handle.base_url())
        .build()
        .unwrap();
    let secret = Secret::from(handle.admin_key());
    let own = spartera.get(&"1001".parse().unwrap()).await.unwrap();
    let other = spartera.get(&other.id.parse().unwrap()).await.unwrap();
    for (key, secret, expected) in [
        (&own, None, OwnCredential::Yes),
        (&own, Some(&secret), OwnCredential::Yes),
        (&other, None, OwnCredential::Unknown),
        (&other, Some(&secret), OwnCredential::No),
    ] {
        assert_eq!(own_credential(&spartera, key, secret).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_halts_the_fleet() {
    for (concurrency, give_up_after, limit) in [(1, None, 3), (4, None, 8), (1, Some(1), 1), (2, Some(20), 20)] {
        let bench = bench(60).await;
        let inject = (0..200).fold(Inject::new(), |inject, _| inject.refusing(Operation::Get));
        let unreachable = bench.provider.clone().failing(inject);
        let mut fleet = Fleet::new(unreachable, MemoryJournal::new()).concurrency(concurrency).waves([]);
        fleet = give_up_after.into_iter().fold(fleet, Fleet::give_up_after);
        let (summary, order) = bench.rotate(&fleet, bench.fleet_keys()).await;
        let halted = summary.halted.unwrap_or_default();
        assert!(halted.contains(&format!("could not be reached for {limit} keys in a row")), "{limit}: {halted}");
        // Those that were running when the fleet halted have a result, too.
        assert!((limit..limit + concurrency).contains(&order.len()), "{limit}: {order:?}");
        assert_eq!((summary.done, summary.failed), (0, order.len()));
    }
}

#[tokio::test]
async fn single_failures_of_the_connection_do_not_halt_the_fleet() {
    let bench = bench(30).await;
    // Between two failures, the vendor shows a key.
    let clock = bench.clock.clone();
    let inject = (0..15).fold(Inject::new(), |inject, _| inject.refusing(Operation::Create));
    let sometimes = bench.provider.clone().failing(inject);
    let fleet = Fleet::new(sometimes, MemoryJournal::new().clock(clock.clone()))
        .with(|rotator| rotator.clock(clock).patience(Duration::ZERO))
        .concurrency(1)
        .give_up_after(2)
        .waves([]);
    let mut keys = bench.fleet_keys();
    keys.iter_mut().skip(1).step_by(2).for_each(|key| spoil(key, "an empty sink"));
    let (summary, order) = bench.rotate(&fleet, keys).await;
    assert_eq!((order.len(), summary.halted), (30, None), "{order:?}");
}

#[tokio::test]
async fn a_key_that_comes_twice_is_rotated_and_counted_once() {
    let bench = bench(3).await;
    let mut keys = bench.fleet_keys();
    keys.extend(bench.fleet_keys());
    let (summary, order) = bench.rotate(&bench.fleet().concurrency(4), keys).await;
    assert_eq!((summary.done, summary.not_found, summary.failed, summary.repeated), (3, 0, 0, 3), "{order:?}");
    assert_eq!(order.len(), 3);
}

#[tokio::test]
async fn what_was_cancelled_is_unfinished_and_what_has_not_started_has_no_result() {
    let bench = bench(6).await;
    let (cancel, cancelled) = cancellation();
    let cancel = std::sync::Mutex::new(Some(cancel));
    let fleet = bench.fleet().concurrency(2).waves([]).with(|rotator| {
        let cancel = move || drop(cancel.lock().unwrap().take());
        // The first secret that is delivered cancels the fleet.
        rotator.cancel_when(cancelled).observe(move |record| {
            if record.state.name() == "delivered" {
                cancel();
            }
        })
    });
    let (summary, order) = bench.rotate(&fleet, bench.fleet_keys()).await;
    assert!(summary.unfinished > 0 && summary.unfinished == order.len(), "{summary:?} {order:?}");
    assert!(order.iter().all(|(_, result)| result == "unfinished") && order.len() <= 2, "{order:?}");
    assert_eq!((summary.done, summary.failed), (0, 0));
    assert!(summary.halted.unwrap().contains("cancelled"));

    let journal = MemoryJournal::new();
    let fleet = Fleet::new(bench.provider.clone(), journal.clone());
    let fleet = fleet.with(|rotator| rotator.cancel_when(std::future::ready(())));
    let (summary, order) = bench.rotate(&fleet, bench.fleet_keys()).await;
    assert!(order.is_empty() && summary.halted.unwrap().contains("cancelled"), "{order:?}");
    assert!(journal.latest(1).await.unwrap().is_empty(), "no rotation has started");
}

/// Returns a handle, and a future that ends when the handle is dropped.
fn cancellation() -> (tokio::sync::oneshot::Sender<()>, impl Future<Output = ()>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    (sender, async { drop(receiver.await) })
}

#[tokio::test]
async fn keys_are_selected_by_name_age_and_expiry() {
    let bench = bench(1).await;
    let now = Utc::now();
    let key = bench.provider.get(bench.keys[0].0.id()).await.unwrap();
    let matches = |selector: Selector| selector.matches(&key, now);
    let days = TimeDelta::days;
    assert!(matches(Selector::new()));
    assert!(matches(Selector::new().named("ci-*").unwrap()) && !matches(Selector::new().named("cd-*").unwrap()));
    assert!(matches(Selector::new().expiring_within(days(91))) && !matches(Selector::new().expiring_within(days(89))));
    assert!(!matches(Selector::new().older_than(days(1))));
    assert!(Selector::new().older_than(days(1)).matches(&key, now + days(2)));
    // The caller's clock decides which keys have expired, not this machine's.
    assert_eq!(Selector::new().exclusion(&key, now + days(91)), Some(Exclusion::Dead));
    assert!(Selector::new().named("[").is_err());
    bench.provider.revoke(key.id(), &api_keyring::Revocation::new()).await.unwrap();
    let dead = bench.provider.get(key.id()).await.unwrap();
    assert!(!Selector::new().matches(&dead, now));
    for (selector, key, exclusion) in [
        (Selector::new(), &key, None),
        (Selector::new(), &dead, Some(Exclusion::Dead)),
        (Selector::new().named("cd-*").unwrap(), &key, Some(Exclusion::Name)),
        (Selector::new().older_than(days(1)), &key, Some(Exclusion::Age)),
        (Selector::new().expiring_within(days(1)), &key, Some(Exclusion::Expiry)),
    ] {
        assert_eq!(selector.exclusion(key, now), exclusion);
    }
}
