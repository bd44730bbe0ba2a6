//! Rotation in place: the vendor gives the key a new secret, and the old one ends at once.
//!
//! Nothing overlaps. If an answer is lost, users may have no secret that works until the rotation has requested another
//! one.

use std::time::Duration;

use api_keyring::{Acceptance, Error, IssuedKey, KeyId, Mark, Operation, Provider as _, Sameness, Secret};

use super::overlap::MAX_REQUESTS;
use super::vendor::{Found, Trial, usable};
use super::{Next, Result, Run, after};
use crate::host::shown_names;
use crate::record::Issued;
use crate::{Fingerprint, JournalError, RotateError, SinkContent, State};

impl Run<'_> {
    /// Does what follows this state.
    pub(super) async fn step_in_place(&mut self, state: State) -> Result<Next> {
        match state {
            State::Planned => self.regenerate().await,
            // Only the process that died knows whether it sent the regenerate.
            State::Issuing { mark } => Ok(lost(mark)),
            State::Lost { .. } => self.wait_for_lost_request().await,
            State::Issued(new) => self.deliver_in_place_again(new).await,
            State::Delivered(new) => self.promote_in_place(new).await,
            State::Promoted { new, .. } => self.verify_in_place(new).await,
            State::Retired { new, confirmed: None } => self.confirm(new).await,
            State::Retired { new, confirmed: Some(confirmed) } => self.complete(new, confirmed).await,
            State::Aborting { new, why } => self.abort(new, why).await,
            // The rotator refuses a journal with these states: this strategy verifies after the promotion, and the
            // vendor retires the old secret.
            State::Verified(_) | State::Retiring(_) => Ok(Next::Nothing),
            State::Done { .. } | State::Aborted { .. } | State::NeedsAttention { .. } => Ok(Next::Nothing),
        }
    }

    /// Requests a new secret for the key, and delivers it.
    async fn regenerate(&mut self) -> Result<Next> {
        if self.requested >= MAX_REQUESTS {
            let why =
                format!("{MAX_REQUESTS} requests for a new secret failed: check the key at the vendor, then resume");
            let state = self.needs_attention(why);
            self.write(|record| {
                // A later run that fails as well has nothing new to record.
                record.reserved = record.reserved.take().or_else(|| record.marks.last().cloned());
                record.state = state;
            })
            .await?;
            return Ok(Next::Recorded);
        }
        // This applies even if the old secret is dead: a secret in another host's destination does not reach the users.
        if let Some(problem) = self.problem_with_sinks(None).await? {
            let why = format!(
                "{problem}, so no secret was requested. If another rotation has replaced the secret since the plan was \
                 made, abort this one (`abort`). Otherwise put back what was there and resume, or replace what is there \
                 now (`resume --adopt`)"
            );
            return Ok(Next::State(self.needs_attention(why)));
        }
        let room = self.reserve_in_sink().await?;
        if let Some(new) = self.pending_secret_that_works().await? {
            return Ok(Next::State(State::Issued(new)));
        }
        let key = match self.find_key(&*self.rotator.provider).await? {
            Found::Key(key) => key,
            missing => return Ok(Next::State(self.needs_attention(self.why_missing(&missing)))),
        };
        // Without the journal, the next process could not continue once the old secret has ended.
        self.rotator.journal.make_room().await?;
        self.requested += 1;
        // Once a request may have ended the users' secret, an answer of a later one says nothing of it.
        let is_first = self.record.marks.is_empty();
        let is_alive = is_first || !self.has_ended_old().await?;
        let mark = self.mark_request().await?;
        // A process that was held up must not end the secret of a key that is another one by now, or that another
        // process has given a secret.
        if !self.is_still_there(&key, is_first).await? {
            self.reserve(mark).await?;
            return Err(RotateError::NotYet(format!(
                "key {key} was not there any more a moment later, so nothing was requested: resume to look again"
            )));
        }
        self.rotator.journal.renew(&self.lease).await?;
        let regenerated = self.rotator.provider.regenerate(&key, &self.record.plan.regeneration()).await;
        drop(room);
        match regenerated.and_then(|issued| usable(self.rotator.provider.name(), Operation::Regenerate, issued)) {
            Ok(issued) => self.keep(mark, issued).await,
            Err(error) => self.after_failed_regenerate(mark, error, is_first, is_alive).await,
        }
    }

    /// Returns whether the key that was found a moment ago still has its id. Before the first request, a key of the same
    /// name is another key.
    async fn is_still_there(&self, key: &KeyId, is_first: bool) -> Result<bool> {
        let old = &self.record.plan.old;
        let shown = self.find(&*self.rotator.provider, key).await?;
        Ok(shown.is_some_and(|shown| {
            let is_old = *key == old.id && old.compare_in_place(&shown) != Sameness::Another;
            is_old || (!is_first && self.is_successor(&shown))
        }))
    }

    /// Says why no key can get a new secret, and what to do.
    fn why_missing(&self, missing: &Found) -> String {
        let old = &self.record.plan.old;
        match missing {
            Found::Several(keys) => {
                let keys: Vec<_> = keys.iter().map(KeyId::as_str).collect();
                format!(
                    "key {} is gone, and each of the keys {} may have taken its place, because they have its name. \
                     Rename or delete all but the right one, and resume",
                    old.id,
                    keys.join(" and ")
                )
            }
            Found::Unclear(difference) => format!(
                "{difference}. If it is the key, give it its {} back and resume. If it is another one, abort the rotation \
                 and leave the destination as it is (`abort --leave-destination`)",
                if old.name.is_some() { "name and role" } else { "role" }
            ),
            Found::Key(_) | Found::Gone => {
                format!(
                    "key {} is gone, and no new key has its name: abort the rotation, and create a key instead",
                    old.id
                )
            }
        }
    }

    /// `is_first` says whether no request was sent before this one, and `was_alive` whether the users' secret may still
    /// have worked then.
    async fn after_failed_regenerate(
        &mut self,
        mark: Mark,
        error: Error,
        is_first: bool,
        was_alive: bool,
    ) -> Result<Next> {
        // An earlier request, whose answer was lost, may have given the key another id. A later request then names the
        // old id.
        let is_outdated_id = error.is_not_found() && !is_first;
        if error.may_have_taken_effect() || is_outdated_id || (was_alive && self.has_ended_old().await?) {
            if self.unrecorded.as_ref() != Some(&mark) || !self.record.marks.contains(&mark) {
                return Ok(lost(mark));
            }
            // The record already says that a request under this mark may have been sent.
            self.wait(Duration::from_secs(self.record.plan.timing.settle_seconds)).await?;
            self.unrecorded = None;
            return Ok(Next::Recorded);
        }
        if error.is_transient() {
            self.reserve(mark).await?;
            return Err(error.into());
        }
        if !is_first {
            self.reserve(mark).await?;
            let why = format!(
                "the key's secret may be lost, and the vendor refuses to issue another: {error}. Fix the cause and \
                 resume, or end the rotation (`abort --leave-destination`)"
            );
            return Ok(Next::State(self.needs_attention(why)));
        }
        // The vendor changed nothing under this mark, and the mark is not used again.
        self.unrecorded = None;
        self.write(|record| {
            record.marks.retain(|other| *other != mark);
            record.state = State::Aborting { new: None, why: error.to_string() };
        })
        .await?;
        Ok(Next::Recorded)
    }

    /// Returns whether the vendor refuses the users' secret, although it answered that it changed nothing.
    async fn has_ended_old(&self) -> Result<bool> {
        if self.record.in_sink() != SinkContent::OldSecret {
            return Ok(false);
        }
        let Some(current) = self.current().await? else { return Ok(false) };
        // An answer that proves nothing may mean that it has ended.
        Ok(!self.accepts(&current).await?.is_accepted())
    }

    /// Finds a requested secret in its pending slot, if it works. The journal may not know that it arrived.
    async fn pending_secret_that_works(&self) -> Result<Option<Issued>> {
        for mark in self.record.marks.iter().rev() {
            let Some(secret) = self.pending(mark).await? else { continue };
            if !self.accepts(&secret).await?.is_accepted() {
                continue;
            }
            // The new secret may have ended the rotator's own credential.
            let found = self.find_key(&*self.rotator.provider.with_secret(&secret)?).await?;
            let Found::Key(key) = found else { return Ok(None) };
            return Ok(Some(Issued { key, fingerprint: Fingerprint::new(mark, &secret), mark: mark.clone() }));
        }
        Ok(None)
    }

    /// Records and delivers the only secret that works, even if another process has taken the rotation over.
    ///
    /// It retries for a while, since nobody else has the secret. A cancellation waits until that is done.
    async fn keep(&mut self, mark: Mark, issued: IssuedKey) -> Result<Next> {
        let new = Issued::new(mark, &issued);
        let mut recorded = self.record_issued(&new, issued.secret()).await;
        if let Err(RotateError::Journal(JournalError::LeaseLost) | RotateError::Refused(_)) = recorded {
            return recorded.map(|()| Next::Recorded);
        }
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        let mut delivered = self.put(&new.mark, issued.secret()).await;
        loop {
            if let Err(RotateError::Refused(_)) = recorded {
                return recorded.map(|()| Next::Recorded);
            }
            let is_late = self.has_passed(deadline);
            if recorded.is_ok() && delivered.is_ok() {
                return self.read_back_in_place(new).await;
            }
            if is_late {
                return recorded.and(delivered).map(|()| Next::Recorded);
            }
            // If the lease cannot be renewed now, the next process takes over.
            drop(self.rotator.journal.renew(&self.lease).await);
            self.rotator.clock.sleep(self.record.plan.timing.poll()).await;
            if recorded.is_err() {
                recorded = self.record_issued(&new, issued.secret()).await;
            }
            if delivered.is_err() {
                delivered = self.put(&new.mark, issued.secret()).await;
            }
        }
    }

    async fn record_issued(&mut self, new: &Issued, secret: &Secret) -> Result {
        self.refuse_if_aborted(new, secret).await?;
        match self.go_to(State::Issued(new.clone())).await {
            Err(RotateError::Journal(JournalError::Changed)) => {
                // This process may have changed it: by a write that took effect although it failed.
                match self.rotator.journal.load(&self.record.id).await? {
                    Some(record) if record.state == State::Issued(new.clone()) => {
                        self.record = record;
                        Ok(())
                    }
                    _ => self.take_over(new, secret).await,
                }
            }
            Err(RotateError::Journal(JournalError::LeaseLost)) => self.take_over(new, secret).await,
            written => written,
        }
    }

    /// Takes the rotation back from a process that overtook this one, if this one's late request ended the other's
    /// secret.
    ///
    /// The rotation then continues from this secret, whatever state the other process has reached.
    async fn take_over(&mut self, new: &Issued, secret: &Secret) -> Result {
        let timing = self.record.plan.timing;
        let mut deadline = self.deadline(timing.verify_seconds);
        // Nobody else has this secret, and this process may die while it waits.
        let mut kept = self.put(&new.mark, secret).await;
        let mut is_refused = false;
        while !self.has_passed(deadline) {
            if kept.is_err() {
                kept = self.put(&new.mark, secret).await;
            }
            // The other process may have requested its secret later. Then this process's secret no longer works.
            let answer = self.accepts(secret).await;
            is_refused = answer.as_ref().is_ok_and(|answer| answer.is_refused());
            if answer.is_ok_and(Acceptance::is_accepted) {
                match self.rotator.lease_of(&self.record.id).await {
                    Ok((lease, record)) => {
                        (self.lease, self.record) = (lease, record);
                        // The other process has recorded this one's request, and a resumption.
                        (self.unrecorded, self.attention) = (None, None);
                        self.refuse_if_aborted(new, secret).await?;
                        let (new, mark) = (new.clone(), new.mark.clone());
                        let written = self.write(|record| {
                            record.add_mark(&mark);
                            record.state = State::Issued(new);
                        });
                        return written.await;
                    }
                    Err(RotateError::Journal(JournalError::Held { until, .. })) => {
                        // The other process may be dead. Nobody else has the secret, so wait until its lease ends.
                        let left = (until - self.now()).to_std().unwrap_or_default() + timing.poll();
                        deadline = deadline.max(self.rotator.clock.elapsed().saturating_add(left));
                    }
                    Err(error) => return Err(error),
                }
            }
            // `wait` would renew the lease, and this process has none.
            self.rotator.clock.sleep(timing.poll()).await;
        }
        if is_refused {
            // It is of no use to anybody.
            self.withdraw(&new.mark).await?;
        }
        Err(RotateError::Journal(JournalError::LeaseLost))
    }

    /// Refuses to reopen a rotation that a person aborted meanwhile. The only secret that works is kept in its pending
    /// slot.
    async fn refuse_if_aborted(&self, new: &Issued, secret: &Secret) -> Result {
        if !self.record.state.is_aborted() {
            return Ok(());
        }
        self.put(&new.mark, secret).await?;
        Err(RotateError::Refused(format!(
            "rotation {} was aborted while its last request was under way, and that request ended all earlier secrets \
             of key {}. The secret that works is in the pending slot of mark {} in {}: make it the current one \
             yourself",
            self.record.id,
            new.key,
            new.mark,
            shown_names(&*self.sink)
        )))
    }

    /// Continues a delivery that may have been interrupted.
    async fn deliver_in_place_again(&mut self, new: Issued) -> Result<Next> {
        self.put_pending_again(&new).await?;
        self.read_back_in_place(new).await
    }

    async fn read_back_in_place(&self, new: Issued) -> Result<Next> {
        Ok(match self.pending_of(&new).await? {
            Some(_) => Next::State(State::Delivered(new)),
            None => lost(new.mark),
        })
    }

    /// Makes the new secret the current one. The old one no longer works.
    async fn promote_in_place(&mut self, new: Issued) -> Result<Next> {
        if self.pending_of(&new).await?.is_some()
            && let Some(problem) = self.problem_with_sinks(Some(&new)).await?
        {
            let why = format!(
                "{problem}, so the new secret was not put there. It waits in the pending slot of mark {}. Put back \
                 what was there and resume, or replace what is there now (`resume --adopt`). If what is there now is a \
                 secret of the same key, waive the evidence (`resume --waive-evidence`)",
                new.mark
            );
            return Ok(Next::State(self.needs_attention(why)));
        }
        self.promote_slot(&new.mark).await?;
        if self.current_of(&new).await?.is_none() {
            return self.request_again_unless_in_use(new.mark).await;
        }
        self.switch_own_credential(&new).await?;
        let until = after(self.now(), self.record.plan.timing.grace_seconds);
        Ok(Next::State(State::Promoted { new, until }))
    }

    /// Checks that the new secret works. Users already read it from the sink.
    async fn verify_in_place(&mut self, new: Issued) -> Result<Next> {
        let Some(secret) = self.current_of(&new).await? else {
            return self.request_again_unless_in_use(new.mark).await;
        };
        let timing = self.record.plan.timing;
        let deadline = self.deadline(timing.verify_seconds);
        Ok(match self.try_secret(&secret, timing.verify_successes, deadline).await? {
            Trial::Works => Next::State(State::Retired { new, confirmed: None }),
            Trial::Unclear => {
                let why = "nothing shows whether the new secret works, because the vendor answers it with 403, as it \
                           answers a wrong one. Allow the key to list keys and resume. If you know that it works, waive \
                           the evidence (`--waive-evidence`)";
                Next::State(self.needs_attention(why))
            }
            // A later request by somebody else has ended this secret.
            Trial::Refused => lost(new.mark),
        })
    }

    /// Requests another secret, because the sink no longer holds the new one, unless users already have one that works.
    async fn request_again_unless_in_use(&self, mark: Mark) -> Result<Next> {
        if let Some(current) = self.current().await?
            && !self.accepts(&current).await?.is_refused()
        {
            let why = "the destination holds a secret that works, or may work, but is not the new one. Put the new secret there and \
                       resume. If the other secret is the key's as well, waive the evidence (`--waive-evidence`)";
            return Ok(Next::State(self.needs_attention(why)));
        }
        Ok(lost(mark))
    }

    /// Waits until a request whose answer is lost can no longer take effect, because it would end the next secret.
    async fn wait_for_lost_request(&self) -> Result<Next> {
        let settled = self.deadline(self.record.plan.timing.settle_seconds);
        while !self.has_passed(settled) {
            self.poll().await?;
        }
        Ok(Next::State(State::Planned))
    }
}

fn lost(mark: Mark) -> Next {
    Next::State(State::Lost { mark, abort: None })
}
