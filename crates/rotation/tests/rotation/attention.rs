//! Rotations that need attention, and are resumed again and again without anything having changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use api_keyring::{
    CallInfo, Clock as _, Error, ErrorKind, Expiry, KeyUpdate, Layer, Mark, Memory, NewKey, Operation, Outcome,
    Provider as _, ProviderExt as _, SendCall,
};
use api_keyring_rotation::{
    Journal, JournalError, MemoryJournal, Record, RotateError, RotateKey, Rotator, Sink as _, Slot, SqliteJournal,
    State, Store as _,
};
use async_trait::async_trait;
use chrono::TimeDelta;

use crate::fixture::{Fixture, refusal};

/// How often a rotation is resumed in vain.
const RESUMES: usize = 20;

fn refuse() -> Error {
    Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, "not with this role")
}

/// The refusal of a vendor that did nothing, and may do it later.
fn busy() -> Error {
    Error::new(ErrorKind::RateLimited, Outcome::Rejected, "slow down")
}

/// A vendor that refuses an operation, or answers that it carried it out but did not.
#[derive(Clone, Debug)]
struct Obstacle {
    operation: Operation,
    accepts: bool,
    stands: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Obstacle {
    fn at(operation: Operation) -> Self {
        Self { operation, accepts: false, stands: Arc::new(AtomicBool::new(true)), requests: Arc::default() }
    }
}

#[async_trait]
impl Layer for Obstacle {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> api_keyring::Result<T> {
        if call.operation == self.operation {
            self.requests.fetch_add(1, Ordering::Relaxed);
            if self.stands.load(Ordering::Relaxed) {
                // A key that is not found may be retired all the same: the next look at it tells.
                let lies = Error::new(ErrorKind::NotFound, Outcome::Rejected, "no such key");
                return Err(if self.accepts { lies } else { refuse() });
            }
        }
        send().await
    }
}

impl Fixture {
    fn rotator_behind(&self, obstacle: &Obstacle) -> Rotator {
        let provider = self.provider.clone().layered(obstacle.clone());
        Rotator::new(provider, self.sink.clone(), self.journal.clone()).clock(self.clock.clone())
    }

    /// Makes the next requests of this operation fail with this error, before they are sent.
    fn refuse(&self, operation: Operation, times: usize, error: fn() -> Error) {
        for _ in 0..times {
            drop(self.inject.clone().before(operation, error));
        }
    }

    /// Begins a rotation whose first request is refused for now.
    async fn refused_at_first(&self, operation: Operation) -> Record {
        let rotate = if operation == Operation::Regenerate { self.rotate().in_place() } else { self.rotate().leaked() };
        let plan = self.rotator.plan(&rotate).await.unwrap();
        let id = self.rotator.start(plan).await.unwrap().id;
        self.refuse(operation, 1, busy);
        drop(self.rotator.resume(&id).await.unwrap_err());
        let refused = self.journal.load(&id).await.unwrap().unwrap();
        assert!(refused.state == State::Planned && refused.marks.is_empty() && refused.reserved.is_some());
        refused
    }

    async fn versions(&self, record: &Record) -> usize {
        self.journal.history(&record.id).await.unwrap().len()
    }

    /// Resumes a rotation that needs attention, and checks that this writes nothing.
    async fn resume_in_vain(&self, rotator: &Rotator, stuck: &Record, what: &str) {
        assert_eq!(stuck.state.name(), "stuck", "{what}: {stuck:?}");
        let before = self.versions(stuck).await;
        for number in 0..RESUMES {
            let resumed = rotator.resume(&stuck.id).await.unwrap();
            assert_eq!(&resumed, stuck, "{what}: resume {number}");
            self.clock.advance(Duration::from_secs(60));
        }
        assert_eq!(self.versions(stuck).await, before, "{what}: the resumes wrote versions");
        assert_eq!(self.journal.load(&stuck.id).await.unwrap().as_ref(), Some(stuck), "{what}");
    }

