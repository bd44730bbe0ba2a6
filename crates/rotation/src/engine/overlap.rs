//! Rotation by a new key: both keys work until the old one is retired.

use api_keyring::{Error, ErrorKind, IssuedKey, KeyId, Mark, Operation, Outcome};
use chrono::{DateTime, Utc};

use super::retire::both_gone;
use super::vendor::{Trial, usable};
use super::{Next, Result, Run, after, before};
use crate::record::{Discard, Issued};
use crate::{JournalError, RotateError, State};

/// The maximum number of new keys that a rotation requests, or of new secrets that one run requests in place.
pub(super) const MAX_REQUESTS: usize = 5;

impl Run<'_> {
    /// Does what follows this state.
    pub(super) async fn step_overlap(&mut self, state: State) -> Result<Next> {
        match state {
            State::Planned => self.issue().await,
            // Only the process that died knows whether it sent the create.
            State::Issuing { mark } => Ok(Next::State(State::Lost { mark, abort: None })),
            State::Lost { mark, abort } => self.discard_lost(&mark, abort).await,
            State::Issued(new) => self.deliver_again(new).await,
            State::Delivered(new) => self.verify(new).await,
            State::Verified(new) => self.promote(new).await,
            State::Promoted { new, until } => self.end_grace(new, until).await,
            State::Retiring(new) => self.retire(new).await,
            State::Retired { new, confirmed: None } => self.confirm(new).await,
            State::Retired { new, confirmed: Some(confirmed) } => self.complete(new, confirmed).await,
            State::Aborting { new, why } => self.abort(new, why).await,
            State::Done { .. } | State::Aborted { .. } | State::NeedsAttention { .. } => Ok(Next::Nothing),
        }
    }

    /// Issues a key under a new mark, and delivers its secret.
    async fn issue(&mut self) -> Result<Next> {
        if self.record.marks.len() >= MAX_REQUESTS {
            let why = format!(
                "{MAX_REQUESTS} requests for a new key failed. The old key was left alone: check the connection to \
                 the vendor, and rotate the key again (`rotate`)"
            );
            return Ok(Next::State(State::Aborting { new: None, why }));
        }
        if let Some(problem) = self.problem_with_sinks(None).await? {
            let why = format!(
                "{problem}, so no key was issued. The old key still works: put back what was there and resume, replace what \
                 is there now (`resume --adopt`), or abort the rotation (`abort`)"
            );
            return Ok(Next::State(self.needs_attention(why)));
        }
        self.check_sink().await?;
        if !self.record.marks.is_empty() {
            // An earlier create may have taken effect after this rotation stopped waiting for it, or while it deletes
            // another key.
            for _ in 0..MAX_REQUESTS {
                if !self.discard_all_but(None).await? {
                    break;
                }
            }
        }
        let mark = self.mark_request().await?;
        // A process that was held up must not issue a key after another one has continued the rotation.
        self.rotator.journal.renew(&self.lease).await?;
        let created = self.rotator.provider.create(&self.record.plan.new_key(&mark)).await;
        match created.and_then(|issued| usable(self.rotator.provider.name(), Operation::Create, issued)) {
            Ok(issued) if self.is_spent(issued.id()) => self.hold_id(mark, issued.id()).await,
            Ok(issued) => self.deliver(mark, issued).await,
            Err(error) => self.after_failed_create(mark, error).await,
        }
    }

    /// Returns whether an id was one of the old key or of a key that this rotation discards. A rotator that was held up
    /// may still be about to delete the key under this id.
    fn is_spent(&self, id: &KeyId) -> bool {
        self.record.plan.old.id == *id || self.record.discards.iter().any(|discard| discard.key == *id)
    }

    /// Keeps a key with a spent id only until another key is issued, which then gets another id.
    async fn hold_id(&mut self, mark: Mark, key: &KeyId) -> Result<Next> {
        let discard = Discard { holds_id: true, ..Discard::new(key.clone(), mark.clone()) };
        let written = self.write(|record| {
            record.discards.push(discard);
            record.state = State::Planned;
        });
        if let Err(error) = written.await {
            self.discard_unrecorded(&mark, Some(key)).await;
            return Err(error);
        }
        Ok(Next::Recorded)
    }

    /// Deletes the key of a create that the journal does not know: it failed, or another rotator has taken the lease
    /// and may have finished the rotation before this create arrived. Only this rotator knows the key's secret.
    ///
    /// If this fails, resuming finds the key by its mark, or else the sweep does.
    async fn discard_unrecorded(&mut self, mark: &Mark, key: Option<&KeyId>) {
        self.needs_lease = false;
        if let Some(key) = key {
            drop(self.delete_issued(key, mark).await);
            return;
        }
        let settled = self.deadline(self.record.plan.timing.settle_seconds);
        loop {
            let is_late = self.has_passed(settled);
            let found = self.living_under(std::slice::from_ref(mark)).await.unwrap_or_default();
            for (key, mark) in &found {
                drop(self.delete_issued(key, mark).await);
            }
            if is_late || !found.is_empty() || self.poll().await.is_err() {
                return;
            }
        }
    }

    async fn after_failed_create(&mut self, mark: Mark, error: Error) -> Result<Next> {
        if error.may_have_taken_effect() {
            // The answer may hold only a part of the secret. The key is discarded, and another is issued. But if no
            // request can carry the secret, the vendor's next secret will hardly be better.
            let abort = (error.kind() == ErrorKind::UnusableSecret).then(|| {
                "the vendor issued a secret that no request can carry, so its key was deleted. The old key was left \
                 alone: ask the vendor"
                    .to_owned()
            });
            let discard = error.key().map(|key| Discard::new(key.clone(), mark.clone()));
            let lost = State::Lost { mark: mark.clone(), abort };
            let written = self.write(|record| {
                record.discards.extend(discard);
                record.state = lost;
            });
            let written = written.await;
            if let Err(RotateError::Journal(JournalError::LeaseLost)) = written {
                self.discard_unrecorded(&mark, error.key()).await;
            }
            return written.map(|()| Next::Recorded);
        }
        if error.is_transient() {
            self.reserve(mark).await?;
            return Err(error.into());
        }
        let why = error.to_string();
        // A refusal without the vendor's own message may come from a gateway, and the vendor may have created the key.
        let is_certain = error.outcome() == Outcome::NotSent || error.vendor_message().is_some();
        Ok(Next::State(match is_certain {
            true => State::Aborting { new: None, why },
            false => State::Lost { mark, abort: Some(why) },
        }))
    }

    async fn deliver(&mut self, mark: Mark, issued: IssuedKey) -> Result<Next> {
        let new = Issued::new(mark, &issued);
        if let Err(error) = self.go_to(State::Issued(new.clone())).await {
            self.discard_unrecorded(&new.mark, Some(&new.key)).await;
            return Err(error);
        }
        let Err(error) = self.put(&new.mark, issued.secret()).await else {
            return self.read_back(new).await;
        };
        match self.pending_of(&new).await {
            // One sink of a set has the secret. When the rotation is resumed, the others get it from there.
            Ok(Some(_)) => Err(error),
            _ => Ok(Next::State(State::Aborting { new: Some(new), why: error.to_string() })),
        }
    }

    /// Discards the keys under a mark whose create may have taken effect. The rotation sends one create with each mark,
    /// so it stops looking after one key.
    ///
    /// The settle time restarts on resume, because the clock of the earlier process may have been wrong.
    async fn discard_lost(&mut self, mark: &Mark, abort: Option<String>) -> Result<Next> {
        let settled = self.deadline(self.record.plan.timing.settle_seconds);
        loop {
            let is_late = self.has_passed(settled);
            for (key, mark) in self.living_under(std::slice::from_ref(mark)).await? {
                self.discard(&key, &mark).await?;
            }
            if is_late || self.record.discards.iter().any(|discard| discard.mark == *mark) {
                break;
            }
            self.poll().await?;
        }
        Ok(Next::State(match abort {
            Some(why) => State::Aborting { new: None, why },
            None => State::Planned,
        }))
    }

    /// Continues a delivery that may have been interrupted.
    async fn deliver_again(&mut self, new: Issued) -> Result<Next> {
        self.put_pending_again(&new).await?;
        self.read_back(new).await
    }

    /// Reads the new secret back. A key whose secret is not in the sink is useless, and is discarded.
    async fn read_back(&mut self, new: Issued) -> Result<Next> {
        if self.pending_of(&new).await?.is_some() {
            return Ok(Next::State(State::Delivered(new)));
        }
        self.write(|record| {
            record.discards.push(Discard::new(new.key, new.mark.clone()));
            record.state = State::Lost { mark: new.mark, abort: None };
        })
        .await?;
        Ok(Next::Recorded)
    }

    /// Tries the pending secret. The timeout restarts on resume.
    async fn verify(&mut self, new: Issued) -> Result<Next> {
        let Some(secret) = self.pending_of(&new).await? else {
            let why = "the destination no longer holds the new secret. The old key still works: abort the rotation";
            return Ok(Next::State(self.needs_attention(why)));
        };
        let timing = self.record.plan.timing;
        let deadline = self.deadline(timing.verify_seconds);
        Ok(Next::State(match self.try_secret(&secret, timing.verify_successes, deadline).await? {
            Trial::Works => State::Verified(new),
            Trial::Unclear => self.needs_attention(
                "nothing shows whether the new key works, because the vendor answers its secret with 403, as it answers a \
                 wrong one. The old key still works. Allow the new key to list keys and resume, or abort the rotation",
            ),
            Trial::Refused => {
                let why = format!(
                    "the new key did not work within {} s: rotate again with more time (`Timing::verify_seconds`, \
                     `--verify-within`)",
                    timing.verify_seconds
                );
                State::Aborting { new: Some(new), why }
            }
        }))
    }

    /// Makes the new secret the current one.
    async fn promote(&mut self, new: Issued) -> Result<Next> {
        if let Some(problem) = self.problem_with_sinks(Some(&new)).await? {
            let why = format!(
                "{problem}, so the new secret was not put there. Both keys work: put back what was there and \
                 resume, replace what is there now (`resume --adopt`), or abort the rotation (`abort \
                 --leave-destination`)"
            );
            return Ok(Next::State(self.needs_attention(why)));
        }
        self.promote_slot(&new.mark).await?;
        if self.current_of(&new).await?.is_none() {
            let why = "the destination does not hold the new secret. Put it there and resume, or abort the rotation";
            return Ok(Next::State(self.needs_attention(why)));
        }
        let until = after(self.now(), self.record.plan.timing.grace_seconds);
        Ok(Next::State(State::Promoted { new, until }))
    }

    /// Waits for the end of the grace and for evidence of use, then checks the new key once more.
    async fn end_grace(&mut self, new: Issued, until: DateTime<Utc>) -> Result<Next> {
        let promoted_at = before(until, self.record.plan.timing.grace_seconds);
        match self.gather_evidence(&new, promoted_at).await? {
            None => {}
            // The evidence begins before the grace ends.
            Some(Next::WaitUntil(time)) if self.record.evidence.is_none() => return Ok(Next::WaitUntil(time)),
            Some(Next::WaitUntil(time)) => return Ok(Next::WaitUntil(time.max(until))),
            Some(next) => return Ok(next),
        }
        if self.now() < until {
            if self.record.plan.expire_old {
                self.expire_old(&new, until).await?;
            }
            return Ok(Next::WaitUntil(until));
        }
        let Some(problem) = self.problem_with_new(&new).await? else { return Ok(Next::State(State::Retiring(new))) };
        if !self.is_old_gone(&new).await? {
            let why = format!("{problem}, or abort the rotation");
            return Ok(Next::State(self.needs_attention(why)));
        }
        if !self.is_in_sink(&new).await? {
            return Ok(Next::State(self.needs_secret()));
        }
        if self.record.waived.is_none() {
            return Ok(Next::State(self.needs_attention(both_gone(problem))));
        }
        Ok(Next::State(State::Retiring(new)))
    }
}
