//! Taking back what was issued.

use api_keyring::{Capability, Expiry, KeyId, KeyStatus, KeyUpdate, Mark, Revocation, Timestamp};

use super::hand_over::Tried;
use super::{Result, Run, Step};
use crate::record::{Confirmation, Discard, Issued};
use crate::sink::parts_of;
use crate::{RotateError, SinkContent, State, Strategy};

impl Run<'_> {
    /// Decides to undo the rotation, and to leave in the sink what somebody else has put there, if that is said.
    pub(crate) async fn turn_back(&mut self, why: &str, leaves_sink: bool) -> Result {
        let why = why.to_owned();
        let refuse = |why: &str| Err(RotateError::Refused(why.to_owned()));
        let state = self.record.state.underlying().clone();
        if self.record.plan.strategy == Strategy::InPlace && !self.record.marks.is_empty() && !state.is_finished() {
            return refuse("the vendor was asked for a new secret already: there is no way back, resume the rotation");
        }
        if let (true, Some(new)) = (leaves_sink, state.issued())
            && self.current_of(new).await?.is_some()
        {
            return refuse("the sink holds the new key's secret, which would end: abort the rotation as it is");
        }
        let next = match state {
            State::Planned => State::Aborting { new: None, why },
            State::Issuing { mark } | State::Lost { mark, .. } => State::Lost { mark, abort: Some(why) },
            State::Issued(new) | State::Delivered(new) => State::Aborting { new: Some(new), why },
            State::Verified(new) | State::Promoted { new, .. } => {
                self.turn_from_promoted(new, why, leaves_sink).await?
            }
            State::Retiring(new) if leaves_sink => {
                let why = format!("{why}; the old key was being retired, and may be gone");
                self.turn_from_promoted(new, why, leaves_sink).await?
            }
            State::Aborting { .. } if leaves_sink => state,
            State::Aborting { .. } => return Ok(()),
            State::Retiring(_) | State::Retired { .. } => {
                return refuse("the old key is being retired: there is no way back, resume the rotation");
            }
            State::Done { .. } => return refuse("the rotation is done: there is nothing left to undo"),
            State::Aborted { .. } => return refuse("the rotation is undone already"),
            State::NeedsAttention { .. } => return Ok(()),
        };
        self.write(|record| {
            record.old_expires = false;
            record.leaves_sink = leaves_sink;
            record.state = next;
        })
        .await
    }

    /// The sink may hold the new secret: it must not go before the old one is known to be there, unless users have another one
    /// altogether.
    async fn turn_from_promoted(&self, new: Issued, why: String, leaves_sink: bool) -> Result<State> {
        let ended = match self.rotator.provider.get(&self.record.plan.old.id).await {
            Ok(old) if old.status().is_dead() => Some("works no more"),
            Ok(_) => None,
            Err(error) if error.is_not_found() => Some("is gone"),
            Err(error) => return Err(error.into()),
        };
        match ended {
            Some(ended) if !leaves_sink => {
                let why = format!("the old key {ended}: there is no way back, resume the rotation");
                return Err(RotateError::Refused(why));
            }
            None if self.record.old_expires => self.put_expiry_back().await?,
            _ => {}
        }
        Ok(State::Aborting { new: Some(new), why })
    }

    /// Has the old key expire when it did before the grace.
    pub(super) async fn put_expiry_back(&self) -> Result {
        let (provider, plan) = (&self.rotator.provider, &self.record.plan);
        let Some(before) = plan.old_expiry() else { return Ok(()) };
        let error = match provider.update(&plan.old.id, &KeyUpdate::new().expiry(Expiry::At(before))).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() || error.may_have_taken_effect() => return Err(error.into()),
            Err(error) => error,
        };
        let shown = provider.get(&plan.old.id).await?;
        if shown.expires_at().and_then(Timestamp::utc) == Some(before) {
            return Ok(());
        }
        Err(RotateError::Refused(format!(
            "{}: key {} ends with the grace, and its expiry cannot be put back ({error}): put it back yourself, or resume the \
             rotation",
            plan.provider, plan.old.id
        )))
    }

    /// Has the sink hold the old secret again, and retires what was issued.
    pub(super) async fn undo(&mut self, new: Option<Issued>, mut why: String) -> Result<Step> {
        if let Some(new) = &new {
            if let Some(step) = self.before_withdrawing(new, &mut why).await? {
                return Ok(step);
            }
            let withdrawn = self.rotator.sink.withdraw(&new.mark).await;
            withdrawn.map_err(|error| self.rotator.sink_error(error))?;
            self.discard(&new.key, &new.mark).await?;
        }
        self.sweep(None).await?;
        self.go_to(State::Aborted { why }).await
    }

    /// Sees to it that users are left with a secret that works, if there is one. Where the new one is not to be withdrawn, says
    /// what is done instead.
    async fn before_withdrawing(&mut self, new: &Issued, why: &mut String) -> Result<Option<Step>> {
        if self.record.leaves_sink {
            let forgotten = self.rotator.sink.forget_previous(&new.mark).await;
            forgotten.map_err(|error| self.rotator.sink_error(error))?;
            return Ok(None);
        }
        if self.is_somebody_elses(new).await? {
            let problem = "the sink holds another secret than this rotation's, which would be lost: put it right, or abort and \
                           leave it there";
            return self.stop(problem).await.map(Some);
        }
        if self.old_works_still(new).await? {
            return Ok(None);
        }
        if self.is_in_sink(new).await? {
            // Where it is the current one already, that changes nothing.
            self.go_to(State::Verified(new.clone())).await?;
            let problem = "the old key's secret has stopped working: there is no way back, resume the rotation";
            return Err(RotateError::Refused(problem.to_owned()));
        }
        why.push_str("; the old key has stopped working since, and the new one's secret is in the sink no more");
        Ok(None)
    }

    /// Whether users have something to go back to: the old key may have ended since the rotation was turned back.
    async fn old_works_still(&self, new: &Issued) -> Result<bool> {
        let previous = self.previous(&new.mark).await?;
        if self.record.plan.in_sink != SinkContent::OldSecret {
            // Nobody knows where the old secret is, but the vendor knows the key.
            let is_promoted = previous.is_some() || self.current_of(new).await?.is_some();
            return Ok(!is_promoted || !self.is_old_gone(new).await?);
        }
        // They find the old secret as it is, or will not find the new one's place.
        let Some(previous) = previous else { return Ok(true) };
        let end = self.in_a_while(self.record.plan.timing.verify_seconds);
        Ok(matches!(self.try_for_a_while(&previous, 1, end).await?, Tried::Works))
    }

    pub(super) async fn is_in_sink(&self, new: &Issued) -> Result<bool> {
        let pending = self.pending(&new.mark).await?;
        Ok(self.is_of(new, pending.as_ref()) || self.current_of(new).await?.is_some())
    }

    /// Whether somebody else has changed the sink since the new secret was promoted there.
    async fn is_somebody_elses(&self, new: &Issued) -> Result<bool> {
        for part in parts_of(&self.rotator.sink) {
            let fails = |error| RotateError::Sink { sink: part.name(), error };
            let previous = part.previous(&new.mark).await.map_err(fails)?;
            // One that was empty has no secret before.
            if previous.is_none() && self.record.plan.in_sink != SinkContent::Nothing {
                continue;
            }
            let current = part.current().await.map_err(fails)?;
            if current.is_some() && current != previous && !self.is_of(new, current.as_ref()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Retires every key under a mark of this rotation but the one that is kept, and empties their places in the sink.
    pub(super) async fn sweep(&mut self, kept: Option<&Issued>) -> Result {
        let marks = self.record.marks.clone();
        // In place, a mark is in no name.
        if self.record.plan.strategy == Strategy::Overlap {
            for (key, mark) in self.living(&marks).await? {
                if kept.is_none_or(|kept| kept.key != key) {
                    self.discard(&key, &mark).await?;
                }
            }
        }
        for mark in marks.iter().filter(|mark| kept.is_none_or(|kept| kept.mark != **mark)) {
            let withdrawn = self.rotator.sink.withdraw(mark).await;
            withdrawn.map_err(|error| self.rotator.sink_error(error))?;
        }
        Ok(())
    }

    /// Writes down that a key of this rotation's has to go, and has it go.
    pub(super) async fn discard(&mut self, key: &KeyId, mark: &Mark) -> Result {
        if !self.record.discards.iter().any(|discard| discard.key == *key) {
            let discard = Discard { key: key.clone(), mark: mark.clone(), confirmed: None };
            self.write(|record| record.discards.push(discard)).await?;
        }
        self.finish_discards().await
    }

    /// Has every key go that has to and is not known to be gone.
    pub(super) async fn finish_discards(&mut self) -> Result {
        while let Some(discard) = self.record.discards.iter().find(|discard| discard.confirmed.is_none()) {
            let key = discard.key.clone();
            let confirmed = self.end(&key).await?;
            self.write(|record| {
                let of_key = record.discards.iter_mut().find(|discard| discard.key == key);
                of_key.into_iter().for_each(|discard| discard.confirmed = Some(confirmed));
            })
            .await?;
        }
        Ok(())
    }

    /// Deletes a key, or revokes it where that is all there is, and looks whether it is gone.
    pub(super) async fn end(&self, key: &KeyId) -> Result<Confirmation> {
        let provider = &self.rotator.provider;
        let ended = if provider.capabilities().support(Capability::Delete).is_supported() {
            provider.delete(key).await
        } else {
            provider.revoke(key, &Revocation::new()).await
        };
        match ended {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        match provider.get(key).await {
            Ok(shown) if shown.status().is_dead() => Ok(Confirmation::KeyGone),
            Ok(shown) if shown.status() == KeyStatus::Active => Err(RotateError::NotYet(format!(
                "{}: key {key} was issued by the rotation and deleted, and is still active: resume the rotation later",
                provider.name()
            ))),
            Ok(_) => Ok(Confirmation::Acknowledged),
            Err(error) if error.is_not_found() => Ok(Confirmation::KeyGone),
            Err(error) => Err(error.into()),
        }
    }
}
