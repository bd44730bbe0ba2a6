//! Ends the old key. The rotation retires it only if it has just seen the new one work.

use api_keyring::{ApiKey, Error, Expiry, KeyStatus, KeyUpdate, Provider as _, Revocation};
use chrono::{DateTime, Utc};

use super::identity::OldNow;
use super::vendor::Trial;
use super::{Next, Result, Run};
use crate::plan::Retirement;
use crate::record::{Confirmation, Issued};
use crate::{JournalError, State, Strategy};

impl Run<'_> {
    /// Checks that users find the new secret in the sink and that it works. Returns what is wrong, with a hint.
    pub(super) async fn problem_with_new(&self, new: &Issued) -> Result<Option<&'static str>> {
        let Some(secret) = self.current_of(new).await? else {
            return Ok(Some("the destination does not hold the new key's secret: put that secret back and resume"));
        };
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        Ok(match self.try_secret(&secret, 1, deadline).await? {
            Trial::Works => None,
            Trial::Refused => Some("the new key has stopped working: make it work again and resume"),
            Trial::Unclear => Some(
                "nothing shows whether the new key works, because the vendor answers its secret with 403, as it answers a \
                 wrong one: allow the key to list keys and resume",
            ),
        })
    }

    /// Sets the old key's expiry to the end of the grace, unless it expires before. Doing this twice does no harm.
    pub(super) async fn expire_old(&mut self, new: &Issued, until: DateTime<Utc>) -> Result {
        let is_earlier = self.record.plan.old_expiry().is_some_and(|expiry| expiry <= until);
        if is_earlier || self.record.expiry_refused {
            return Ok(());
        }
        // Another key that has got the old one's id keeps its expiry.
        let OldNow::Ours(_) = self.look_at_old(new).await? else { return Ok(()) };
        let old = self.record.plan.old.id.clone();
        let is_first = !self.record.old_expires;
        if is_first {
            self.write(|record| record.old_expires = true).await?;
        }
        let updated = self.rotator.provider.update(&old, &KeyUpdate::new().expiry(Expiry::At(until))).await;
        if updated.as_ref().err().is_none_or(Error::may_have_taken_effect) {
            self.restore_expiry_if_aborted(new).await?;
        }
        match updated {
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() || error.may_have_taken_effect() => Err(error.into()),
            // The old key is gone, or the grace is over by the vendor's clock. The rotation retires the key in any
            // case.
            Err(_) if is_first => {
                self.write(|record| (record.old_expires, record.expiry_refused) = (false, true)).await
            }
            // An earlier request may have set the expiry.
            Err(_) => Ok(()),
        }
    }

    /// Restores the old key's expiry if another process aborted the rotation while this one was about to set it.
    async fn restore_expiry_if_aborted(&self, new: &Issued) -> Result {
        let Err(error) = self.rotator.journal.renew(&self.lease).await else { return Ok(()) };
        if let JournalError::LeaseLost = error
            && let Some(record) = self.rotator.journal.load(&self.record.id).await?
            && record.state.is_aborted()
        {
            self.restore_expiry(new).await?;
        }
        Err(error.into())
    }

    /// Checks the new key again before a resumed rotation retires the old one: the earlier check may have been long
    /// ago.
    pub(super) async fn check_before_retiring(&mut self) -> Result {
        let State::Retiring(new) = self.record.state.clone() else { return Ok(()) };
        let Some(problem) = self.problem_with_new(&new).await? else { return Ok(()) };
        if !self.is_old_gone(&new).await? {
            let attention = self.needs_attention(problem);
            return self.go_to(attention).await;
        }
        let attention = match self.is_in_sink(&new).await? {
            false => self.needs_secret(),
            true if self.record.waived.is_some() => return Ok(()),
            true => self.needs_attention(both_gone(problem)),
        };
        self.go_to(attention).await
    }

    /// Returns the state in which a person has to find the new secret: users do not have it, and the old key is gone.
    ///
    /// The rotation does not retire the new key by itself. What this process sees may be another host's destination.
    pub(super) fn needs_secret(&self) -> State {
        self.needs_attention(
            "the destination does not hold the new key's secret, and the old key is gone. Put the new secret back and \
             resume, or give the new key up (`abort --leave-destination`)",
        )
    }

    /// Revokes or deletes the old key. It looks at the key right before each request, and leaves another key alone that
    /// has got the old one's id.
    pub(super) async fn retire(&mut self, new: Issued) -> Result<Next> {
        let deadline = self.deadline(self.record.plan.timing.confirm_seconds);
        loop {
            match self.look_at_old(&new).await? {
                OldNow::Gone => break,
                OldNow::Unclear(difference) => return Ok(Next::State(self.needs_attention_unclear(&difference))),
                OldNow::Ours(old) if self.is_retired(&old) => break,
                OldNow::Ours(_) => {}
            }
            // A process that was held up must not retire a key after another one aborted the rotation.
            self.rotator.journal.renew(&self.lease).await?;
            match self.send_retirement().await {
                Ok(()) => break,
                // One such answer proves nothing. The next step checks whether the key is gone.
                Err(error) if error.is_not_found() => break,
                Err(error) if error.is_transient() || error.may_have_taken_effect() => {
                    // As long as the request may take effect, nobody may abort the rotation.
                    self.record_resumption().await?;
                    self.wait_before_repeating(error, deadline).await?;
                }
                Err(error) => {
                    if self.is_old_gone(&new).await.unwrap_or(false) {
                        break;
                    }
                    let why = format!(
                        "the old key could not be retired, and may still work: {error}. Fix the cause and resume"
                    );
                    return Ok(Next::State(self.needs_attention(why)));
                }
            }
            self.poll().await?;
        }
        Ok(Next::State(State::Retired { new, confirmed: None }))
    }

    /// Returns whether a revocation has already ended the key. A key that only expired is retired all the same.
    fn is_retired(&self, old: &ApiKey) -> bool {
        let is_ended = matches!(self.status(old), KeyStatus::Revoked | KeyStatus::Inactive);
        self.record.plan.retirement == Retirement::Revoke && is_ended
    }

    async fn send_retirement(&self) -> api_keyring::Result<()> {
        let (plan, provider) = (&self.record.plan, &self.rotator.provider);
        if plan.retirement != Retirement::Revoke {
            return provider.delete(&plan.old.id).await;
        }
        let mut revocation = Revocation::new();
        revocation.reason.clone_from(&plan.reason);
        // Some vendors require the role, and do not show it.
        revocation.role = plan.old.role.clone().or_else(|| plan.role.clone());
        provider.revoke(&plan.old.id, &revocation).await
    }

    /// Returns the state in which a person has to find out whether a key is the old one.
    pub(super) fn needs_attention_unclear(&self, difference: &str) -> State {
        self.needs_attention(format!(
            "{difference}. If it is the old key, retire it yourself and resume. If it is another one, waive the evidence \
             (`--waive-evidence`), and the rotation leaves it alone"
        ))
    }

    /// Returns the state that the rotation was in before it needed attention.
    pub(super) fn state_before_attention(&self) -> State {
        match self.record.state.underlying() {
            // Earlier versions wrote this after the vendor had refused the request.
            State::Issuing { .. } => State::Planned,
            state => state.clone(),
        }
    }

    /// Returns the state in which a rotation that needed attention is resumed.
    pub(super) async fn state_to_resume(&self) -> Result<State> {
        Ok(match self.state_before_attention() {
            // The old key is still there, so the retirement may never have taken effect.
            State::Retired { new, confirmed: None }
                if self.record.plan.strategy == Strategy::Overlap && !self.is_old_gone(&new).await? =>
            {
                State::Retiring(new)
            }
            state => state,
        })
    }

    /// Waits until the old key is seen to be gone. The timeout restarts on resume.
    pub(super) async fn confirm(&mut self, new: Issued) -> Result<Next> {
        let deadline = self.deadline(self.record.plan.timing.confirm_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            match self.old_end(&new).await {
                Ok(Some(confirmed)) => {
                    if confirmed == Confirmation::SecretRefused {
                        // Not earlier: the sink may have held the rotator's own credential although that is not the old
                        // key's secret.
                        self.switch_own_credential(&new).await?;
                    }
                    return Ok(Next::State(State::Retired { new, confirmed: Some(confirmed) }));
                }
                Ok(None) if is_late => {
                    if let OldNow::Unclear(difference) = self.look_at_old(&new).await? {
                        return Ok(Next::State(self.needs_attention_unclear(&difference)));
                    }
                    let why = "the vendor accepted the retirement, but the old key still works, or the secret that was \
                               in the destination does. Resume to retire the old key again. If the destination held \
                               another key's secret, waive the evidence (`--waive-evidence`)";
                    return Ok(Next::State(self.needs_attention(why)));
                }
                Ok(None) => {}
                Err(error) if is_late || !error.is_transient() => return Err(error),
                Err(_) => {}
            }
            self.poll().await?;
        }
    }

    /// Forgets the old secret, and discards keys whose create took effect late.
    ///
    /// It does so only in the sink that holds the new secret. Another host's sink has neither.
    pub(super) async fn complete(&mut self, new: Issued, confirmed: Confirmation) -> Result<Next> {
        if self.record.waived.is_none() && self.current_of(&new).await?.is_none() {
            return Ok(Next::State(self.needs_attention(
                "the old secret no longer works, and the destination does not hold the new one. Put the new secret back \
                 and resume. If the destination has to hold another secret, waive the evidence (`--waive-evidence`)",
            )));
        }
        // This comes first, so that no later withdrawal can make an old secret current again.
        for mark in &self.record.marks {
            self.forget_previous(mark).await?;
        }
        // A single create that was answered has left nothing else.
        if self.record.marks.len() > 1 {
            self.discard_all_but(Some(&new)).await?;
        }
        Ok(Next::State(State::Done { key: new.key, confirmed }))
    }
}

/// Says what a person may decide if something is wrong with the new key, and the old one is gone.
pub(super) fn both_gone(problem: &str) -> String {
    format!("{problem}. The old key is gone as well: to end the rotation, waive the evidence (`--waive-evidence`)")
}
