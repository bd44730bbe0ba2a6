//! Fleets: which keys are selected, in which order they are rotated, and what halts them.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::{IssuedKey, ListKeys, ManualClock, Memory, NewKey, Provider, ProviderExt as _, Secret, SharedSecret};
use api_keyring_rotation::{
    Fleet, FleetKey, FleetSummary, KeyResult, MemoryJournal, MemorySink, RotateKey, Selector, Sink as _,
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

#[tokio::test]
async fn your_own_credential_comes_last() {
    let bench = bench(6).await;
    let (own, _) = &bench.keys[1];
    let secret = SharedSecret::new(own.secret().clone());
    let fleet = bench.fleet().with(|rotator| rotator.own_credential(secret.clone()));
    let (summary, order) = bench.rotate(&fleet, bench.fleet_keys()).await;
    assert_eq!((summary.done, &*order.last().unwrap().0), (6, own.id().as_str()));
    assert_ne!(secret.get(), *own.secret(), "the provider must use the new secret from now on");
    assert!(bench.works(&secret.get()).await);
}

#[tokio::test]
async fn your_own_credential_is_never_a_canary_and_is_recognized_even_if_its_sink_is_empty() {
    let bench = bench(4).await;
    let (own, own_sink) = &bench.keys[0];
    let secret = SharedSecret::new(own.secret().clone());
    let fleet = bench.fleet().with(|rotator| rotator.own_credential(secret.clone())).waves([1]).concurrency(4);
    let mut keys = bench.fleet_keys();
    keys[0] = FleetKey { rotate: keys[0].rotate.clone().adopt_sink(), sink: Arc::new(MemorySink::new()) };
    // The next key is the canary, and it fails.
    keys[1].rotate.expiry = Some(api_keyring::Expiry::At(Utc::now() - TimeDelta::days(1)));
    let (summary, order) = bench.rotate(&fleet, keys.clone()).await;
    assert_eq!((summary.done, summary.failed, order.len()), (0, 1, 1), "{summary:?}");
    // Two entries of the fleet may be the same credential. Both are rotated in the end.
    keys[1] = FleetKey { rotate: keys[0].rotate.clone(), sink: Arc::new(own_sink.clone()) };
    let (summary, order) = bench.rotate(&fleet, keys).await;
    let own = own.id().as_str();
    assert_eq!((summary.done, &*order[2].0, &*order[3].0), (3, own, own), "{order:?}");
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
    assert!(Selector::new().named("[").is_err());
    bench.provider.revoke(key.id(), &api_keyring::Revocation::new()).await.unwrap();
    let dead = bench.provider.get(key.id()).await.unwrap();
    assert!(!Selector::new().matches(&dead, now));
}
