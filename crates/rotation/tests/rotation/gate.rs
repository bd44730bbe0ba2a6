//! Places that everything with an effect passes, before and after it, and what may happen there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use api_keyring::{Called, Error, ErrorKind, Layer, Mark, Outcome, Result, Secret, SendCall};
use api_keyring_rotation::{
    Journal, JournalError, Lease, MemoryJournal, MemorySink, Record, RotationId, SinkError, Slot, Store, StoreLock,
};
use async_trait::async_trait;
use tokio::sync::Notify;

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The process is gone.
    Crash,
    /// The process stands still until it is let go on.
    Pause,
    /// The effect has happened, and its answer does not arrive.
    Lose,
}

type Check = dyn Fn(&str) + Send + Sync;

/// Counts the places that are passed. Clones share the count.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

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

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// A gate that has `check` look at the world at every place.
    pub(crate) fn new(event: Option<(usize, Event)>, check: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { passed: Vec::new(), event });
        Self(Arc::new(Inner { state, reached: Notify::new(), released: Notify::new(), check: Box::new(check) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The places passed so far.
    pub(crate) fn passed(&self) -> Vec<String> {
        self.state().passed.clone()
    }

    /// What happens here.
    pub(crate) fn event(&self) -> Option<Event> {
        self.state().event.map(|(_, event)| event)
    }

    /// Waits until the process is gone or stands still.
    pub(crate) async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Has a process that stands still go on.
    pub(crate) fn release(&self) {
        self.0.released.notify_one();
    }

    /// Passes a place. Tells whether the answer to what was before it is lost.
    async fn pass(&self, place: String) -> bool {
        (self.0.check)(&place);
        let event = {
            let mut state = self.state();
            let number = state.passed.len();
            state.passed.push(place);
            state.event.filter(|(at, _)| *at == number).map(|(_, event)| event)
        };
        match event {
            None => false,
            Some(Event::Lose) => true,
            Some(Event::Crash) => {
                self.0.reached.notify_one();
                std::future::pending().await
            }
            Some(Event::Pause) => {
                self.0.reached.notify_one();
                self.0.released.notified().await;
                false
            }
        }
    }
}

/// A provider's calls pass the gate.
#[async_trait]
impl Layer for Gate {
    async fn around<T: Send>(&self, called: Called<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let operation = called.operation;
        self.pass(format!("before {operation}")).await;
        let answer = send().await;
        if self.pass(format!("after {operation}")).await {
            let lost = Error::new(ErrorKind::Connection, Outcome::Unknown, "the answer was lost");
            return Err(lost.about(operation, called.key).under(called.provider));
        }
        answer
    }
}

/// A journal whose writes pass the gate.
#[derive(Clone, Debug)]
pub(crate) struct GatedJournal {
    pub(crate) journal: MemoryJournal,
    pub(crate) gate: Gate,
    /// The rotation that was begun.
    pub(crate) begun: Arc<Mutex<Option<RotationId>>>,
}

impl GatedJournal {
    async fn around<T>(
        &self,
        what: String,
        act: impl Future<Output = std::result::Result<T, JournalError>>,
    ) -> std::result::Result<T, JournalError> {
        self.gate.pass(format!("before {what}")).await;
        let done = act.await;
        if self.gate.pass(format!("after {what}")).await {
            return Err(JournalError::Unavailable("the answer was lost".into()));
        }
        done
    }
}

#[async_trait]
impl Journal for GatedJournal {
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

    async fn unfinished(&self) -> std::result::Result<Vec<Record>, JournalError> {
        self.journal.unfinished().await
    }

    async fn latest(&self, limit: usize) -> std::result::Result<Vec<Record>, JournalError> {
        self.journal.latest(limit).await
    }

    async fn of_mark(&self, mark: &Mark) -> std::result::Result<Option<Record>, JournalError> {
        self.journal.of_mark(mark).await
    }

    async fn history(&self, id: &RotationId) -> std::result::Result<Vec<Record>, JournalError> {
        self.journal.history(id).await
    }

    async fn take(
        &self,
        id: &RotationId,
        holder: &str,
        time: std::time::Duration,
    ) -> std::result::Result<Lease, JournalError> {
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

/// A sink whose writes pass the gate, one by one.
#[derive(Clone, Debug)]
pub(crate) struct GatedStore {
    pub(crate) sink: MemorySink,
    pub(crate) gate: Gate,
    /// The mark that each secret was put with.
    pub(crate) marks: Arc<Mutex<BTreeMap<String, Mark>>>,
}

impl GatedStore {
    async fn around(
        &self,
        what: &str,
        place: &Slot,
        act: impl Future<Output = std::result::Result<(), SinkError>>,
    ) -> std::result::Result<(), SinkError> {
        let place = match place {
            Slot::Current => "current",
            Slot::Pending(_) => "pending",
            _ => "previous",
        };
        self.gate.pass(format!("before sink {what} {place}")).await;
        let done = act.await;
        if self.gate.pass(format!("after sink {what} {place}")).await {
            return Err(SinkError::new("the answer was lost"));
        }
        done
    }
}

#[async_trait]
impl Store for GatedStore {
    fn address(&self) -> String {
        self.sink.address()
    }

    async fn probe(&self) -> std::result::Result<(), SinkError> {
        self.sink.probe().await
    }

    async fn read(&self, place: &Slot) -> std::result::Result<Option<Secret>, SinkError> {
        self.sink.read(place).await
    }

    async fn write(&self, place: &Slot, secret: &Secret) -> std::result::Result<(), SinkError> {
        if let Slot::Pending(mark) = place {
            self.marks.lock().unwrap().insert(secret.expose().to_owned(), mark.clone());
        }
        self.around("write", place, self.sink.write(place, secret)).await
    }

    async fn remove(&self, place: &Slot) -> std::result::Result<(), SinkError> {
        self.around("remove", place, self.sink.remove(place)).await
    }

    async fn lock(&self) -> std::result::Result<StoreLock, SinkError> {
        self.sink.lock().await
    }
}
