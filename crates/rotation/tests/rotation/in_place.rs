//! Rotation in place, with obstacles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{
    CallInfo, Layer, Mark, Memory, NewKey, Operation, Provider as _, ProviderExt as _, Regeneration, Secret, SendCall,
    SharedSecret,
};
use api_keyring_rotation::{
    Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing, MemoryJournal, MemorySink, Prune,
    Pruned, Record, RotateError, RotationId, Rotator, Sink as _, SinkError, Slot, State, Store,
};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::cut_points::{CutJournal, CutPoints};
use crate::fixture::Fixture;

async fn fixture_in_place() -> Fixture {
    Fixture::with_provider(Memory::like_monad()).await
}

/// Checks that a rotation in place is done, and that users find the one secret that works.
async fn done(fixture: &Fixture, rotated: Result<Record, RotateError>) {
    let record = rotated.unwrap();
    assert_eq!(record.state.name(), "done", "{record:?}");
    assert!(fixture.works(&fixture.current().await).await && !fixture.works(fixture.old.secret()).await);
}

/// A process that is held up right before it requests a secret, while something happens.
#[derive(Clone)]
struct HeldUp(Arc<dyn Fn() + Send + Sync>);

impl HeldUp {
    fn before_regenerate(meanwhile: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(meanwhile))
    }
}

impl std::fmt::Debug for HeldUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldUp")
    }
}

#[async_trait]
impl Layer for HeldUp {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> api_keyring::Result<T> {
        if call.operation == Operation::Regenerate {
            (self.0)();
        }
        send().await
    }
}

/// A sink that refuses writes for some time.
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
async fn a_cancellation_waits_until_the_only_working_secret_is_kept() {
    let fixture = fixture_in_place().await;
    let (refusals, refused) = (Arc::new(AtomicUsize::new(3)), Arc::new(Notify::new()));
    let busy = Busy { sink: fixture.sink.clone(), refusals, refused: Arc::clone(&refused) };
    let stopping = fixture.rotator.with_sink(busy).cancel_when(async move { refused.notified().await });
    let stopped = stopping.rotate(&fixture.rotate().in_place()).await.unwrap_err();
    assert!(matches!(stopped, RotateError::Cancelled), "{stopped:?}");
    let record = fixture.journal.unfinished().await.unwrap().remove(0);
    assert_eq!((record.state.name(), record.marks.len()), ("delivered", 1));
    done(&fixture, fixture.rotator.resume(&record.id).await).await;
    assert_eq!(fixture.journal.load(&record.id).await.unwrap().unwrap().marks.len(), 1, "no other was asked for");
}

#[tokio::test]
async fn lost_answers_are_requested_again_on_resume() {
    let fixture = fixture_in_place().await;
    for _ in 0..7 {
        drop(fixture.inject.clone().losing_answer(Operation::Regenerate));
    }
    let attention = fixture.rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("check the key at the vendor") && fixture.inject.left() == 2, "{why}");
    done(&fixture, fixture.rotator.resume(&attention.id).await).await;
}

#[tokio::test]
async fn a_secret_that_left_its_slot_is_requested_again() {
    let fixture = fixture_in_place().await;
    let sink = fixture.sink.clone();
    let forgetting = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "delivered" && record.marks.len() == 1 {
            sink.remove(&Slot::Pending(record.marks[0].clone())).now_or_never().unwrap().unwrap();
        }
    });
    done(&fixture, forgetting.rotate(&fixture.rotate().in_place()).await).await;
}

#[tokio::test]
async fn another_key_of_the_same_name_is_left_alone() {
    let fixture = fixture_in_place().await;
    let plan = fixture.rotator.plan(&fixture.rotate().in_place()).await.unwrap();
    let namesake = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    // One namesake appears between the plan and its start, and one after the key itself is gone.
    let before = fixture.provider.create(&namesake).await.unwrap();
    let record = fixture.rotator.start(plan).await.unwrap();
    assert_eq!(record.plan.namesakes, [before.id().clone()]);
    fixture.provider.delete(fixture.old.id()).await.unwrap();
    let after = fixture.provider.create(&namesake).await.unwrap();
    let attention = fixture.rotator.resume(&record.id).await.unwrap();
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    assert!(why.contains("is gone"), "{why}");
    assert!(fixture.works(before.secret()).await && fixture.works(after.secret()).await);
}

