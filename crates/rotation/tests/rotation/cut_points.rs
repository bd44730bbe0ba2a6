//! Cut points: a rotation passes one before and after each of its effects, and an event may happen there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api_keyring::{CallInfo, Error, ErrorKind, Layer, Mark, Outcome, Result, Secret, SendCall};
use api_keyring_rotation::{
    Held, Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing, MemoryJournal, MemorySink,
    Prune, Pruned, Record, RotationId, Sink, SinkError, Slot, Store, StoreLock,
};
use async_trait::async_trait;
use tokio::sync::Notify;

/// An event at a cut point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The process dies.
    Crash,
    /// The process pauses while another one comes, and continues after that.
    Pause,
    /// The same, and the process's lease has ended when the other one comes.
    PauseBeyondLease,
    /// The effect has happened, and its answer is lost.
    Lose,
}

type Check = dyn Fn(&str) + Send + Sync;

/// Counts the cut points that a process passes. Clones share the count.
#[derive(Clone)]
pub(crate) struct CutPoints(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    reached: Notify,
    released: Notify,
    check: Box<Check>,
}

#[derive(Default)]
struct State {
    passed: Vec<String>,
    event: Option<(usize, Event)>,
}

impl std::fmt::Debug for CutPoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CutPoints")
    }
}

