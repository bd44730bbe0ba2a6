//! An old key that goes only once others were seen to use the new one, and nobody the old one.

use std::time::Duration;

use api_keyring::{Clock as _, ManualClock, Memory, Provider, ProviderExt as _, SharedSecret};
use api_keyring_emulator::{Emulator, Revision};
use api_keyring_rotation::{MemoryJournal, MemorySink, Plan, Record, RotateKey, Rotator, State};
use chrono::{TimeDelta, Utc};

use crate::bench::{Bench, bench_of, monad, refusal};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

impl Bench {
    fn rotate_once_unused(&self) -> RotateKey {
        self.rotate().unused_for(HALF_AN_HOUR)
    }

    /// Lets time pass, and has somebody look.
    async fn look_after(&self, time: Duration, record: &Record) -> Record {
        self.clock.advance(time);
        self.rotator.resume(&record.id).await.unwrap()
    }
}

#[tokio::test]
async fn the_old_key_goes_once_others_use_the_new_one_and_nobody_the_old_one() {
    for provider in [Memory::new(), Memory::like_monad()] {
        let bench = bench_of(provider).await;
        assert!(bench.works(bench.old.secret()).await);
        let record = bench.rotator.rotate(&bench.rotate_once_unused()).await.unwrap();
        let evidence = record.evidence.clone().unwrap();
        assert!(!evidence.new_is_used, "its own looks are not those of others");
        let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
        // The vendor had time to show those.
        assert!(evidence.old_since - (*until - TimeDelta::hours(1)) >= TimeDelta::seconds(60), "{evidence:?}");
        // The grace is over, and nobody has used the new key; then somebody still has the old one.
        assert_eq!(bench.look_after(Duration::from_secs(7200), &record).await.state, record.state);
        assert!(bench.works(bench.old.secret()).await);
        let seen = bench.look_after(Duration::from_secs(60), &record).await;
        let seen = seen.evidence.unwrap();
        assert!(!seen.new_is_used && seen.old_since > evidence.old_since, "{seen:?}");
        // Both are in use.
        assert!(bench.works(&bench.current().await).await);
        assert!(bench.look_after(Duration::from_secs(60), &record).await.evidence.unwrap().new_is_used);
        bench.clock.advance(Duration::from_secs(1500));
        assert!(bench.works(bench.old.secret()).await);
        assert_eq!(bench.look_after(Duration::from_secs(600), &record).await.state, record.state);
        // Half an hour after it was last seen to have been used.
        let done = bench.look_after(HALF_AN_HOUR, &record).await;
        assert_eq!(done.state.name(), "done");
        assert!(!bench.works(bench.old.secret()).await && bench.works(&bench.current().await).await);
    }
}

#[tokio::test]
async fn a_quiet_old_key_is_waited_for_no_longer_than_the_grace() {
    let bench = bench_of(Memory::new()).await;
    let record = bench.rotator.rotate(&bench.rotate_once_unused()).await.unwrap();
    let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
    assert!(bench.works(&bench.current().await).await);
    let left = (*until - bench.clock.now()).to_std().unwrap();
    // Not before.
    let early = bench.look_after(left - Duration::from_secs(61), &record).await;
    assert_eq!(early.state, record.state);
    assert_eq!(bench.look_after(Duration::from_secs(61), &record).await.state.name(), "done");
}

#[tokio::test]
async fn evidence_that_does_not_come_can_be_waived() {
    let bench = bench_of(Memory::new()).await;
    let record = bench.rotator.rotate(&bench.rotate_once_unused()).await.unwrap();
    assert!(refusal(bench.rotator.waive_evidence(&record.id, " ").await).contains("say why"));
    // The grace is kept.
    let why = "the nightly job runs next week";
    let waiting = bench.rotator.waive_evidence(&record.id, why).await.unwrap();
    assert_eq!((&waiting.state, waiting.waived.as_deref()), (&record.state, Some(why)));
    let done = bench.look_after(Duration::from_secs(3600), &record).await;
    assert_eq!((done.state.name(), done.waived.as_deref()), ("done", Some(why)));

    let plain = bench.rotator.plan(&RotateKey::new(bench.old.id().clone())).await;
    assert!(plain.is_err(), "the old key is gone");
    let State::Done { key, .. } = done.state else { panic!("{:?}", done.state) };
    let record = bench.rotator.rotate(&RotateKey::new(key)).await.unwrap();
    let refused = refusal(bench.rotator.waive_evidence(&record.id, why).await);
    assert!(refused.contains("nothing to waive"), "{refused}");
}

#[tokio::test]
async fn a_new_key_that_is_gone_stops_the_rotation() {
    let bench = bench_of(Memory::new()).await;
    let record = bench.rotator.rotate(&bench.rotate_once_unused()).await.unwrap();
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    bench.provider.delete(&new.key).await.unwrap();
    let stuck = bench.look_after(Duration::from_secs(60), &record).await;
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("the new key is gone"), "{why}");
    assert!(bench.works(bench.old.secret()).await);
}

#[tokio::test]
async fn an_old_key_that_is_gone_is_not_waited_for() {
    let bench = bench_of(Memory::new()).await;
    let record = bench.rotator.rotate(&bench.rotate_once_unused()).await.unwrap();
    bench.provider.delete(bench.old.id()).await.unwrap();
    assert!(bench.works(&bench.current().await).await);
    assert_eq!(bench.look_after(Duration::from_secs(3600), &record).await.state.name(), "done");
}

#[tokio::test]
async fn what_could_not_be_shown_is_refused() {
    let bench = bench_of(Memory::new()).await;
    for rotate in [bench.rotate_once_unused().expire_old(), bench.rotate_once_unused().in_place()] {
        assert!(refusal(bench.rotator.plan(&rotate).await).contains("used or not"));
    }
    let own = bench.rotator.clone().own_credential(SharedSecret::new(bench.old.secret().clone()));
    assert!(refusal(own.plan(&bench.rotate_once_unused()).await).contains("the one that is used here"));
    assert_eq!(bench.rotate_once_unused().leaked().unused_for, None);
}

#[tokio::test]
async fn a_vendor_that_shows_no_use_is_found_out() {
    let clock = ManualClock::new(Utc::now());
    let emulator = Emulator::builder().revision(Revision::Documented).start().await.unwrap();
    let old = emulator.monad().add_keys(1).remove(0);
    let provider = monad(&emulator);
    let sink = MemorySink::holding(old.secret.clone());
    let journal = MemoryJournal::new().clock(clock.clone());
    let rotator = Rotator::new(provider.clone(), sink.clone(), journal).clock(clock);
    assert!(provider.accepts(&old.secret.as_str().into()).await.unwrap());
    let rotate = RotateKey::new(old.id.parse().unwrap()).unused_for(HALF_AN_HOUR);
    assert!(refusal(rotator.plan(&rotate).await).contains("does not show any use"));

    // A vendor that has ceased to tell, since the plan was made.
    let mut rotate = RotateKey::new(old.id.parse().unwrap());
    rotate.unused_for = None;
    let plan = rotator.plan(&rotate).await.unwrap();
    let mut plan = serde_json::to_value(plan).unwrap();
    plan["unused_for"] = serde_json::json!({"seconds": 1800, "shown_by": "get"});
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let step = plan.steps().into_iter().find(|step| step.what.contains("nobody key")).unwrap();
    assert_eq!(step.requests.len(), 4);
    let record = rotator.start(plan).await.unwrap();
    let stuck = rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("does not show that it was"), "{why}");
    let waived = rotator.waive_evidence(&record.id, "this vendor does not tell").await.unwrap();
    assert_eq!(waived.state.name(), "promoted");
}
