//! Evidence of use: the old key is retired only after others use the new one, and nothing uses the old one.

use std::time::Duration;

use api_keyring::{Clock as _, ManualClock, Memory, Provider, ProviderExt as _, SharedSecret};
use api_keyring_emulator::{Emulator, Revision};
use api_keyring_rotation::{MemoryJournal, MemorySink, Plan, Record, RotateKey, Rotator, State};
use chrono::{TimeDelta, Utc};

use crate::fixture::{Fixture, monad, refusal};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

impl Fixture {
    fn rotate_once_unused(&self) -> RotateKey {
        self.rotate().unused_for(HALF_AN_HOUR)
    }

    /// Lets time pass, and resumes.
    async fn look_after(&self, time: Duration, record: &Record) -> Record {
        self.clock.advance(time);
        self.rotator.resume(&record.id).await.unwrap()
    }
}

#[tokio::test]
async fn the_old_key_is_retired_after_others_use_the_new_one_and_nothing_uses_the_old_one() {
    for provider in [Memory::new(), Memory::like_monad()] {
        let fixture = Fixture::with_provider(provider).await;
        assert!(fixture.works(fixture.old.secret()).await);
        let record = fixture.rotator.rotate(&fixture.rotate_once_unused()).await.unwrap();
        let evidence = record.evidence.clone().unwrap();
        assert!(!evidence.new_is_used, "its own looks are not those of others");
        let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
        // The vendor has had time to show these uses.
        assert!(evidence.old_since - (*until - TimeDelta::hours(1)) >= TimeDelta::seconds(60), "{evidence:?}");
        // The grace is over, but nothing uses the new key yet. Then something uses both.
        assert_eq!(fixture.look_after(Duration::from_secs(7200), &record).await.state, record.state);
        assert!(fixture.works(fixture.old.secret()).await);
        let seen = fixture.look_after(Duration::from_secs(60), &record).await;
        let seen = seen.evidence.unwrap();
        assert!(!seen.new_is_used && seen.old_since > evidence.old_since, "{seen:?}");
        // Both keys are in use.
        assert!(fixture.works(&fixture.current().await).await);
        assert!(fixture.look_after(Duration::from_secs(60), &record).await.evidence.unwrap().new_is_used);
        fixture.clock.advance(Duration::from_secs(1500));
        assert!(fixture.works(fixture.old.secret()).await);
        assert_eq!(fixture.look_after(Duration::from_secs(600), &record).await.state, record.state);
        // Half an hour after the last use that the vendor showed.
        let done = fixture.look_after(HALF_AN_HOUR, &record).await;
        assert_eq!(done.state.name(), "done");
        assert!(!fixture.works(fixture.old.secret()).await && fixture.works(&fixture.current().await).await);
    }
}

#[tokio::test]
async fn an_unused_old_key_is_retired_at_the_end_of_the_grace() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    let record = fixture.rotator.rotate(&fixture.rotate_once_unused()).await.unwrap();
    let State::Promoted { until, .. } = &record.state else { panic!("{record:?}") };
    assert!(fixture.works(&fixture.current().await).await);
    let left = (*until - fixture.clock.now()).to_std().unwrap();
    // It is not retired before.
    let early = fixture.look_after(left - Duration::from_secs(61), &record).await;
    assert_eq!(early.state, record.state);
    assert_eq!(fixture.look_after(Duration::from_secs(61), &record).await.state.name(), "done");
}

#[tokio::test]
async fn missing_evidence_can_be_waived() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    let record = fixture.rotator.rotate(&fixture.rotate_once_unused()).await.unwrap();
    assert!(refusal(fixture.rotator.waive_evidence(&record.id, " ").await).contains("say why"));
    // The waiver does not shorten the grace.
    let why = "the nightly job runs next week";
    let waiting = fixture.rotator.waive_evidence(&record.id, why).await.unwrap();
    assert_eq!((&waiting.state, waiting.waived.as_deref()), (&record.state, Some(why)));
    let done = fixture.look_after(Duration::from_secs(3600), &record).await;
    assert_eq!((done.state.name(), done.waived.as_deref()), ("done", Some(why)));

    let plain = fixture.rotator.plan(&RotateKey::new(fixture.old.id().clone())).await;
    assert!(plain.is_err(), "the old key is gone");
    let State::Done { key, .. } = done.state else { panic!("{:?}", done.state) };
    let record = fixture.rotator.rotate(&RotateKey::new(key)).await.unwrap();
    let refused = refusal(fixture.rotator.waive_evidence(&record.id, why).await);
    assert!(refused.contains("nothing to waive"), "{refused}");
}

#[tokio::test]
async fn a_missing_new_key_needs_attention() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    let record = fixture.rotator.rotate(&fixture.rotate_once_unused()).await.unwrap();
    let State::Promoted { new, .. } = &record.state else { panic!("{record:?}") };
    fixture.provider.delete(&new.key).await.unwrap();
    let attention = fixture.look_after(Duration::from_secs(60), &record).await;
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("the new key is gone"), "{why}");
    assert!(fixture.works(fixture.old.secret()).await);
}

#[tokio::test]
async fn a_missing_old_key_needs_no_evidence() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    let record = fixture.rotator.rotate(&fixture.rotate_once_unused()).await.unwrap();
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    assert!(fixture.works(&fixture.current().await).await);
    assert_eq!(fixture.look_after(Duration::from_secs(3600), &record).await.state.name(), "done");
}

#[tokio::test]
async fn evidence_that_no_vendor_could_show_is_refused() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    for rotate in [fixture.rotate_once_unused().expire_old(), fixture.rotate_once_unused().in_place()] {
        assert!(refusal(fixture.rotator.plan(&rotate).await).contains("used or not"));
    }
    let own = fixture.rotator.clone().own_credential(SharedSecret::new(fixture.old.secret().clone()));
    assert!(refusal(own.plan(&fixture.rotate_once_unused()).await).contains("your own credential"));
    assert_eq!(fixture.rotate_once_unused().leaked().unused_for, None);
}

#[tokio::test]
async fn a_vendor_that_shows_no_use_is_detected() {
    let clock = ManualClock::new(Utc::now());
    let emulator = Emulator::builder().revision(Revision::Documented).start().await.unwrap();
    let old = emulator.monad().add_keys(1).remove(0);
    let provider = monad(&emulator);
    let sink = MemorySink::holding(old.secret.clone());
    let journal = MemoryJournal::new().clock(clock.clone());
    let rotator = Rotator::new(provider.clone(), sink.clone(), journal).clock(clock);
    assert!(provider.accepts(&old.secret.as_str().into()).await.unwrap().is_accepted());
    let rotate = RotateKey::new(old.id.parse().unwrap()).unused_for(HALF_AN_HOUR);
    assert!(refusal(rotator.plan(&rotate).await).contains("does not show any use"));

    // After the plan, the vendor stops showing use.
    let mut rotate = RotateKey::new(old.id.parse().unwrap());
    rotate.unused_for = None;
    let plan = rotator.plan(&rotate).await.unwrap();
    let mut plan = serde_json::to_value(plan).unwrap();
    plan["unused_for"] = serde_json::json!({"seconds": 1800, "shown_by": "get"});
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let step = plan.steps().into_iter().find(|step| step.what.contains("nothing uses key")).unwrap();
    assert_eq!(step.requests.len(), 4);
    let record = rotator.start(plan).await.unwrap();
    let attention = rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("does not show it"), "{why}");
    let waived = rotator.waive_evidence(&record.id, "this vendor does not tell").await.unwrap();
    assert_eq!(waived.state.name(), "promoted");
}
