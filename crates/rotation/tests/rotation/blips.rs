//! Journals that fail for the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_keyring::{
    Clock as _, Error, ErrorKind, Inject, ListKeys, ManualClock, Memory, NewKey, Operation, Outcome, Provider as _,
    ProviderExt as _,
};
use api_keyring_rotation::{
    Fleet, FleetKey, FleetSummary, Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing,
    MemoryJournal, MemorySink, Prune, Pruned, Record, RotateError, RotateKey, RotationId, Rotator, Sink as _,
};
use async_trait::async_trait;
use futures_util::{TryStreamExt as _, stream};

use crate::fixture::Fixture;
use crate::journals::clock;

/// What becomes of a call that fails.
#[derive(Clone, Copy, Debug)]
enum Effect {
    None,
    /// It has its effect all the same.
    Done,
}

/// A journal whose calls fail for the moment: `count` calls, after the first `after` ones.
#[derive(Clone, Debug)]
struct Blipping {
    journal: MemoryJournal,
    effect: Effect,
    after: usize,
    count: usize,
    calls: Arc<AtomicUsize>,
}

impl Blipping {
    async fn call<T>(&self, call: impl Future<Output = Result<T, JournalError>>) -> Result<T, JournalError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if !(self.after..self.after.saturating_add(self.count)).contains(&number) {
            return call.await;
        }
        if let Effect::Done = self.effect {
            drop(call.await);
        }
        Err(JournalError::Transient("the disk is full".into()))
    }
}