#[tokio::test]
async fn a_secret_that_the_journal_does_not_know_is_found_in_the_sink() {
    let fixture = fixture_in_place().await;
    // The key is the rotator's own credential, which cannot request another secret after its own has ended.
    let own = SharedSecret::new(fixture.old.secret().clone());
    let provider = fixture.provider.with_secret(fixture.old.secret()).unwrap();
    let rotator = Rotator::new(provider, fixture.sink.clone(), fixture.journal.clone()).clock(fixture.clock.clone());
    let rotator = rotator.own_credential(own.clone());
    let plan = rotator.plan(&fixture.rotate().in_place().even_own()).await.unwrap();
    let mut record = rotator.start(plan).await.unwrap();
    let lease = fixture.journal.take(&record.id, "a full disk", std::time::Duration::from_secs(1)).await.unwrap();
    let mark = Mark::random();
    record.version += 1;
    record.marks.push(mark.clone());
    record.state = State::Issuing { mark: mark.clone() };
    fixture.journal.save(&lease, &record).await.unwrap();
    let issued = fixture.provider.regenerate(fixture.old.id(), &Regeneration::new()).await.unwrap();
    fixture.sink.put(&mark, issued.secret()).await.unwrap();
    fixture.journal.release(&lease).await.unwrap();
    done(&fixture, rotator.resume(&record.id).await).await;
    assert_eq!(own.get(), *issued.secret());
}

#[tokio::test]
async fn a_secret_that_somebody_else_requested_and_delivered_can_stay() {
    let fixture = fixture_in_place().await;
    let (sink, provider, old) = (fixture.sink.clone(), fixture.provider.clone(), fixture.old.id().clone());
    let overtaken = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "delivered" {
            let theirs = provider.regenerate(&old, &Regeneration::new()).now_or_never().unwrap().unwrap();
            sink.write(&Slot::Current, theirs.secret()).now_or_never().unwrap().unwrap();
            sink.remove(&Slot::Pending(record.marks[0].clone())).now_or_never().unwrap().unwrap();
        }
    });
    let attention = overtaken.rotate(&fixture.rotate().in_place()).await.unwrap();
    assert!(matches!(&attention.state, State::NeedsAttention { why, .. } if why.contains("waive")), "{attention:?}");
    done(&fixture, fixture.rotator.waive_evidence(&attention.id, "it was asked for by hand").await).await;
}

