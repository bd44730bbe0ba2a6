//! Carries a rotation out, one state after the other.
//!
//! [`TRANSITIONS`] lists every change of state that may happen. `overlap.rs` and `in_place.rs` each hold one function
//! that says what follows a state. `vendor.rs` asks the vendor, and `secrets.rs` asks the sink.

mod abort;
mod adoption;
mod discard;
mod evidence;
mod identity;
mod in_place;
mod overlap;
mod retire;
mod secrets;
mod vendor;
mod way_back;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::Mark;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use futures_util::future::select;

pub(super) use self::abort::AbortSink;
pub(super) use self::evidence::usage_of;
use crate::StateKind::{
    Aborted, Aborting, Delivered, Done, Issued, Issuing, Lost, NeedsAttention, Planned, Promoted, Retired, Retiring,
    Verified,
};
use crate::Strategy::{InPlace, Overlap};
use crate::{Lease, Record, RotateError, Rotator, Sink, State, StateKind, Strategy};

/// Every change of state that a rotation may make, and why it makes it.
///
/// A rotation may also record something else in the same state, such as a key that it has to discard.
#[rustfmt::skip]
pub const TRANSITIONS: &[Transition] = &[
    Transition(Overlap, Planned,        Issuing,        "a mark is on record, and the create is sent next"),
    Transition(Overlap, Planned,        Aborting,       "too many creates failed, or the rotation is aborted"),
    Transition(Overlap, Planned,        NeedsAttention, "the sink does not hold what it held when the rotation was planned"),
    Transition(Overlap, Issuing,        Issued,         "the vendor answered with a key"),
    Transition(Overlap, Issuing,        Lost,           "the answer is lost, or the process died before it came"),
    Transition(Overlap, Issuing,        Planned,        "the vendor created nothing for now, or a key with the id of an earlier one"),
    Transition(Overlap, Issuing,        Aborting,       "the vendor refused to create a key"),
    Transition(Overlap, Lost,           Planned,        "no key is left under the mark, and another is issued"),
    Transition(Overlap, Lost,           Aborting,       "no key is left under the mark, and the rotation is aborted"),
    Transition(Overlap, Issued,         Delivered,      "the secret was read back from its pending slot"),
    Transition(Overlap, Issued,         Lost,           "the secret is not in the sink, so its key is useless"),
    Transition(Overlap, Issued,         Aborting,       "the sink refused the secret, or the rotation is aborted"),
    Transition(Overlap, Delivered,      Verified,       "the new secret works, several times in a row"),
    Transition(Overlap, Delivered,      Aborting,       "the new secret did not work in time, or the rotation is aborted"),
    Transition(Overlap, Delivered,      NeedsAttention, "the pending slot no longer holds the new secret, or nothing shows whether it works"),
    Transition(Overlap, Verified,       Promoted,       "the new secret is the current one"),
    Transition(Overlap, Verified,       Aborting,       "the rotation is aborted"),
    Transition(Overlap, Verified,       NeedsAttention, "the current slot holds neither what it held nor the new secret"),
    Transition(Overlap, Promoted,       Retiring,       "the grace is over, and the new secret still works"),
    Transition(Overlap, Promoted,       Aborting,       "the rotation is aborted"),
    Transition(Overlap, Promoted,       NeedsAttention, "users do not have a new secret that works"),
    Transition(Overlap, Retiring,       Retired,        "the vendor accepted the retirement of the old key"),
    Transition(Overlap, Retiring,       Aborting,       "the rotation is aborted, and the sink is left as it is"),
    Transition(Overlap, Retiring,       NeedsAttention, "the old key cannot be retired, or users lost the new secret"),
    Transition(Overlap, Retired,        Done,           "nothing is left of the old secret"),
    Transition(Overlap, Retired,        NeedsAttention, "the old secret still works, or users do not have the new one"),
    Transition(Overlap, Aborting,       Aborted,        "the sink and the vendor are as they were"),
    Transition(Overlap, Aborting,       Verified,       "the old secret stopped working, or a person keeps the new one, so it must stay"),
    Transition(Overlap, Aborting,       NeedsAttention, "the sink holds a secret that the withdrawal would destroy"),
    Transition(Overlap, NeedsAttention, Planned,        "a person resumes the rotation"),
    Transition(Overlap, NeedsAttention, Delivered,      "a person resumes the rotation"),
    Transition(Overlap, NeedsAttention, Verified,       "a person resumes the rotation"),
    Transition(Overlap, NeedsAttention, Promoted,       "a person resumes the rotation"),
    Transition(Overlap, NeedsAttention, Retiring,       "a person resumes the rotation; an old key that still works is retired again"),
    Transition(Overlap, NeedsAttention, Retired,        "a person resumes the rotation, or waives the missing evidence"),
    Transition(Overlap, NeedsAttention, Aborting,       "a person aborts the rotation, or resumes the abort"),

    Transition(InPlace, Planned,        Issuing,        "a mark is on record, and the regenerate is sent next"),
    Transition(InPlace, Planned,        Issued,         "an earlier secret waits in its pending slot, and works"),
    Transition(InPlace, Planned,        Aborting,       "the rotation is aborted before anything was sent"),
    Transition(InPlace, Planned,        NeedsAttention, "too many answers are lost, the vendor refuses to issue another secret, the key is gone, or the sink does not hold what it held"),
    Transition(InPlace, Issuing,        Issued,         "the vendor answered with a secret"),
    Transition(InPlace, Issuing,        Lost,           "the answer is lost, or the process died before it came"),
    Transition(InPlace, Issuing,        Planned,        "nothing was changed: the vendor is unavailable for now, or refused a later request, or the key is another one by now"),
    Transition(InPlace, Issuing,        Aborting,       "the vendor refused the first request"),
    Transition(InPlace, Lost,           Planned,        "the lost request has surely ended, and another is sent"),
    Transition(InPlace, Issued,         Delivered,      "the secret was read back from its pending slot"),
    Transition(InPlace, Issued,         Lost,           "the secret is not in the sink"),
    Transition(InPlace, Delivered,      Promoted,       "the new secret is the current one"),
    Transition(InPlace, Delivered,      Lost,           "the secret is no longer in the sink"),
    Transition(InPlace, Delivered,      NeedsAttention, "the sink holds another secret"),
    Transition(InPlace, Promoted,       Retired,        "the new secret works, several times in a row"),
    Transition(InPlace, Promoted,       Lost,           "a later request ended the secret, or it left the sink"),
    Transition(InPlace, Promoted,       NeedsAttention, "the sink holds another secret, which works, or nothing shows whether the new one works"),
    Transition(InPlace, Retired,        Done,           "nothing is left of the old secret"),
    Transition(InPlace, Retired,        NeedsAttention, "the old secret still works, or users do not have the new one"),
    Transition(InPlace, Aborting,       Aborted,        "nothing was changed"),
    Transition(InPlace, NeedsAttention, Planned,        "a person resumes the rotation"),
    Transition(InPlace, NeedsAttention, Delivered,      "a person resumes the rotation"),
    Transition(InPlace, NeedsAttention, Promoted,       "a person resumes the rotation"),
    Transition(InPlace, NeedsAttention, Retired,        "a person resumes the rotation, or waives the missing evidence"),
    Transition(InPlace, NeedsAttention, Aborting,       "a person aborts the rotation: the key is gone, or the sink stays as it is"),
    // The late request of a rotator that was held up ended the secret of the one that took over. The late rotator takes
    // the rotation back.
    Transition(InPlace, Lost,           Issued,         "the rotator's own late request made the secret that works"),
    Transition(InPlace, Delivered,      Issued,         "the rotator's own late request made the secret that works"),
    Transition(InPlace, Promoted,       Issued,         "the rotator's own late request made the secret that works"),
    Transition(InPlace, Retired,        Issued,         "the rotator's own late request made the secret that works"),
    Transition(InPlace, NeedsAttention, Issued,         "the rotator's own late request made the secret that works"),
    Transition(InPlace, Done,           Issued,         "the rotator's own late request made the secret that works"),
];