impl CutPoints {
    /// Creates cut points. `check` runs at each of them, and `event` happens at the one with that number.
    pub(crate) fn new(event: Option<(usize, Event)>, check: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { passed: Vec::new(), event });
        Self(Arc::new(Inner { state, reached: Notify::new(), released: Notify::new(), check: Box::new(check) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Returns the cut points passed so far.
    pub(crate) fn passed(&self) -> Vec<String> {
        self.state().passed.clone()
    }

    /// Returns the event.
    pub(crate) fn event(&self) -> Option<Event> {
        self.state().event.map(|(_, event)| event)
    }

    /// Waits until the process dies or pauses.
    pub(crate) async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Releases a paused process.
    pub(crate) fn release(&self) {
        self.0.released.notify_one();
    }

    /// Passes a cut point. Returns whether the answer to the effect before it is lost.
    async fn pass(&self, point: String) -> bool {
        (self.0.check)(&point);
        let event = {
            let mut state = self.state();
            let number = state.passed.len();
            state.passed.push(point);
            state.event.filter(|(at, _)| *at == number).map(|(_, event)| event)
        };
        match event {
            None => false,
            Some(Event::Lose) => true,
            Some(Event::Crash) => {
                self.0.reached.notify_one();
                std::future::pending().await
            }
            Some(Event::Pause | Event::PauseBeyondLease) => {
                self.0.reached.notify_one();
                self.0.released.notified().await;
                false
            }
        }
    }
}

/// A layer whose calls pass the cut points.
#[async_trait]
impl Layer for CutPoints {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let operation = call.operation;
        self.pass(format!("before {operation}")).await;
        let answer = send().await;
        if self.pass(format!("after {operation}")).await {
            let lost = Error::new(ErrorKind::Connection, Outcome::Unknown, "the answer was lost");
            return Err(lost.about(operation, call.key).under(call.provider));
        }
        answer
    }
}

/// A journal whose writes pass the cut points.
#[derive(Clone, Debug)]
pub(crate) struct CutJournal {
    pub(crate) journal: MemoryJournal,
    pub(crate) cut_points: CutPoints,
    /// The rotation that began.
    pub(crate) begun: Arc<Mutex<Option<RotationId>>>,
}

impl CutJournal {
    async fn around<T>(
        &self,
        what: String,
        act: impl Future<Output = std::result::Result<T, JournalError>>,
    ) -> std::result::Result<T, JournalError> {
        self.cut_points.pass(format!("before {what}")).await;
        let done = act.await;
        if self.cut_points.pass(format!("after {what}")).await {
            return Err(JournalError::Unavailable("the answer was lost".into()));
        }
        done
    }
}

#[async_trait]
impl Journal for CutJournal {
    async fn begin(&self, record: &Record) -> std::result::Result<(), JournalError> {
        let begin = async {
            self.journal.begin(record).await?;
            *self.begun.lock().unwrap() = Some(record.id.clone());
            Ok(())
        };
        self.around("journal begin".to_owned(), begin).await
    }

    async fn load(&self, id: &RotationId) -> std::result::Result<Option<Record>, JournalError> {
        self.journal.load(id).await
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> std::result::Result<JournalPage, JournalError> {
        self.journal.list(listing, after, limit).await
    }

    async fn find_by_mark(&self, mark: &Mark) -> std::result::Result<Option<Record>, JournalError> {
        self.journal.find_by_mark(mark).await
    }

    async fn versions(
        &self,
        id: &RotationId,
        from: u64,
        limit: usize,
    ) -> std::result::Result<Vec<JournalEntry>, JournalError> {
        self.journal.versions(id, from, limit).await
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> std::result::Result<Pruned, JournalError> {
        self.journal.prune(older_than, prune).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> std::result::Result<Lease, JournalError> {
        self.around("journal take".to_owned(), self.journal.take(id, holder, time)).await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> std::result::Result<(), JournalError> {
        self.around(format!("journal {}", record.state.name()), self.journal.save(lease, record)).await
    }

    async fn renew(&self, lease: &Lease) -> std::result::Result<(), JournalError> {
        self.journal.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> std::result::Result<(), JournalError> {
        self.around("journal release".to_owned(), self.journal.release(lease)).await
    }
}

/// A sink whose writes pass the cut points, one by one.
#[derive(Clone, Debug)]
pub(crate) struct CutStore {
    /// The name of the sink, which another host's sink may have, too.
    pub(crate) address: String,
    pub(crate) sink: MemorySink,
    /// Whether every write fails.
    pub(crate) is_unwritable: bool,
    /// Who may use the sink.
    pub(crate) access: Arc<Mutex<String>>,
    pub(crate) expected_access: Option<String>,
    pub(crate) cut_points: CutPoints,
    /// The mark that each secret was put under.
    pub(crate) marks: Arc<Mutex<BTreeMap<String, Mark>>>,
}

impl CutStore {
    async fn around(
        &self,
        what: &str,
        slot: &Slot,
        act: impl Future<Output = std::result::Result<(), SinkError>>,
    ) -> std::result::Result<(), SinkError> {
        let slot = match slot {
            Slot::Current => "current",
            Slot::Pending(_) => "pending",
            _ => "previous",
        };
        self.cut_points.pass(format!("before sink {what} {slot}")).await;
        let done = act.await;
        if self.cut_points.pass(format!("after sink {what} {slot}")).await {
            return Err(SinkError::new("the answer was lost"));
        }
        done
    }
}

#[async_trait]
impl Store for CutStore {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn probe(&self) -> std::result::Result<(), SinkError> {
        self.sink.probe().await
    }

    async fn read(&self, slot: &Slot) -> std::result::Result<Option<Secret>, SinkError> {
        self.sink.read(slot).await
    }

    async fn look(&self) -> std::result::Result<Held, SinkError> {
        let secret = self.sink.read(&Slot::Current).await?;
        Ok(Held::new(secret, self.access.lock().unwrap().clone()))
    }

    fn expecting(&self, access: &str) -> Option<Arc<dyn Sink>> {
        Some(Arc::new(Self { expected_access: Some(access.to_owned()), ..self.clone() }))
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> std::result::Result<(), SinkError> {
        let has_changed = self.expected_access.as_ref().is_some_and(|access| *access != *self.access.lock().unwrap());
        if self.is_unwritable || (*slot == Slot::Current && has_changed) {
            return Err(SinkError::new("the sink cannot be written"));
        }
        if let Slot::Pending(mark) = slot {
            self.marks.lock().unwrap().insert(secret.expose().to_owned(), mark.clone());
        }
        self.around("write", slot, self.sink.write(slot, secret)).await
    }

    async fn remove(&self, slot: &Slot) -> std::result::Result<(), SinkError> {
        self.around("remove", slot, self.sink.remove(slot)).await
    }

    async fn lock(&self) -> std::result::Result<StoreLock, SinkError> {
        self.sink.lock().await
    }
}
