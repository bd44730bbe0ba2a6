//! From a secret in the sink to one that those who use the key find there: not before it has been seen to work.

use std::time::Duration;

use api_keyring::Secret;

use super::{Result, Run, Step, after};
use crate::record::Issued;
use crate::{State, Strategy};
use api_keyring::ProviderExt as _;

/// What came of trying a secret for a while.
pub(super) enum Tried {
    /// It works.
    Works,
    /// It was refused to the end.
    Refused,
}

impl Run<'_> {
    /// Tries the secret that waits in the sink. Whoever resumes has the whole time for it again.
    pub(super) async fn verify(&mut self, new: Issued) -> Result<Step> {
        let pending = self.pending(&new.mark).await?;
        let Some(secret) = pending.filter(|secret| self.is_of(&new, Some(secret))) else {
            return self.stop("the new secret is not in the sink any more: abort the rotation").await;
        };
        let timing = self.record.plan.timing;
        let end = self.in_a_while(timing.verify_seconds);
        match self.try_for_a_while(&secret, timing.verify_successes, end).await? {
            Tried::Works => self.go_to(State::Verified(new)).await,
            Tried::Refused => {
                let why = format!("the new key did not work within {} s", timing.verify_seconds);
                self.go_to(State::Aborting { new: Some(new), why }).await
            }
        }
    }

    /// Tries a secret until it has worked so often in a row, or it is later than `end` and it still does not.
    ///
    /// Tried at least once. What is unclear counts for nothing; if it is so at the end, that is an error.
    pub(super) async fn try_for_a_while(&self, secret: &Secret, successes: u32, end: Duration) -> Result<Tried> {
        let mut in_a_row = 0;
        loop {
            let is_late = self.is_over(end);
            match self.rotator.provider.accepts(secret).await {
                Ok(true) => in_a_row += 1,
                Ok(false) if is_late => return Ok(Tried::Refused),
                Ok(false) => in_a_row = 0,
                Err(error) if is_late || !error.is_transient() => return Err(error.into()),
                Err(_) => {}
            }
            if in_a_row >= successes.max(1) {
                return Ok(Tried::Works);
            }
            self.poll().await?;
        }
    }

    /// Makes the new secret the sink's current one.
    pub(super) async fn promote(&mut self, new: Issued) -> Result<Step> {
        let promoted = self.rotator.sink.promote(&new.mark).await;
        promoted.map_err(|error| self.rotator.sink_error(error))?;
        if self.current_of(&new).await?.is_none() {
            if self.record.plan.strategy == Strategy::InPlace {
                return self.ask_unless_in_use(new.mark).await;
            }
            return self.stop("the sink does not hold the new secret: put it right, or abort the rotation").await;
        }
        if self.record.plan.strategy == Strategy::InPlace {
            // The old one works no more.
            self.switch_to(&new).await?;
        }
        let until = after(self.now(), self.record.plan.timing.grace_seconds);
        self.go_to(State::Promoted { new, until }).await
    }

    /// Has the provider authenticate with the new secret from now on, where the rotated key is its own.
    pub(super) async fn switch_to(&self, new: &Issued) -> Result {
        let Some(own) = &self.rotator.own else { return Ok(()) };
        let previous = self.previous(&new.mark).await?;
        if let (Some(_), Some(secret)) = (previous.filter(|secret| *secret == own.get()), self.current_of(new).await?) {
            own.replace(secret);
        }
        Ok(())
    }

    /// The sink's current secret, where it is that of the new key.
    pub(super) async fn current_of(&self, new: &Issued) -> Result<Option<Secret>> {
        let current = self.rotator.sink.current().await.map_err(|error| self.rotator.sink_error(error))?;
        Ok(current.filter(|secret| self.is_of(new, Some(secret))))
    }
}