/// A change of state that a rotation may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition(Strategy, StateKind, StateKind, &'static str);

impl Transition {
    /// Returns the strategy of the rotations that may make this change.
    pub fn strategy(&self) -> Strategy {
        self.0
    }

    /// Returns the state before.
    pub fn from(&self) -> StateKind {
        self.1
    }

    /// Returns the state after.
    pub fn to(&self) -> StateKind {
        self.2
    }

    /// Returns why a rotation makes this change, in a few words.
    pub fn why(&self) -> &'static str {
        self.3
    }
}

/// Returns whether the state stays, or [`TRANSITIONS`] has the change.
fn is_listed(before: &Record, after: &Record) -> bool {
    if before.state.kind() == after.state.kind() {
        return true;
    }
    let change = (after.plan.strategy, before.state.kind(), after.state.kind());
    TRANSITIONS.iter().any(|row| (row.strategy(), row.from(), row.to()) == change)
}

type Result<T = (), E = RotateError> = std::result::Result<T, E>;

/// A rotation that this process works on.
pub(super) struct Run<'a> {
    rotator: &'a Rotator,
    /// The rotator's sink, which does not write if its access has changed since the rotation was planned.
    sink: Arc<dyn Sink>,
    lease: Lease,
    /// Whether this run stops once another process has taken its lease. It goes on only to delete a key of which the
    /// journal does not know.
    needs_lease: bool,
    pub(super) record: Record,
    /// What the journal still says, if this run has resumed a rotation that needed attention and has not recorded that.
    /// The run records it late, because a rotation whose problem lasts would otherwise get new versions at each resume.
    attention: Option<Record>,
    /// The mark of a request that may be under way, and of which the journal does not know. See [`Record::reserved`].
    unrecorded: Option<Mark>,
    /// How many new secrets this run has requested in place.
    requested: usize,
}

