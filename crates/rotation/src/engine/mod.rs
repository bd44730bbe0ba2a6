//! Carrying a rotation out, one state after the other.

mod evidence;
mod hand_over;
mod in_place;
mod issue;
mod retire;
mod undo;

use std::pin::pin;
use std::time::Duration;

use api_keyring::{Mark, Secret};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use futures_util::future::select;

use super::record::Issued;
use super::{Fingerprint, Lease, Record, RotateError, Rotator, State, Strategy};

pub(super) use evidence::usage_of;

type Result<T = (), E = RotateError> = std::result::Result<T, E>;

/// A rotation that this process carries on.
pub(super) struct Run<'a> {
    rotator: &'a Rotator,
    lease: Lease,
    pub(super) record: Record,
    /// How often this run has asked for a new secret in place.
    asked: usize,
}

/// What a state leads to.
enum Step {
    /// The next state.
    On,
    /// Nothing, until then.
    WaitUntil(DateTime<Utc>),
}

impl<'a> Run<'a> {
    pub(super) fn new(rotator: &'a Rotator, lease: Lease, record: Record) -> Self {
        Self { rotator, lease, record, asked: 0 }
    }

    /// Gives the lease back, and returns the record as it was last written.
    pub(super) async fn finish(self, driven: Result) -> Result<Record> {
        self.release().await;
        driven.map(|()| self.record)
    }

    /// Gives the lease back. One that cannot be given back ends by itself.
    pub(super) async fn release(&self) {
        drop(self.rotator.journal.release(&self.lease).await);
    }

    /// Goes on until there is nothing to do for now.
    pub(super) async fn drive(&mut self) -> Result {
        if let State::NeedsAttention { .. } = self.record.state {
            let next = self.after_stop(self.record.state.underlying().clone()).await?;
            self.go_to(next).await?;
        }
        self.look_before_retiring().await?;
        let is_in_place = self.record.plan.strategy == Strategy::InPlace;
        let mut patience = self.rotator.patience;
        loop {
            self.stop_if_asked()?;
            self.finish_discards().await?;
            let step = match self.record.state.clone() {
                State::Planned if is_in_place => self.regenerate().await?,
                State::Planned => self.issue().await?,
                // Whether a create was sent, only the process knew that is gone.
                State::Issuing { mark } => self.lose(mark).await?,
                State::Lost { .. } if is_in_place => self.ask_again().await?,
                State::Lost { mark, abort } => self.find_what_was_lost(&mark, abort).await?,
                State::Issued(new) => self.put_again(new).await?,
                State::Delivered(new) if is_in_place => self.promote(new).await?,
                State::Delivered(new) => self.verify(new).await?,
                State::Verified(new) => self.promote(new).await?,
                State::Promoted { new, .. } if is_in_place => self.verify_in_place(new).await?,
                State::Promoted { new, until } => self.end_grace(new, until).await?,
                State::Retiring(new) => self.retire(new).await?,
                State::Retired { new, confirmed: None } => self.confirm(new).await?,
                State::Retired { new, confirmed: Some(confirmed) } => self.complete(new, confirmed).await?,
                State::Aborting { new, why } => self.undo(new, why).await?,
                State::Done { .. } | State::Aborted { .. } | State::NeedsAttention { .. } => return Ok(()),
            };
            if let Step::WaitUntil(time) = step {
                let wait = (time - self.now()).to_std().unwrap_or_default();
                let Some(left) = patience.checked_sub(wait) else { return Ok(()) };
                patience = left;
                self.wait(wait).await?;
            }
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.rotator.clock.now()
    }

    /// Writes the record with a change. Only what was written is known to the rest of this run.
    async fn write(&mut self, change: impl FnOnce(&mut Record)) -> Result {
        let mut next = self.record.clone();
        change(&mut next);
        next.version += 1;
        next.time = self.now();
        self.rotator.journal.save(&self.lease, &next).await?;
        self.record = next;
        (self.rotator.observe)(&self.record);
        Ok(())
    }

    async fn go_to(&mut self, state: State) -> Result<Step> {
        self.write(|record| record.state = state).await?;
        Ok(Step::On)
    }

    /// Stops until somebody has looked.
    async fn stop(&mut self, why: impl Into<String>) -> Result<Step> {
        let was = Box::new(self.record.state.clone());
        self.go_to(State::NeedsAttention { was, why: why.into() }).await
    }

    /// Waits, and keeps the lease meanwhile.
    async fn wait(&self, time: Duration) -> Result {
        let mut left = time;
        // Often enough that one late renewal does not lose it.
        let most = (self.lease.time / 3).max(Duration::from_secs(1));
        while !left.is_zero() {
            let now = left.min(most);
            let asked = pin!(self.rotator.stop.clone());
            select(self.rotator.clock.sleep(now), asked).await;
            self.stop_if_asked()?;
            self.rotator.journal.renew(&self.lease).await?;
            left -= now;
        }
        Ok(())
    }

    fn stop_if_asked(&self) -> Result {
        match self.rotator.stop.clone().now_or_never() {
            Some(()) => Err(RotateError::Cancelled),
            None => Ok(()),
        }
    }

    /// When so many seconds are over, on a clock that never goes back.
    fn in_a_while(&self, seconds: u64) -> Duration {
        self.rotator.clock.elapsed().saturating_add(Duration::from_secs(seconds))
    }

    fn is_over(&self, end: Duration) -> bool {
        self.rotator.clock.elapsed() >= end
    }

    async fn poll(&self) -> Result {
        self.wait(self.record.plan.timing.poll()).await
    }

    /// The secret that waits in the sink in the place of this mark.
    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.rotator.sink.pending(mark).await.map_err(|error| self.rotator.sink_error(error))
    }

    /// The secret that was the sink's current one before that of this mark.
    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.rotator.sink.previous(mark).await.map_err(|error| self.rotator.sink_error(error))
    }

    /// Whether a secret is that of the new key.
    fn is_of(&self, new: &Issued, secret: Option<&Secret>) -> bool {
        secret.is_some_and(|secret| Fingerprint::of(&new.mark, secret) == new.fingerprint)
    }
}

fn after(time: DateTime<Utc>, seconds: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(seconds).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
