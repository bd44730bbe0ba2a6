//! A destination that is another one when a rotation is resumed: swapped, emptied, on another host, or not to be written.

use std::sync::atomic::Ordering;

use api_keyring::{ProviderExt as _, Secret};
use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::{MemorySink, Record, Sink as _, Slot, State, StateKind, Store as _, Strategy};

use crate::crashes::{Cut, Tally, cut_points, setting};
use crate::cut_points::Event;
use crate::scenario::{LEASE, Scenario, Service, Vendor};

/// What becomes of the destination while no process works on the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It is empty.
    Emptied,
    /// It holds a text that was never a key's secret.
    Swapped,
    /// The next process runs on a host where it does not exist.
    MissingOnOtherHost,
    /// The next process runs on a host where it holds another secret.
    OtherHost,
    /// The next process cannot write to it.
    Unwritable,
    /// Others may use it.
    Exposed,
}

const CHANGES: [Change; 6] = [
    Change::Emptied,
    Change::Swapped,
    Change::MissingOnOtherHost,
    Change::OtherHost,
    Change::Unwritable,
    Change::Exposed,
];

/// What somebody else keeps in the destination.
const THEIRS: &str = "kept-by-somebody-else";

impl Scenario<'_> {
    async fn change(&self, change: Change) {
        let sink = &self.lineage.sink;
        let elsewhere = |sink| *self.elsewhere.lock().unwrap() = Some(sink);
        match change {
            Change::Emptied => sink.remove(&Slot::Current).await.unwrap(),
            Change::Swapped => sink.write(&Slot::Current, &THEIRS.into()).await.unwrap(),
            Change::MissingOnOtherHost => elsewhere(MemorySink::new()),
            Change::OtherHost => elsewhere(MemorySink::holding(THEIRS)),
            Change::Unwritable => self.is_unwritable.store(true, Ordering::Relaxed),
            Change::Exposed => "anybody".clone_into(&mut self.access.lock().unwrap()),
        }
    }

    /// Undoes the change, and leaves alone what a rotation has written since.
    async fn undo(&self, change: Change, before: Option<&Secret>) {
        let sink = &self.lineage.sink;
        let is_changed = match change {
            Change::Emptied => sink.current().await.unwrap().is_none(),
            Change::Swapped => sink.current().await.unwrap() == Some(THEIRS.into()),
            _ => false,
        };
        if let (true, Some(before)) = (is_changed, before) {
            sink.write(&Slot::Current, before).await.unwrap();
        }
        *self.elsewhere.lock().unwrap() = None;
        self.is_unwritable.store(false, Ordering::Relaxed);
        "the service".clone_into(&mut self.access.lock().unwrap());
    }

    /// Resumes until the rotation is finished or needs attention, or three attempts have failed.
    async fn resume_for_a_while(&self) -> Option<Record> {
        for _ in 0..3 {
            self.vendor.clock.advance(LEASE);
            match self.resume_or_begin().await {
                Ok(record) if record.state.is_finished() => return Some(record),
                Ok(record) if matches!(record.state, State::NeedsAttention { .. }) => return Some(record),
                _ => {}
            }
        }
        None
    }

    /// Checks what the resumed rotation did to a destination that is another one.
    async fn judge_change(&self, change: Change, was: StateKind, before: Option<&Secret>, now: Option<&Record>) {
        let violate = |what: &str| self.lineage.violate(format!("{change:?} in {was:?}: {what}"));
        let current = self.lineage.sink.current().await.unwrap();
        let elsewhere = self.elsewhere.lock().unwrap().clone();
        let theirs = match &elsewhere {
            Some(other) => other.current().await.unwrap(),
            None => current.clone(),
        };
        let expected = match change {
            Change::Emptied | Change::MissingOnOtherHost => None,
            Change::Swapped | Change::OtherHost => Some(THEIRS.into()),
            Change::Unwritable | Change::Exposed => before.cloned(),
        };
        if theirs != expected {
            violate("the rotation has written to it");
        }
        // The old key is gone already, and only the end of the rotation is to be recorded.
        let is_over = matches!(was, StateKind::Retired | StateKind::Done);
        let is_done = now.is_some_and(|record| matches!(record.state, State::Done { .. }));
        if is_done && !is_over && change != Change::Unwritable && change != Change::Exposed {
            violate("it reports success");
        }
        let has_users =
            self.vendor.strategy == Strategy::Overlap && !matches!(change, Change::Emptied | Change::Swapped);
        if let (true, Some(secret)) = (has_users, current)
            && !self.vendor.provider.accepts(&secret).await.unwrap().is_accepted()
        {
            violate("its users hold a secret that no longer works");
        }
    }
}

async fn changes(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let count = cut_points(&vendor, &[], &mut tally).await.len();
    let stride = usize::try_from(setting("ROTATION_STRIDE").unwrap_or(3)).unwrap();
    for number in (0..count).step_by(stride) {
        for change in CHANGES {
            let scenario = vendor.key(&[]);
            Cut { number, event: Event::Crash }.apply(&scenario).await;
            let Some(record) = scenario.record().await else { continue };
            let before = scenario.lineage.sink.current().await.unwrap();
            scenario.change(change).await;
            let now = scenario.resume_for_a_while().await;
            scenario.judge_change(change, record.state.kind(), before.as_ref(), now.as_ref()).await;
            scenario.undo(change, before.as_ref()).await;
            tally.judge(format!("crash at {number} in {:?}, {change:?}", record.state.kind()), scenario).await;
        }
    }
    tally.report(&format!("changed destinations, {service:?}, {strategy:?}"));
}

#[tokio::test]
async fn at_spartera() {
    changes(Service::Spartera(Revision::Current, SparteraShape::Documented), Strategy::Overlap).await;
}

#[tokio::test]
async fn at_spartera_of_the_guide() {
    changes(Service::Spartera(Revision::Current, SparteraShape::Guide), Strategy::Overlap).await;
}

#[tokio::test]
async fn at_monad() {
    changes(Service::Monad(Revision::Current), Strategy::Overlap).await;
}

#[tokio::test]
async fn in_place() {
    changes(Service::Monad(Revision::Current), Strategy::InPlace).await;
}

#[tokio::test]
async fn in_place_with_a_new_id() {
    changes(Service::Monad(Revision::Documented), Strategy::InPlace).await;
}