/// What follows a state.
enum Next {
    /// This state, which [`Run::drive`] records.
    State(State),
    /// The state that is now on record, because the step has already recorded what follows.
    Recorded,
    /// The same state, when this time has come.
    WaitUntil(DateTime<Utc>),
    /// Nothing: the rotation is finished, or a person has to act.
    Nothing,
}

impl<'a> Run<'a> {
    pub(super) fn new(rotator: &'a Rotator, lease: Lease, record: Record) -> Self {
        let sink = rotator.sink_expecting(record.holdings());
        Self { rotator, sink, lease, needs_lease: true, record, attention: None, unrecorded: None, requested: 0 }
    }

    /// Records that another process may have worked on the rotation, if that process did not release its lease.
    ///
    /// That process has recorded nothing yet, but it may have sent a request, or may still send one. So nobody may decide
    /// now what a person may decide while a rotation needs attention.
    pub(super) async fn record_interruption(&mut self) -> Result {
        if !self.lease.is_takeover {
            return Ok(());
        }
        if let State::NeedsAttention { .. } = self.record.state {
            self.go_to(self.state_before_attention()).await?;
        }
        if self.record.state == State::Planned {
            self.unrecorded = self.record.reserved.clone();
            self.record_request().await?;
        }
        Ok(())
    }

    /// Returns the mark for a request. Either it is on record, or it is the reserved one, and the lease stands for the
    /// request.
    async fn mark_request(&mut self) -> Result<Mark> {
        if let Some(mark) = &self.record.reserved {
            self.unrecorded = Some(mark.clone());
            return Ok(mark.clone());
        }
        let mark = Mark::random();
        self.write(|record| {
            record.marks.push(mark.clone());
            record.state = State::Issuing { mark: mark.clone() };
        })
        .await?;
        Ok(mark)
    }

    /// Reserves the mark of a request that was not sent, or that the vendor refused, for the next request.
    async fn reserve(&mut self, mark: Mark) -> Result {
        if self.unrecorded.take().is_some() {
            return Ok(());
        }
        self.write(|record| {
            record.marks.retain(|other| *other != mark);
            record.reserved = Some(mark);
            record.state = State::Planned;
        })
        .await
    }

    /// Records a request that the journal does not know of.
    async fn record_request(&mut self) -> Result {
        let Some(mark) = self.unrecorded.clone() else { return Ok(()) };
        let mut next = self.record.clone();
        next.add_mark(&mark);
        (next.reserved, next.state) = (None, State::Issuing { mark });
        self.save(next).await?;
        self.unrecorded = None;
        Ok(())
    }

    /// Releases the lease, and returns the record as it was last written.
    pub(super) async fn finish(self, driven: Result) -> Result<Record> {
        self.release().await;
        driven.map(|()| self.record)
    }

    /// Releases the lease. If that fails, the lease ends by itself.
    ///
    /// It must end by itself if there may be a request of which the journal does not know.
    pub(super) async fn release(&self) {
        if self.unrecorded.is_some() {
            return;
        }
        drop(self.rotator.journal.release(&self.lease).await);
    }

    /// Takes one step after the other, until nothing is left to do for now.
    pub(super) async fn drive(&mut self) -> Result {
        if let State::NeedsAttention { .. } = self.record.state {
            let resumed = self.state_to_resume().await?;
            self.attention = Some(self.record.clone());
            self.record.state = resumed;
        }
        self.take_steps().await?;
        self.record_resumption().await
    }