    /// Puts another working secret into the sink, as somebody else would. Returns the mark to withdraw it by.
    async fn usurp_sink(&self) -> Mark {
        let other = self.provider.create(&NewKey::new("other").role("reader")).await.unwrap();
        let mark = Mark::random();
        self.sink.put(&mark, other.secret()).await.unwrap();
        self.sink.promote(&mark).await.unwrap();
        mark
    }
}

#[tokio::test]
async fn a_refused_retirement_is_recorded_once() {
    let fixture = Fixture::new().await;
    let obstacle = Obstacle::at(Operation::Revoke);
    let rotator = fixture.rotator_behind(&obstacle);
    let stuck = rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    fixture.resume_in_vain(&rotator, &stuck, "retiring").await;
    assert!(obstacle.requests.load(Ordering::Relaxed) > RESUMES, "each resume asks the vendor again");
    obstacle.stands.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&stuck.id).await.unwrap().state.name(), "done");
    let names = fixture.journal.history(&stuck.id).await.unwrap();
    let names: Vec<_> = names.iter().map(|record| record.state.name()).collect();
    assert!(names.ends_with(&["retiring", "stuck", "retiring", "retired", "retired", "done"]), "{names:?}");
}

/// The vendor's message names each request, so the reason is never quite the same.
#[tokio::test]
async fn a_reason_that_changes_is_one_version() {
    let fixture = Fixture::new().await;
    let numbered = Numbered(Arc::default());
    let provider = fixture.provider.clone().layered(numbered);
    let rotator = Rotator::new(provider, fixture.sink.clone(), fixture.journal.clone()).clock(fixture.clock.clone());
    let stuck = rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    let before = fixture.versions(&stuck).await;
    for _ in 0..RESUMES {
        let resumed = rotator.resume(&stuck.id).await.unwrap();
        assert_eq!(fixture.journal.load(&stuck.id).await.unwrap(), Some(resumed), "it names the latest reason");
    }
    assert_eq!(fixture.versions(&stuck).await, before + RESUMES);
}

/// A vendor that numbers its refusals.
#[derive(Clone, Debug)]
struct Numbered(Arc<AtomicUsize>);

#[async_trait]
impl Layer for Numbered {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> api_keyring::Result<T> {
        if call.operation != Operation::Revoke {
            return send().await;
        }
        let why = format!("request {} is not allowed", self.0.fetch_add(1, Ordering::Relaxed));
        Err(Error::new(ErrorKind::PermissionDenied, Outcome::Rejected, why))
    }
}

#[tokio::test]
async fn an_old_key_that_survives_its_retirement_is_recorded_once() {
    let fixture = Fixture::new().await;
    let obstacle = Obstacle { accepts: true, ..Obstacle::at(Operation::Revoke) };
    let rotator = fixture.rotator_behind(&obstacle);
    let stuck = rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    assert!(matches!(&stuck.state, State::NeedsAttention { was, .. } if was.name() == "retired"), "{stuck:?}");
    fixture.resume_in_vain(&rotator, &stuck, "retired").await;
    assert!(obstacle.requests.load(Ordering::Relaxed) > RESUMES, "each resume asks the vendor again");
    obstacle.stands.store(false, Ordering::Relaxed);
    assert_eq!(rotator.resume(&stuck.id).await.unwrap().state.name(), "done");
}

#[tokio::test]
async fn a_foreign_secret_in_the_sink_is_recorded_once() {
    let fixture = Fixture::new().await;
    let record = fixture.promoted().await;
    let mark = fixture.usurp_sink().await;
    fixture.clock.advance(Duration::from_secs(3600));
    let stuck = fixture.rotator.resume(&record.id).await.unwrap();
    fixture.resume_in_vain(&fixture.rotator, &stuck, "promoted").await;
    // An abort is another reason to need attention.
    let aborting = fixture.rotator.abort(&record.id, "changed my mind").await.unwrap();
    fixture.resume_in_vain(&fixture.rotator, &aborting, "aborting").await;
    fixture.sink.withdraw(&mark).await.unwrap();
    assert_eq!(fixture.rotator.resume(&record.id).await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn a_missing_pending_secret_is_recorded_once() {
    let fixture = Fixture::new().await;
    let plan = fixture.rotator.plan(&fixture.rotate()).await.unwrap();
    let id = fixture.rotator.start(plan).await.unwrap().id;
    let sink = fixture.sink.clone();
    let emptied = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "delivered" {
            let mark = record.marks[0].clone();
            futures_util::FutureExt::now_or_never(sink.remove(&Slot::Pending(mark))).unwrap().unwrap();
        }
    });
    let stuck = emptied.resume(&id).await.unwrap();
    fixture.resume_in_vain(&fixture.rotator, &stuck, "delivered").await;
    assert_eq!(fixture.rotator.abort(&id, "the secret is lost").await.unwrap().state.name(), "aborted");
}

