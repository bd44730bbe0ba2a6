//! Aborting a rotation: the sink gets the old secret back, and the new key is retired.

use std::time::Duration;

use api_keyring::{Expiry, KeyUpdate, Mark, Provider as _, Timestamp};

use super::identity::OldNow;
use super::vendor::{Found, Trial};
use super::way_back::still_holds;
use super::{Next, Result, Run};
use crate::host::shown_name;
use crate::record::Issued;
use crate::{RotateError, SinkContent, State, Strategy};

/// What an abort does with the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortSink {
    /// Withdraws the new secret, so that the old one is current again.
    Restore,
    /// Leaves the secret that somebody else has put there.
    Leave,
}

impl Run<'_> {
    /// Records the decision to abort, if there still is a way back.
    pub(crate) async fn decide_abort(&mut self, why: &str, sink: AbortSink) -> Result {
        let state = self.record.state.underlying().clone();
        if self.has_requested_in_place() && !state.is_finished() {
            return self.decide_abort_in_place(&state, why, sink).await;
        }
        let mut why = why.to_owned();
        if let Some(new) = state.issued() {
            self.check_way_back(new, &mut why, sink).await?;
        }
        let Some(next) = self.state_after_decision(state, why, sink).await? else { return Ok(()) };
        self.write(|record| {
            record.old_expires = false;
            record.leaves_sink = sink == AbortSink::Leave;
            record.state = next;
        })
        .await
    }

    /// Returns whether a rotation in place may have ended the old secret, so that there is nothing to go back to.
    fn has_requested_in_place(&self) -> bool {
        self.record.plan.strategy == Strategy::InPlace && !self.record.marks.is_empty()
    }

    /// Ends a rotation in place that cannot continue by itself, and leaves the sink as it is.
    ///
    /// A person may do this if the key is gone, or by [`AbortSink::Leave`].
    async fn decide_abort_in_place(&mut self, state: &State, why: &str, sink: AbortSink) -> Result {
        let needs_attention = matches!(self.record.state, State::NeedsAttention { .. });
        let may_end = match (state, sink) {
            (State::Aborting { .. }, _) => return Ok(()),
            (State::Planned | State::Issuing { .. }, AbortSink::Leave) => needs_attention,
            (State::Planned | State::Issuing { .. }, AbortSink::Restore) => {
                needs_attention && self.find_key(&*self.rotator.provider).await? == Found::Gone
            }
            _ => false,
        };
        if !may_end {
            return refuse(
                "the rotation already requested a new secret, and the old one may no longer work: resume the rotation",
            );
        }
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        for mark in &self.record.marks {
            if self.try_pending(mark, deadline).await? == Some(Trial::Works) {
                return refuse("a pending slot of the destination holds a secret that works: resume the rotation");
            }
        }
        let why = format!("{why}; the key's old secret may no longer work");
        self.write(|record| {
            record.leaves_sink = true;
            record.state = State::Aborting { new: None, why };
        })
        .await
    }

    /// Tries the secret in a pending slot, if there is one. A new secret may be refused at first.
    async fn try_pending(&self, mark: &Mark, deadline: Duration) -> Result<Option<Trial>> {
        let Some(secret) = self.pending(mark).await? else { return Ok(None) };
        self.try_secret(&secret, 1, deadline).await.map(Some)
    }

    /// Returns the state that the decision leads to; `None` if the rotation is being aborted already.
    async fn state_after_decision(&self, state: State, why: String, sink: AbortSink) -> Result<Option<State>> {
        let needs_attention = matches!(self.record.state, State::NeedsAttention { .. });
        Ok(Some(match state {
            State::Planned => State::Aborting { new: None, why },
            State::Issuing { mark } | State::Lost { mark, .. } => State::Lost { mark, abort: Some(why) },
            State::Issued(new) | State::Delivered(new) => State::Aborting { new: Some(new), why },
            State::Verified(new) | State::Promoted { new, .. } => self.abort_after_promotion(new, why, sink).await?,
            // The rotation stopped before the old key was gone, so there may still be a way back.
            State::Retiring(new) if needs_attention && sink == AbortSink::Restore => {
                self.abort_retirement(new, why).await?
            }
            State::Retiring(new) if sink == AbortSink::Leave => {
                let why = format!("{why}; the old key was being retired, and may be gone");
                self.abort_after_promotion(new, why, sink).await?
            }
            // The decision about the sink may change.
            State::Aborting { .. } if (sink == AbortSink::Leave) != self.record.leaves_sink => state,
            State::Aborting { .. } | State::NeedsAttention { .. } => return Ok(None),
            State::Retiring(_) | State::Retired { .. } => {
                return refuse("the old key is being retired, so there is no way back: resume the rotation");
            }
            State::Done { .. } => return refuse("the rotation is done: there is nothing left to abort"),
            State::Aborted { .. } => return refuse("the rotation is already aborted"),
        }))
    }

    /// Checks that an interrupted retirement has not ended the old key, and no longer can.
    async fn abort_retirement(&self, new: Issued, why: String) -> Result<State> {
        let history = self.rotator.journal.history(&self.record.id).await?;
        if history.iter().any(|record| matches!(record.state.underlying(), State::Retired { .. })) {
            return refuse(
                "the vendor already accepted the retirement of the old key, so there is no way back: resume the \
                 rotation",
            );
        }
        let timing = self.record.plan.timing;
        // A request whose answer was lost may still take effect.
        self.wait(Duration::from_secs(timing.settle_seconds)).await?;
        let knows_old = self.record.in_sink() == SinkContent::OldSecret;
        if let Some(previous) = self.previous(&new.mark).await?.filter(|_| knows_old) {
            let deadline = self.deadline(timing.verify_seconds);
            if self.try_secret(&previous, timing.verify_successes, deadline).await? == Trial::Refused {
                return refuse("the old key's secret no longer works, so there is no way back: resume the rotation");
            }
        }
        self.abort_after_promotion(new, why, AbortSink::Restore).await
    }

    /// Checks the old key first: users may have the new secret, and must not lose it before the old one is known to
    /// work.
    async fn abort_after_promotion(&self, new: Issued, why: String, sink: AbortSink) -> Result<State> {
        let problem = match self.look_at_old(&new).await? {
            OldNow::Ours(old) if self.status(&old).is_dead() => Some("the old key no longer works".to_owned()),
            OldNow::Ours(_) => None,
            OldNow::Gone => Some("the old key is gone".to_owned()),
            OldNow::Unclear(difference) => Some(difference),
        };
        match problem {
            Some(problem) if sink == AbortSink::Restore => {
                return refuse(&format!("{problem}, so there is no way back: resume the rotation"));
            }
            None if self.record.old_expires => self.restore_expiry(&new).await?,
            None => {}
            Some(problem) => return Ok(State::Aborting { new: Some(new), why: format!("{why}; {problem}") }),
        }
        Ok(State::Aborting { new: Some(new), why })
    }

    /// Gives the old key the expiry that it had before the grace. Another key that has got the old one's id keeps its
    /// expiry.
    pub(super) async fn restore_expiry(&self, new: &Issued) -> Result {
        let (provider, plan) = (&self.rotator.provider, &self.record.plan);
        let Some(before) = plan.old_expiry() else { return Ok(()) };
        let OldNow::Ours(_) = self.look_at_old(new).await? else { return Ok(()) };
        let error = match provider.update(&plan.old.id, &KeyUpdate::new().expiry(Expiry::At(before))).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() || error.may_have_taken_effect() => return Err(error.into()),
            Err(error) => error,
        };
        let shown = provider.get(&plan.old.id).await?;
        if shown.expires_at().and_then(Timestamp::utc) == Some(before) {
            return Ok(());
        }
        refuse(&format!(
            "{}: key {} expires at the end of the grace, and its expiry cannot be restored ({error}). Set it to \
             {before} yourself and abort again, or resume the rotation",
            plan.provider, plan.old.id
        ))
    }

    /// Withdraws the new secret from the sink, and discards the new key.
    pub(super) async fn abort(&mut self, new: Option<Issued>, mut why: String) -> Result<Next> {
        if self.has_requested_in_place() {
            self.clear_slots(&mut why).await?;
            return Ok(Next::State(State::Aborted { why }));
        }
        if let Some(new) = &new {
            if let Some(next) = self.before_withdrawing(new, &mut why).await? {
                return Ok(next);
            }
            if let Err(error) = self.withdraw_issued(new).await {
                return self.after_failed_withdrawal(new, error).await;
            }
            // Whatever happened to the slots, no key ends whose secret users have.
            if let Some(holder) = self.holders(new, self.abort_sink()).await?.sinks.first() {
                let problem = still_holds(&shown_name(&holder.name()));
                return Ok(Next::State(self.needs_attention(problem)));
            }
            if self.record.leaves_sink && self.has_left_over(&new.mark).await {
                let mark = &new.mark;
                why.push_str(&format!("; secrets that nobody needs are left in the slots of mark {mark}: remove them"));
            }
            match self.record.discards.iter().any(|discard| discard.is(&new.key, &new.mark)) {
                true => self.finish_discards().await?,
                false => self.discard(&new.key, &new.mark).await?,
            }
        }
        self.discard_all_but(None).await?;
        Ok(Next::State(State::Aborted { why }))
    }

    /// Empties this rotation's slots, except for a pending secret that works. The current slot stays as it is.
    async fn clear_slots(&self, why: &mut String) -> Result {
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        for mark in &self.record.marks {
            // The old secret is dead, so a copy that cannot be removed does no harm.
            drop(self.forget_previous(mark).await);
            match self.try_pending(mark, deadline).await? {
                None | Some(Trial::Refused) => self.withdraw(mark).await?,
                Some(Trial::Works) => {
                    why.push_str(&format!("; the pending slot of mark {mark} holds a secret that works"));
                }
                Some(Trial::Unclear) => {
                    why.push_str(&format!("; the pending slot of mark {mark} holds a secret that may work"));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn refuse<T>(why: &str) -> Result<T> {
    Err(RotateError::Refused(why.to_owned()))
}