#[async_trait]
impl Journal for Blipping {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        self.call(self.journal.begin(record)).await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        self.call(self.journal.load(id)).await
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        self.call(self.journal.list(listing, after, limit)).await
    }

    async fn find_by_mark(&self, mark: &api_keyring::Mark) -> Result<Option<Record>, JournalError> {
        self.call(self.journal.find_by_mark(mark)).await
    }

    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.call(self.journal.versions(id, from, limit)).await
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError> {
        self.call(self.journal.prune(older_than, prune)).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        self.call(self.journal.take(id, holder, time)).await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        self.call(self.journal.save(lease, record)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        self.call(self.journal.renew(lease)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        self.call(self.journal.release(lease)).await
    }
}

/// The result of a fleet of two keys, and how many of their secrets work in the end.
struct FleetOutcome {
    summary: FleetSummary,
    works: usize,
    calls: usize,
    took: Duration,
}

async fn rotate_two(effect: Effect, after: usize, count: usize) -> FleetOutcome {
    let clock: ManualClock = clock();
    let provider = Memory::new().clock(clock.clone());
    let journal = MemoryJournal::new().clock(clock.clone());
    let journal = Blipping { journal, effect, after, count, calls: Arc::default() };
    let (mut keys, mut sinks) = (Vec::new(), Vec::new());
    for name in ["one", "two"] {
        let key = provider.create(&NewKey::new(name).role("reader")).await.unwrap();
        let sink = MemorySink::holding(key.secret().clone());
        let rotate = RotateKey::new(key.id().clone()).leaked();
        keys.push(FleetKey { rotate, sink: Arc::new(sink.clone()) });
        sinks.push(sink);
    }
    let begun = clock.elapsed();
    let fleet = Fleet::new(provider.clone(), journal.clone()).with(|rotator| rotator.clock(clock.clone()));
    let summary = fleet.rotate(stream::iter(keys), |_, _| {}).await;
    let mut works = 0;
    for sink in &sinks {
        let secret = sink.current().await.unwrap().unwrap();
        works += usize::from(provider.accepts(&secret).await.unwrap().is_accepted());
    }
    FleetOutcome { summary, works, calls: journal.calls.load(Ordering::Relaxed), took: clock.elapsed() - begun }
}

#[tokio::test]
async fn a_fleet_waits_until_the_journal_can_be_used_again() {
    let undisturbed = rotate_two(Effect::None, usize::MAX, 0).await;
    assert!(undisturbed.summary.done == 2 && undisturbed.calls > 20, "{:?}", undisturbed.summary);
    for effect in [Effect::None, Effect::Done] {
        for count in [1, 3] {
            for after in 0..undisturbed.calls {
                let outcome = rotate_two(effect, after, count).await;
                let summary = &outcome.summary;
                let context = format!("{effect:?}, {count} failures from call {after}: {summary:?}");
                assert!(summary.done == 2 && summary.halted.is_none() && outcome.works == 2, "{context}");
            }
        }
    }
    println!("fleets over a journal that fails for the moment: {} cells", 4 * undisturbed.calls);
}

#[tokio::test]
async fn a_fleet_halts_if_the_journal_stays_unusable() {
    for after in [0, 1, 5, 9] {
        let outcome = rotate_two(Effect::None, after, usize::MAX).await;
        let summary = &outcome.summary;
        assert!(summary.failed == 1 && summary.done == 0 && summary.halted.is_some(), "{after}: {summary:?}");
        assert!(summary.halted.as_ref().unwrap().contains("the journal cannot be used for the moment"));
        assert!(outcome.works == 2, "{after}: users have secrets that work");
        let most = Duration::from_secs(300);
        assert!((Duration::from_secs(60)..most).contains(&outcome.took), "{after}: it waited for {:?}", outcome.took);
    }
}

/// Resumes a rotation whose first request was refused, and loses the answer to the second one while the journal fails.
/// Returns the number of the journal's calls.
async fn lose_answer_and_record(operation: Operation, effect: Effect, after: usize, count: usize) -> usize {
    let fixture = Fixture::with_provider(Memory::like_monad()).await;
    let busy = || Error::new(ErrorKind::RateLimited, Outcome::Rejected, "slow down");
    let provider = fixture.provider.clone().layered(Inject::new().before(operation, busy).losing_answer(operation));
    let rotator =
        |journal: Blipping| Rotator::new(provider.clone(), fixture.sink.clone(), journal).clock(fixture.clock.clone());
    let calls = Arc::default();
    let blipping = Blipping { journal: fixture.journal.clone(), effect, after, count, calls };
    let works = Blipping { count: 0, ..blipping.clone() };
    let rotate = match operation {
        Operation::Create => fixture.rotate().leaked(),
        _ => fixture.rotate().in_place(),
    };
    let id = rotator(works.clone()).start(fixture.rotator.plan(&rotate).await.unwrap()).await.unwrap().id;
    drop(rotator(works.clone()).resume(&id).await.unwrap_err());
    blipping.calls.store(0, Ordering::Relaxed);
    drop(rotator(blipping.clone()).resume(&id).await);
    let calls = blipping.calls.load(Ordering::Relaxed);
    // The lease that was not released ends.
    fixture.clock.advance(Duration::from_secs(301));
    let context = format!("{operation}, {effect:?}, {count} failures from call {after}");
    let last = rotator(works).resume(&id).await.unwrap();
    assert_eq!(last.state.name(), "done", "{context}: {last:?}");
    assert!(fixture.works(&fixture.current().await).await, "{context}");
    let keys: Vec<_> = fixture.provider.list(ListKeys::new()).try_collect().await.unwrap();
    let living: Vec<_> = keys.iter().filter(|key| key.name().is_some_and(|name| name.starts_with("ci"))).collect();
    assert_eq!(living.len(), 1, "{context}: {living:?}");
    calls
}

#[tokio::test]
async fn a_request_that_neither_vendor_nor_journal_confirms_leaves_nothing_behind() {
    let mut cells = 0;
    for operation in [Operation::Create, Operation::Regenerate] {
        let calls = lose_answer_and_record(operation, Effect::None, usize::MAX, 0).await;
        assert!(calls > 5, "{operation}: {calls}");
        for (effect, count) in [(Effect::None, 1), (Effect::None, usize::MAX), (Effect::Done, 1)] {
            for after in 0..calls {
                lose_answer_and_record(operation, effect, after, count).await;
                cells += 1;
            }
        }
    }
    println!("lost answers and records: {cells} cells");
}

#[test]
fn errors_say_whether_they_are_transient() {
    let transient = || JournalError::Transient("busy".into());
    assert!(transient().is_transient() && RotateError::from(transient()).is_transient());
    for lasting in [JournalError::Unavailable("gone".into()), JournalError::LeaseLost, JournalError::Changed] {
        assert!(!lasting.is_transient(), "{lasting:?}");
        assert!(!RotateError::from(lasting).is_transient());
    }
    assert!(!RotateError::Cancelled.is_transient());
}