#[tokio::test]
async fn another_secret_that_works_in_place_is_recorded_once() {
    let fixture = Fixture::with_provider(Memory::like_monad()).await;
    let sink = fixture.sink.clone();
    let other = NewKey::new("other").role("reader").expires_in(TimeDelta::days(9));
    let other = fixture.provider.create(&other).await.unwrap();
    let secret = other.secret().clone();
    let usurped = fixture.rotator.clone().observe(move |record| {
        if record.state.name() == "promoted" {
            futures_util::FutureExt::now_or_never(sink.write(&Slot::Current, &secret)).unwrap().unwrap();
        }
    });
    let stuck = usurped.rotate(&fixture.rotate().in_place()).await.unwrap();
    fixture.resume_in_vain(&fixture.rotator, &stuck, "promoted in place").await;
    let waived = fixture.rotator.waive_evidence(&stuck.id, "it is the key's, too").await.unwrap();
    assert_eq!(waived.state.name(), "done");
}

/// The users' secret is lost, and the vendor refuses to issue another.
#[tokio::test]
async fn a_refused_regenerate_is_recorded_once() {
    let fixture = Fixture::with_provider(Memory::like_monad()).await;
    drop(fixture.inject.clone().losing_answer(Operation::Regenerate));
    // One refusal for the rotation itself, and one for each resume.
    fixture.refuse(Operation::Regenerate, 1 + RESUMES, refuse);
    let stuck = fixture.rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
    assert!(matches!(&stuck.state, State::NeedsAttention { was, .. } if **was == State::Planned), "{stuck:?}");
    fixture.resume_in_vain(&fixture.rotator, &stuck, "planned in place").await;
    assert_eq!(fixture.inject.left(), 0, "each resume asks the vendor again");
    let done = fixture.rotator.resume(&stuck.id).await.unwrap();
    assert_eq!((done.state.name(), done.marks.len(), done.reserved), ("done", 2, None));
    assert!(fixture.works(&fixture.current().await).await);
}

/// The operations that request a new secret.
const REQUESTS: [Operation; 2] = [Operation::Create, Operation::Regenerate];

/// A vendor that is down for a day says each time that it did nothing.
#[tokio::test]
async fn a_request_that_is_refused_for_now_is_recorded_once() {
    for operation in REQUESTS {
        let fixture = Fixture::with_provider(Memory::like_monad()).await;
        let before = fixture.refused_at_first(operation).await;
        fixture.refuse(operation, RESUMES, busy);
        for _ in 0..RESUMES {
            fixture.clock.advance(Duration::from_secs(60));
            drop(fixture.rotator.resume(&before.id).await.unwrap_err());
        }
        let now = fixture.journal.load(&before.id).await.unwrap();
        assert_eq!(now.as_ref(), Some(&before), "{operation}: the resumes wrote versions");
        let done = fixture.rotator.resume(&before.id).await.unwrap();
        assert!(done.reserved.is_none() && done.marks.len() == 1, "{operation}: {done:?}");
        assert_eq!(done.marks.first(), before.reserved.as_ref());
    }
}

