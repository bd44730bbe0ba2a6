//! Waits while a journal cannot be used for the moment.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::{JournalError, Plan, Record, RotateError, RotationId, Rotator, State};

/// How long to wait for the journal in all, for each key.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first of the waits, each of which is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The failures of the journal while a rotator works on one key.
pub(super) struct Blips<'a> {
    rotator: &'a Rotator,
    next_wait: Duration,
    left: Duration,
    /// How long to wait for the end of a lease that may be the rotator's own. Zero until the journal has failed.
    lease_left: Duration,
}

impl<'a> Blips<'a> {
    pub(super) fn new(rotator: &'a Rotator) -> Self {
        Self { rotator, next_wait: FIRST_WAIT, left: PATIENCE, lease_left: Duration::ZERO }
    }

    /// Repeats a call until the journal no longer fails, or has failed for too long.
    pub(super) async fn outlast<T>(
        &mut self,
        mut call: impl AsyncFnMut() -> Result<T, RotateError>,
    ) -> Result<T, RotateError> {
        loop {
            match call().await {
                Err(error) => self.wait(error).await?,
                done => return done,
            }
        }
    }

    /// Starts a plan and carries it out, although the journal may fail for a while at any moment.
    pub(super) async fn carry_out(&mut self, plan: Plan) -> Result<Record, RotateError> {
        let id = loop {
            match self.rotator.start_at_once(plan.clone()).await {
                Ok(record) => break record.id,
                // The write that failed may have had its effect.
                Err(RotateError::Journal(JournalError::UnderWay(id))) if self.has_begun(&id, &plan).await? => break id,
                Err(error) => self.wait(error).await?,
            }
        };
        let rotator = self.rotator;
        self.outlast(async || rotator.resume(&id).await).await
    }

    fn is_any(&self) -> bool {
        self.left < PATIENCE
    }

    /// Returns whether this rotation may be the one that a write of this process began, although the write seemed to
    /// fail.
    async fn has_begun(&mut self, id: &RotationId, plan: &Plan) -> Result<bool, RotateError> {
        if !self.is_any() {
            return Ok(false);
        }
        let rotator = self.rotator;
        let found = self.outlast(async || Ok(rotator.journal.load(id).await?)).await?;
        Ok(found.is_some_and(|record| {
            let is_planned = record.state == State::Planned && record.version == 0;
            is_planned && record.plan.old.id == plan.old.id && record.plan.sinks == plan.sinks
        }))
    }

    /// Waits if the journal failed for the moment. Otherwise, and after too many failures, returns the error.
    async fn wait(&mut self, error: RotateError) -> Result<(), RotateError> {
        let (wait, left) = match &error {
            RotateError::Journal(error) if error.is_transient() => {
                if !self.is_any() {
                    self.lease_left = self.rotator.lease_time();
                }
                // The last wait is what is left.
                let wait = self.next_wait.min(self.left.max(FIRST_WAIT));
                self.next_wait = wait.saturating_mul(2);
                (wait, &mut self.left)
            }
            // The rotator could not release its lease, or does not know that it has taken one.
            RotateError::Journal(JournalError::Held { until, .. }) => {
                let wait = (*until - self.rotator.clock.now()).to_std().unwrap_or_default();
                (wait.max(FIRST_WAIT), &mut self.lease_left)
            }
            _ => return Err(error),
        };
        let Some(rest) = left.checked_sub(wait) else { return Err(error) };
        *left = rest;
        let cancelled = pin!(self.rotator.cancelled.clone());
        match select(self.rotator.clock.sleep(wait), cancelled).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(RotateError::Cancelled),
        }
    }
}