#[tokio::test]
async fn an_abort_after_a_request_leaves_the_current_secret_alone() {
    let fixture = fixture_in_place().await;
    // The key is deleted after the promotion, so the previous slot holds the old secret.
    let (provider, old) = (fixture.provider.clone(), fixture.old.id().clone());
    let rotator = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "promoted" {
            provider.delete(&old).now_or_never().unwrap().unwrap();
        }
    });
    let attention = rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    let State::NeedsAttention { was, why } = &attention.state else { panic!("{attention:?}") };
    assert!(was.name() == "planned" && why.contains("is gone"), "{why}");
    // Somebody creates another key, and puts its secret there.
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    let other = fixture.provider.create(&new.marked(&Mark::random())).await.unwrap();
    fixture.sink.write(&Slot::Current, other.secret()).await.unwrap();
    let aborted = fixture.rotator.abort(&attention.id, "its key is gone").await.unwrap();
    let State::Aborted { why } = &aborted.state else { panic!("{aborted:?}") };
    assert!(why.contains("its key is gone") && why.contains("may no longer work"), "{why}");
    assert_eq!(&fixture.current().await, other.secret());
    assert_eq!(fixture.sink.previous(&attention.marks[0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_pending_secret_that_works_is_not_lost_by_an_abort() {
    let fixture = fixture_in_place().await;
    for _ in 0..5 {
        drop(fixture.inject.clone().losing_answer(Operation::Regenerate));
    }
    let attention = fixture.rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    assert_eq!(attention.state.name(), "stuck");
    // The sink shows a secret late that it took earlier.
    let issued = fixture.provider.regenerate(fixture.old.id(), &Regeneration::new()).await.unwrap();
    fixture.sink.put(&attention.marks[1], issued.secret()).await.unwrap();
    for refused in [
        fixture.rotator.abort(&attention.id, "not today").await,
        fixture.rotator.abort_leaving_sink(&attention.id, "not today").await,
    ] {
        assert!(matches!(refused, Err(RotateError::Refused(_))), "{refused:?}");
    }
    assert_eq!(fixture.sink.pending(&attention.marks[1]).await.unwrap().as_ref(), Some(issued.secret()));
    // Resuming finds it.
    done(&fixture, fixture.rotator.resume(&attention.id).await).await;
    assert_eq!(&fixture.current().await, issued.secret());
}

#[tokio::test]
async fn an_abort_empties_the_slots_of_lost_secrets() {
    let fixture = fixture_in_place().await;
    for _ in 0..5 {
        drop(fixture.inject.clone().losing_answer(Operation::Regenerate));
    }
    let attention = fixture.rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    fixture.sink.put(&attention.marks[1], &"refused".into()).await.unwrap();
    let why = fixture.rotator.abort(&attention.id, "not today").await.unwrap_err().to_string();
    assert!(why.contains("already requested a new secret"), "the key exists: {why}");
    let aborted = fixture.rotator.abort_leaving_sink(&attention.id, "not today").await.unwrap();
    assert_eq!(aborted.state.name(), "aborted");
    assert_eq!(fixture.sink.pending(&attention.marks[1]).await.unwrap(), None);
    assert!(fixture.provider.exists(fixture.old.id()).await.unwrap(), "the key itself is left alone");
}

#[tokio::test]
async fn a_late_request_does_not_reopen_an_aborted_rotation() {
    // The sink refuses the first write, so the rotator has to keep the secret in a second attempt.
    for refusals in [0, 1] {
        let fixture = fixture_in_place().await;
        let (clock, journal) = (fixture.clock.clone(), fixture.journal.clone());
        let refusals = Arc::new(AtomicUsize::new(refusals));
        let busy = Busy { sink: fixture.sink.clone(), refusals, refused: Arc::default() };
        let aborting = HeldUp::before_regenerate(move || {
            clock.advance(Duration::from_secs(301));
            let mut aborted = journal.latest(1).now_or_never().unwrap().unwrap().remove(0);
            let lease = journal.take(&aborted.id, "another process", Duration::from_secs(300));
            let lease = lease.now_or_never().unwrap().unwrap();
            aborted.version += 1;
            aborted.state = State::Aborted { why: "a person aborted it".to_owned() };
            journal.save(&lease, &aborted).now_or_never().unwrap().unwrap();
            journal.release(&lease).now_or_never().unwrap().unwrap();
        });
        let provider = fixture.provider.clone().layered(aborting);
        let late = Rotator::new(provider, busy, fixture.journal.clone()).clock(fixture.clock.clone());
        let refused = late.rotate(&fixture.rotate().in_place()).await.unwrap_err();
        assert!(matches!(&refused, RotateError::Refused(why) if why.contains("was aborted")), "{refused:?}");
        let record = fixture.journal.latest(1).await.unwrap().remove(0);
        assert_eq!(record.state.name(), "aborted");
        let kept = fixture.sink.pending(&record.marks[0]).await.unwrap().unwrap();
        assert!(fixture.works(&kept).await && fixture.current().await == *fixture.old.secret());
    }
}

#[tokio::test]
async fn a_late_secret_is_kept_before_the_rotator_waits_for_the_lease() {
    let fixture = fixture_in_place().await;
    let (sink, clock, inner) = (fixture.sink.clone(), fixture.clock.clone(), fixture.journal.clone());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let cut_points = {
        let (taken, sink, inner) = (Arc::clone(&taken), sink.clone(), inner.clone());
        CutPoints::new(None, move |point| {
            let record = inner.latest(1).now_or_never().unwrap().unwrap();
            if point == "before journal take"
                && let Some(mark) = record.first().and_then(|record| record.marks.first())
            {
                taken.lock().unwrap().push(sink.pending(mark).now_or_never().unwrap().unwrap());
            }
        })
    };
    let journal = CutJournal { journal: inner.clone(), cut_points, begun: Arc::default() };
    let late = Rotator::new(
        fixture.provider.clone().layered(HeldUp::before_regenerate({
            let clock = clock.clone();
            move || {
                clock.advance(Duration::from_secs(301));
                let record = inner.latest(1).now_or_never().unwrap().unwrap().remove(0);
                inner.take(&record.id, "another process", Duration::from_secs(60)).now_or_never().unwrap().unwrap();
            }
        })),
        sink.clone(),
        journal,
    )
    .clock(clock);
    done(&fixture, late.rotate(&fixture.rotate().in_place()).await).await;
    // While the other process holds the lease, the only secret that works is already in its pending slot.
    let taken = taken.lock().unwrap();
    assert!(taken.len() > 1 && taken.iter().all(|kept| kept.is_some()), "{taken:?}");
}

#[tokio::test]
async fn several_keys_that_may_have_taken_the_place_are_named() {
    let fixture = Fixture::with_provider(Memory::like_monad().replacing_on_regenerate()).await;
    let lost = fixture.inject.clone().losing_answer(Operation::Regenerate);
    let new = NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90));
    let provider = fixture.provider.clone();
    let created = Arc::new(Mutex::new(None));
    let rotator = fixture.rotator.clone().observe({
        let created = Arc::clone(&created);
        move |record| {
            if record.state.name() == "lost" && created.lock().unwrap().is_none() {
                let other = provider.create(&new).now_or_never().unwrap().unwrap();
                *created.lock().unwrap() = Some(other.id().clone());
            }
        }
    });
    let attention = rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    drop(lost);
    let State::NeedsAttention { why, .. } = &attention.state else { panic!("{attention:?}") };
    let other = created.lock().unwrap().clone().unwrap();
    assert!(why.contains("may have taken its place") && why.contains(other.as_str()), "{why}");
    // The key is not gone, so an abort that gives it up has to say so.
    assert!(fixture.rotator.abort(&attention.id, "not today").await.is_err());
    fixture.provider.delete(&other).await.unwrap();
    done(&fixture, fixture.rotator.resume(&attention.id).await).await;
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_keeps_no_lease() {
    let fixture = fixture_in_place().await;
    let plan = fixture.rotator.plan(&fixture.rotate().in_place()).await.unwrap();
    let record = fixture.rotator.start(plan).await.unwrap();
    let unreadable = BrokenJournal { journal: fixture.journal.clone(), is_readable: false };
    let rotator = Rotator::new(fixture.provider.clone(), fixture.sink.clone(), unreadable).clock(fixture.clock.clone());
    let failed = rotator.resume(&record.id).await.unwrap_err();
    assert!(matches!(failed, RotateError::Journal(JournalError::Unavailable(_))), "{failed:?}");
    // Others need not wait for the end of the lease.
    done(&fixture, fixture.rotator.resume(&record.id).await).await;
}

#[tokio::test]
async fn the_old_secret_does_not_end_before_the_journal_has_room() {
    let fixture = fixture_in_place().await;
    let plan = fixture.rotator.plan(&fixture.rotate().in_place()).await.unwrap();
    let record = fixture.rotator.start(plan).await.unwrap();
    let full = BrokenJournal { journal: fixture.journal.clone(), is_readable: true };
    let rotator = Rotator::new(fixture.provider.clone(), fixture.sink.clone(), full).clock(fixture.clock.clone());
    let failed = rotator.resume(&record.id).await.unwrap_err();
    assert!(matches!(failed, RotateError::Journal(JournalError::Transient(_))), "{failed:?}");
    assert!(fixture.works(fixture.old.secret()).await);
    assert_eq!(fixture.journal.load(&record.id).await.unwrap().unwrap(), record, "nothing was requested");
    done(&fixture, fixture.rotator.resume(&record.id).await).await;
}

/// A journal without room, whose records may be unreadable.
#[derive(Debug)]
struct BrokenJournal {
    journal: MemoryJournal,
    is_readable: bool,
}

#[async_trait]
impl Journal for BrokenJournal {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        self.journal.begin(record).await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        match self.is_readable {
            true => self.journal.load(id).await,
            false => Err(JournalError::Unavailable("the disk is slow".into())),
        }
    }

    async fn make_room(&self) -> Result<(), JournalError> {
        Err(JournalError::Transient("the disk is full".into()))
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        self.journal.list(listing, after, limit).await
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        self.journal.find_by_mark(mark).await
    }

    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.journal.versions(id, from, limit).await
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError> {
        self.journal.prune(older_than, prune).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        self.journal.take(id, holder, time).await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        self.journal.save(lease, record).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        self.journal.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.journal.release(lease).await
    }
}