/// A vendor that is down for a day, and does not say that it did nothing.
#[tokio::test]
async fn regenerates_whose_answers_are_lost_are_recorded_once() {
    let lost = || Error::new(ErrorKind::Server, Outcome::Unknown, "down");
    for is_applied in [false, true] {
        let fixture = Fixture::with_provider(Memory::like_monad()).await;
        let inject = |times: usize| {
            for _ in 0..times {
                drop(match is_applied {
                    true => fixture.inject.clone().after(Operation::Regenerate, lost),
                    false => fixture.inject.clone().before(Operation::Regenerate, lost),
                });
            }
        };
        inject(5);
        let attention = fixture.rotator.rotate(&fixture.rotate().in_place()).await.unwrap();
        assert_eq!(attention.state.name(), "stuck", "{attention:?}");
        inject(5 * RESUMES);
        fixture.resume_in_vain(&fixture.rotator, &attention, "lost answers").await;
        let done = fixture.rotator.resume(&attention.id).await.unwrap();
        assert_eq!(done.state.name(), "done", "{done:?}");
        assert_eq!(done.marks, attention.marks);
        assert!(fixture.works(&fixture.current().await).await);
    }
}

/// The journal does not know of the second request, and the rotator dies before the answer comes.
#[tokio::test]
async fn a_lease_that_was_not_released_tells_of_a_request() {
    for operation in REQUESTS {
        let fixture = Fixture::with_provider(Memory::like_monad()).await;
        let Record { id, reserved, .. } = fixture.refused_at_first(operation).await;
        // The process that dies here has taken the lease, and recorded nothing.
        drop(fixture.journal.take(&id, "another", Duration::from_secs(60)).await.unwrap());
        fixture.clock.advance(Duration::from_secs(61));
        fixture.refuse(operation, 1, busy);
        drop(fixture.rotator.resume(&id).await.unwrap_err());
        let history = fixture.journal.history(&id).await.unwrap();
        let names: Vec<_> = history.iter().map(|record| record.state.name()).collect();
        assert!(names.windows(2).any(|pair| pair == ["issuing", "lost"]), "{operation}: {names:?}");
        let last = history.last().unwrap();
        assert!(last.marks.contains(&reserved.clone().unwrap()) && last.reserved != reserved, "{operation}: {last:?}");
    }
}

#[tokio::test]
async fn a_rotation_that_only_waits_again_is_recorded_as_resumed() {
    let fixture = Fixture::with_provider(Memory::new()).await;
    let expiry = |days| Expiry::At(fixture.clock.now() + TimeDelta::days(days));
    fixture.provider.update(fixture.old.id(), &KeyUpdate::new().expiry(expiry(3650))).await.unwrap();
    let year = Duration::from_secs(365 * 86_400);
    let rotate = fixture.rotate().expiry(expiry(90)).unused_for(year);
    let id = fixture.rotator.rotate(&rotate).await.unwrap().id;
    let after = async |seconds| {
        fixture.clock.advance(Duration::from_secs(seconds));
        fixture.rotator.resume(&id).await.unwrap()
    };
    let waiting = after(3600).await;
    assert!(waiting.state.name() == "promoted" && waiting.evidence.is_some(), "{waiting:?}");
    let stuck = after(91 * 86_400).await;
    fixture.resume_in_vain(&fixture.rotator, &stuck, "the new key has expired").await;
    let new = stuck.state.new_key().unwrap();
    fixture.provider.update(new, &KeyUpdate::new().expiry(expiry(90))).await.unwrap();
    let resumed = after(60).await;
    assert_eq!((&resumed.state, &resumed.evidence), (&waiting.state, &waiting.evidence));
    assert_eq!(fixture.journal.load(&id).await.unwrap(), Some(resumed));
}

#[tokio::test]
async fn a_refused_expiry_is_recorded_once() {
    let fixture = Fixture::new().await;
    let obstacle = Obstacle::at(Operation::Update);
    let rotator = fixture.rotator_behind(&obstacle);
    let waiting = rotator.rotate(&fixture.rotate().expire_old()).await.unwrap();
    assert_eq!((waiting.state.name(), waiting.old_expires), ("promoted", false));
    let before = fixture.versions(&waiting).await;
    for _ in 0..RESUMES {
        fixture.clock.advance(Duration::from_secs(60));
        assert_eq!(rotator.resume(&waiting.id).await.unwrap(), waiting);
    }
    assert_eq!(fixture.versions(&waiting).await, before, "the resumes wrote versions");
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(rotator.resume(&waiting.id).await.unwrap().state.name(), "done");
}