    async fn take_steps(&mut self) -> Result {
        self.check_before_retiring().await?;
        let strategy = self.record.plan.strategy;
        let mut patience = self.rotator.patience;
        loop {
            self.check_cancelled()?;
            self.finish_discards().await?;
            let state = self.record.state.clone();
            let next = match strategy {
                Strategy::Overlap => self.step_overlap(state).await?,
                Strategy::InPlace => self.step_in_place(state).await?,
            };
            match next {
                Next::State(state) => self.go_to(state).await?,
                Next::Recorded => {}
                Next::Nothing => return Ok(()),
                Next::WaitUntil(time) => {
                    let wait = (time - self.now()).to_std().unwrap_or_default();
                    let Some(left) = patience.checked_sub(wait) else { return Ok(()) };
                    patience = left;
                    self.wait(wait).await?;
                }
            }
        }
    }

    /// Records a change. Apart from a resumption, this run knows only what the journal has accepted.
    ///
    /// If the rotation needs attention for the same reason as before it was resumed, there is nothing to record.
    async fn write(&mut self, change: impl FnOnce(&mut Record)) -> Result {
        let mut next = self.record.clone();
        change(&mut next);
        if let Some(attention) = &self.attention {
            if next == *attention {
                // Another process may have continued the rotation meanwhile.
                self.rotator.journal.renew(&self.lease).await?;
                (self.record, self.attention) = (next, None);
                return Ok(());
            }
            // Only the reason differs, perhaps by a number in the vendor's message.
            if next.state.kind() == NeedsAttention && next.state.underlying() == attention.state.underlying() {
                (self.record, self.attention) = (attention.clone(), None);
                return self.save(next).await;
            }
            if next == (Record { state: attention.state.underlying().clone(), ..attention.clone() }) {
                self.record = next;
                return Ok(());
            }
        }
        self.record_resumption().await?;
        if let Some(mark) = self.unrecorded.clone() {
            self.record_request().await?;
            next.add_mark(&mark);
            next.reserved = None;
        }
        self.save(next).await
    }

    /// Records that the rotation is resumed, if the journal still says that it needs attention.
    pub(super) async fn record_resumption(&mut self) -> Result {
        let Some(attention) = self.attention.take() else { return Ok(()) };
        let resumed = std::mem::replace(&mut self.record, attention);
        self.save(resumed).await
    }

    /// Writes the next version.
    async fn save(&mut self, mut next: Record) -> Result {
        next.version = self.record.version + 1;
        next.time = self.now();
        debug_assert!(
            is_listed(&self.record, &next),
            "{:?}: {} → {} is not a transition",
            next.plan.strategy,
            self.record.state.name(),
            next.state.name()
        );
        self.rotator.journal.save(&self.lease, &next).await?;
        self.record = next;
        (self.rotator.observe)(&self.record);
        Ok(())
    }

    async fn go_to(&mut self, state: State) -> Result {
        self.write(|record| record.state = state).await
    }

    /// Returns the state in which the rotation waits for a person.
    fn needs_attention(&self, why: impl Into<String>) -> State {
        State::NeedsAttention { was: Box::new(self.record.state.clone()), why: why.into() }
    }

    fn now(&self) -> DateTime<Utc> {
        self.rotator.clock.now()
    }

    /// Waits, and keeps the lease meanwhile.
    async fn wait(&self, time: Duration) -> Result {
        let mut left = time;
        // Often enough that one late renewal does not lose the lease.
        let longest = (self.lease.time / 3).max(Duration::from_secs(1));
        while !left.is_zero() {
            let part = left.min(longest);
            let cancelled = pin!(self.rotator.cancelled.clone());
            select(self.rotator.clock.sleep(part), cancelled).await;
            self.check_cancelled()?;
            self.renew().await?;
            left -= part;
        }
        Ok(())
    }

    /// Renews the lease, and fails if another process has taken it.
    async fn renew(&self) -> Result {
        match self.needs_lease {
            true => Ok(self.rotator.journal.renew(&self.lease).await?),
            false => Ok(()),
        }
    }

    /// Waits for the time between two attempts.
    async fn poll(&self) -> Result {
        self.wait(self.record.plan.timing.poll()).await
    }

    fn check_cancelled(&self) -> Result {
        match self.rotator.cancelled.clone().now_or_never() {
            Some(()) => Err(RotateError::Cancelled),
            None => Ok(()),
        }
    }

    /// Returns a deadline in `seconds` from now, on a clock that never goes back.
    fn deadline(&self, seconds: u64) -> Duration {
        self.rotator.clock.elapsed().saturating_add(Duration::from_secs(seconds))
    }

    fn has_passed(&self, deadline: Duration) -> bool {
        self.rotator.clock.elapsed() >= deadline
    }
}

fn after(time: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    time.checked_add_signed(delta(seconds)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn before(time: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    time.checked_sub_signed(delta(seconds)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn delta(seconds: u64) -> TimeDelta {
    i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
}
