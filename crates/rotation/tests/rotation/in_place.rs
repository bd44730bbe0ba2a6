//! A new secret for the same key, when something stands in its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_keyring::{Mark, Memory, NewKey, Operation, Provider as _, Regeneration, Secret, SharedSecret};
use api_keyring_rotation::{
    Journal as _, MemorySink, Record, RotateError, Rotator, Sink as _, SinkError, Slot, State, Store,
};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::bench::{Bench, bench_of};

async fn bench() -> Bench {
    bench_of(Memory::like_monad()).await
}

/// Rotates in place, and sees that users find the one secret that works.
async fn done(bench: &Bench, rotated: Result<Record, RotateError>) {
    let record = rotated.unwrap();
    assert_eq!(record.state.name(), "done", "{record:?}");
    assert!(bench.works(&bench.current().await).await && !bench.works(bench.old.secret()).await);
}

/// A sink that takes nothing for some time.
#[derive(Clone, Debug)]
struct Busy {
    sink: MemorySink,
    refusals: Arc<AtomicUsize>,
    refused: Arc<Notify>,
}

#[async_trait]
impl Store for Busy {
    fn address(&self) -> String {
        self.sink.address()
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read(&self, place: &Slot) -> Result<Option<Secret>, SinkError> {
        self.sink.read(place).await
    }

    async fn write(&self, place: &Slot, secret: &Secret) -> Result<(), SinkError> {
        let refuses = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuses).is_ok() {
            self.refused.notify_one();
            return Err(SinkError::new("busy"));
        }
        self.sink.write(place, secret).await
    }

    async fn remove(&self, place: &Slot) -> Result<(), SinkError> {
        self.sink.remove(place).await
    }
}

#[tokio::test]
async fn the_only_secret_that_works_is_kept_before_a_request_to_stop_is_heeded() {
    let bench = bench().await;
    let (refusals, refused) = (Arc::new(AtomicUsize::new(3)), Arc::new(Notify::new()));
    let busy = Busy { sink: bench.sink.clone(), refusals, refused: Arc::clone(&refused) };
    let stopping = bench.rotator.with_sink(busy).cancel_when(async move { refused.notified().await });
    let stopped = stopping.rotate(&bench.rotate().in_place()).await.unwrap_err();
    assert!(matches!(stopped, RotateError::Cancelled), "{stopped:?}");
    let record = bench.journal.unfinished().await.unwrap().remove(0);
    assert_eq!((record.state.name(), record.marks.len()), ("delivered", 1));
    done(&bench, bench.rotator.resume(&record.id).await).await;
    assert_eq!(bench.journal.load(&record.id).await.unwrap().unwrap().marks.len(), 1, "no other was asked for");
}

#[tokio::test]
async fn answers_that_are_lost_over_and_over_are_asked_for_again_when_somebody_resumes() {
    let bench = bench().await;
    for _ in 0..7 {
        drop(bench.inject.clone().losing_answer(Operation::Regenerate));
    }
    let stuck = bench.rotator.rotate(&bench.rotate().in_place()).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("look at the key at the vendor") && bench.inject.left() == 2, "{why}");
    done(&bench, bench.rotator.resume(&stuck.id).await).await;
}

#[tokio::test]
async fn a_secret_that_is_gone_from_its_place_is_asked_for_again() {
    let bench = bench().await;
    let sink = bench.sink.clone();
    let forgetting = bench.rotator.clone().observe(move |record| {
        if record.state.name() == "delivered" && record.marks.len() == 1 {
            sink.remove(&Slot::Pending(record.marks[0].clone())).now_or_never().unwrap().unwrap();
        }
    });
    done(&bench, forgetting.rotate(&bench.rotate().in_place()).await).await;
}

#[tokio::test]
async fn a_stranger_of_the_same_name_is_left_alone() {
    let bench = bench().await;
    let plan = bench.rotator.plan(&bench.rotate().in_place()).await.unwrap();
    let namesake = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    // One that comes between the plan and its start, and one in the place of the key itself.
    let before = bench.provider.create(&namesake).await.unwrap();
    let record = bench.rotator.start(plan).await.unwrap();
    assert_eq!(record.plan.namesakes, [before.id().clone()]);
    bench.provider.delete(bench.old.id()).await.unwrap();
    let after = bench.provider.create(&namesake).await.unwrap();
    let stuck = bench.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &stuck.state else { panic!("{stuck:?}") };
    assert!(why.contains("is gone"), "{why}");
    assert!(bench.works(before.secret()).await && bench.works(after.secret()).await);
}

#[tokio::test]
async fn a_secret_that_is_in_the_sink_and_in_no_journal_is_found_there() {
    let bench = bench().await;
    // The key is the one that is used here: it cannot be asked for another secret once that has ended.
    let own = SharedSecret::new(bench.old.secret().clone());
    let provider = bench.provider.with_secret(bench.old.secret()).unwrap();
    let rotator = Rotator::new(provider, bench.sink.clone(), bench.journal.clone()).clock(bench.clock.clone());
    let rotator = rotator.own_credential(own.clone());
    let plan = rotator.plan(&bench.rotate().in_place().even_own()).await.unwrap();
    let mut record = rotator.start(plan).await.unwrap();
    let lease = bench.journal.take(&record.id, "a full disk", std::time::Duration::from_secs(1)).await.unwrap();
    let mark = Mark::random();
    record.version += 1;
    record.marks.push(mark.clone());
    record.state = State::Issuing { mark: mark.clone() };
    bench.journal.save(&lease, &record).await.unwrap();
    let issued = bench.provider.regenerate(bench.old.id(), &Regeneration::new()).await.unwrap();
    bench.sink.put(&mark, issued.secret()).await.unwrap();
    bench.journal.release(&lease).await.unwrap();
    done(&bench, rotator.resume(&record.id).await).await;
    assert_eq!(own.get(), *issued.secret());
}

#[tokio::test]
async fn a_secret_that_somebody_has_asked_for_and_delivered_meanwhile_can_be_left_there() {
    let bench = bench().await;
    let (sink, provider, old) = (bench.sink.clone(), bench.provider.clone(), bench.old.id().clone());
    let overtaken = bench.rotator.clone().observe(move |record| {
        if record.state.name() == "delivered" {
            let theirs = provider.regenerate(&old, &Regeneration::new()).now_or_never().unwrap().unwrap();
            sink.write(&Slot::Current, theirs.secret()).now_or_never().unwrap().unwrap();
            sink.remove(&Slot::Pending(record.marks[0].clone())).now_or_never().unwrap().unwrap();
        }
    });
    let stuck = overtaken.rotate(&bench.rotate().in_place()).await.unwrap();
    assert!(matches!(&stuck.state, State::NeedsAttention { why, .. } if why.contains("waive")), "{stuck:?}");
    done(&bench, bench.rotator.waive_evidence(&stuck.id, "it was asked for by hand").await).await;
}