/// A process resumes the rotation, and is held up while it is about to retire the old key.
#[tokio::test]
async fn a_rotation_that_another_process_resumed_and_left_cannot_be_aborted_at_once() {
    let fixture = Fixture::new().await;
    let obstacle = Obstacle::at(Operation::Revoke);
    let rotator = fixture.rotator_behind(&obstacle);
    let stuck = rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    // The process that died had taken the lease, and recorded nothing.
    let lease = fixture.journal.take(&stuck.id, "another", Duration::from_secs(60)).await.unwrap();
    assert!(!lease.is_takeover, "the rotator released its lease");
    fixture.clock.advance(Duration::from_secs(61));
    let refused = refusal(rotator.abort(&stuck.id, "changed my mind").await);
    assert!(refused.contains("is being retired"), "{refused}");
    assert_eq!(fixture.journal.load(&stuck.id).await.unwrap().unwrap().state.name(), "retiring");
    assert!(fixture.works(fixture.old.secret()).await);
    // A resume finds out what came of it. Then there is a way back.
    assert_eq!(rotator.resume(&stuck.id).await.unwrap().state.name(), "stuck");
    assert_eq!(rotator.abort(&stuck.id, "changed my mind").await.unwrap().state.name(), "aborted");
}

/// Another process takes the rotation over while this one looks in vain for a change.
#[tokio::test]
async fn a_rotator_that_lost_its_lease_does_not_report_what_it_knew() {
    let fixture = Fixture::new().await;
    let obstacle = Obstacle::at(Operation::Revoke);
    let rotator = fixture.rotator_behind(&obstacle);
    let stuck = rotator.rotate(&fixture.rotate().leaked()).await.unwrap();
    let overtaken = Overtaken { journal: fixture.journal.clone(), clock: fixture.clock.clone(), id: stuck.id.clone() };
    let provider = fixture.provider.clone().layered(overtaken).layered(obstacle.clone());
    let late = Rotator::new(provider, fixture.sink.clone(), fixture.journal.clone()).clock(fixture.clock.clone());
    let lost = late.resume(&stuck.id).await.unwrap_err();
    assert!(matches!(lost, RotateError::Journal(JournalError::LeaseLost)), "{lost:?}");
}

/// Somebody takes the lease while a key is read.
#[derive(Clone, Debug)]
struct Overtaken {
    journal: MemoryJournal,
    clock: api_keyring::ManualClock,
    id: api_keyring_rotation::RotationId,
}

#[async_trait]
impl Layer for Overtaken {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> api_keyring::Result<T> {
        if call.operation == Operation::Get {
            self.clock.advance(Duration::from_secs(301));
            drop(self.journal.take(&self.id, "another", Duration::from_secs(3600)).await);
        }
        send().await
    }
}

/// A day of resumes, each minute.
#[tokio::test]
async fn a_day_of_resumes_writes_at_most_two_versions() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new().await;
    let journal = SqliteJournal::open(folder.path().join("journal")).unwrap().clock(fixture.clock.clone());
    let provider = fixture.provider.clone().layered(Obstacle::at(Operation::Revoke));
    let rotator = Rotator::new(provider, fixture.sink.clone(), journal.clone()).clock(fixture.clock.clone());
    let rotate = RotateKey::new(fixture.old.id().clone()).leaked();
    let stuck = rotator.rotate(&rotate).await.unwrap();
    let before = journal.history(&stuck.id).await.unwrap().len();
    for _ in 0..1440 {
        fixture.clock.advance(Duration::from_secs(60));
        assert_eq!(rotator.resume(&stuck.id).await.unwrap().state.name(), "stuck");
    }
    let written = journal.history(&stuck.id).await.unwrap().len() - before;
    assert!(written <= 2, "{written} versions");
}
