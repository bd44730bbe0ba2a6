//! From a key that nobody needs any more to one that is gone: not before the new one has been seen to work.

use std::sync::Arc;

use api_keyring::{Expiry, KeyStatus, KeyUpdate, Provider, ProviderExt as _, Revocation};
use chrono::{DateTime, Utc};

use super::hand_over::Tried;
use super::{Result, Run, Step};
use crate::plan::Retirement;
use crate::record::{Confirmation, Issued};
use crate::{JournalError, SinkContent, State, Strategy};

impl Run<'_> {
    /// Once the grace is over, makes sure that the new key is in use before the old one goes.
    pub(super) async fn end_grace(&mut self, new: Issued, until: DateTime<Utc>) -> Result<Step> {
        if let Some(step) = self.look_for_use(&new).await? {
            return Ok(match step {
                Step::WaitUntil(time) => Step::WaitUntil(time.max(until)),
                Step::On => Step::On,
            });
        }
        if self.now() < until {
            if self.record.plan.expire_old {
                self.expire_old(until).await?;
            }
            return Ok(Step::WaitUntil(until));
        }
        if let Some(why) = self.why_new_is_not_used(&new).await? {
            if !self.is_old_gone(&new).await? {
                return self.stop(format!("{why}, or abort the rotation")).await;
            }
            if !self.is_in_sink(&new).await? {
                return self.give_up(new).await;
            }
            if self.record.waived.is_none() {
                let why = format!("{why}; the old one is gone as well: waive the evidence to end the rotation");
                return self.stop(why).await;
            }
        }
        self.go_to(State::Retiring(new)).await
    }

    /// What stands against users having the new key: they have to find it in the sink, and it has to work.
    async fn why_new_is_not_used(&self, new: &Issued) -> Result<Option<&'static str>> {
        let Some(secret) = self.current_of(new).await? else {
            return Ok(Some("the sink holds another secret than the new key's: put it right"));
        };
        let end = self.in_a_while(self.record.plan.timing.verify_seconds);
        Ok(match self.try_for_a_while(&secret, 1, end).await? {
            Tried::Works => None,
            Tried::Refused => Some("the new key has stopped working: have it work again"),
        })
    }

    /// Has the old key expire at the end of the grace, unless it does so before. Doing it again does no harm.
    async fn expire_old(&mut self, until: DateTime<Utc>) -> Result {
        if self.record.plan.old_expiry().is_some_and(|expiry| expiry <= until) {
            return Ok(());
        }
        let old = self.record.plan.old.id.clone();
        let is_first = !self.record.old_expires;
        if is_first {
            self.write(|record| record.old_expires = true).await?;
        }
        let updated = self.rotator.provider.update(&old, &KeyUpdate::new().expiry(Expiry::At(until))).await;
        if updated.as_ref().err().is_none_or(api_keyring::Error::may_have_taken_effect) {
            self.unless_turned_back().await?;
        }
        match updated {
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() || error.may_have_taken_effect() => Err(error.into()),
            // The old key is gone, or the grace is over by the vendor's clock. It is retired all the same.
            Err(_) if is_first => self.write(|record| record.old_expires = false).await,
            // It was asked for before, and may have been done then.
            Err(_) => Ok(()),
        }
    }

    /// Somebody else may have undone the rotation while this process was held up before it set the old key's expiry: then that is
    /// not to stay.
    async fn unless_turned_back(&self) -> Result {
        let Err(error) = self.rotator.journal.renew(&self.lease).await else { return Ok(()) };
        if let JournalError::LeaseLost = error
            && let Some(record) = self.rotator.journal.load(&self.record.id).await?
            && matches!(record.state.underlying(), State::Aborting { .. } | State::Aborted { .. })
        {
            self.put_expiry_back().await?;
        }
        Err(error.into())
    }

    /// Somebody goes on whose predecessor has seen the new key in use, and who knows when: the old one goes only if that is still
    /// so, or if it is gone already.
    pub(super) async fn look_before_retiring(&mut self) -> Result {
        let State::Retiring(new) = self.record.state.clone() else { return Ok(()) };
        let Some(why) = self.why_new_is_not_used(&new).await? else { return Ok(()) };
        if !self.is_old_gone(&new).await? {
            return self.stop(why).await.map(drop);
        }
        if self.is_in_sink(&new).await? {
            return Ok(());
        }
        self.give_up(new).await.map(drop)
    }

    /// Users have another secret altogether, the old key is gone, and nobody has the new one's secret.
    async fn give_up(&mut self, new: Issued) -> Result<Step> {
        let why = "the sink holds another secret, which stays there; the old key is gone, and the new one was retired";
        self.write(|record| {
            record.leaves_sink = true;
            record.state = State::Aborting { new: Some(new), why: why.to_owned() };
        })
        .await?;
        Ok(Step::On)
    }

    pub(super) async fn is_old_gone(&self, new: &Issued) -> Result<bool> {
        let status = self.status_of_old(new).await?;
        Ok(status.is_none_or(KeyStatus::is_dead))
    }

    /// What the vendor says of the old key; `None` where there is none.
    pub(super) async fn status_of_old(&self, new: &Issued) -> Result<Option<KeyStatus>> {
        let old = &self.record.plan.old.id;
        let shown = match self.rotator.provider.get(old).await {
            // The rotator's own credential may be the one that was retired.
            Err(error) if error.is_unauthenticated() => self.acting(new).await?.get(old).await,
            shown => shown,
        };
        match shown {
            Ok(key) => Ok(Some(key.status())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes or deletes the old key. Doing it again does no harm.
    pub(super) async fn retire(&mut self, new: Issued) -> Result<Step> {
        let plan = &self.record.plan;
        let provider = &self.rotator.provider;
        let retired = match plan.retirement {
            Retirement::Revoke => {
                let mut how = Revocation::new();
                how.reason.clone_from(&plan.reason);
                // The vendor may want to be told, and not tell it itself.
                how.role = plan.old.role.clone().or_else(|| plan.role.clone());
                provider.revoke(&plan.old.id, &how).await
            }
            Retirement::Delete | Retirement::ByVendor => provider.delete(&plan.old.id).await,
        };
        match retired {
            Ok(()) => {}
            // Whether it is, is to be seen.
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_transient() || error.may_have_taken_effect() => return Err(error.into()),
            Err(error) => {
                if !self.is_old_gone(&new).await.unwrap_or(false) {
                    return self.stop(format!("the old key could not be retired: {error}")).await;
                }
            }
        }
        self.go_to(State::Retired { new, confirmed: None }).await
    }

    /// Where it is gone on from after a stop: an old key that is not gone may not have been retired at all.
    pub(super) async fn after_stop(&self, was: State) -> Result<State> {
        Ok(match was {
            State::Retired { new, confirmed: None }
                if self.record.plan.strategy == Strategy::Overlap && !self.is_old_gone(&new).await? =>
            {
                State::Retiring(new)
            }
            was => was,
        })
    }

    /// Looks whether the old key is gone, for as long as it may take. Whoever resumes has the whole time for it again.
    pub(super) async fn confirm(&mut self, new: Issued) -> Result<Step> {
        let end = self.in_a_while(self.record.plan.timing.confirm_seconds);
        loop {
            let is_late = self.is_over(end);
            match self.end_of_old(&new).await {
                Ok(Some(confirmed)) => {
                    if confirmed == Confirmation::SecretRefused {
                        // Not before: what the sink held may have been the rotator's own secret without being this key's.
                        self.switch_to(&new).await?;
                    }
                    return self.go_to(State::Retired { new, confirmed: Some(confirmed) }).await;
                }
                Ok(None) if is_late => {
                    let why = "the vendor has retired the old key, as it says, and shows it alive, or the secret that was in the \
                               sink still works: resume to retire it once more, or waive the evidence if it is another key's \
                               secret";
                    return self.stop(why).await;
                }
                Ok(None) => {}
                Err(error) if is_late || !error.is_transient() => return Err(error),
                Err(_) => {}
            }
            self.poll().await?;
        }
    }

    /// How far the old key's end is to be seen now; `None` while it is not.
    async fn end_of_old(&self, new: &Issued) -> Result<Option<Confirmation>> {
        let old = &self.record.plan.old.id;
        if self.record.plan.strategy == Strategy::InPlace && new.key == *old {
            return Ok(match self.old_secrets_are_refused(new).await? {
                Some(true) => Some(Confirmation::SecretRefused),
                Some(false) => None,
                None => Some(Confirmation::Acknowledged),
            });
        }
        let is_shown_dead = match self.status_of_old(new).await? {
            Some(KeyStatus::Active) => return Ok(None),
            status => status.is_none_or(KeyStatus::is_dead),
        };
        let previous = match self.record.plan.in_sink {
            SinkContent::OldSecret => self.previous(&new.mark).await?,
            _ => None,
        };
        match previous {
            Some(secret) if self.rotator.provider.accepts(&secret).await? => Ok(None),
            Some(_) => Ok(Some(Confirmation::SecretRefused)),
            None if is_shown_dead => Ok(Some(Confirmation::KeyGone)),
            None => Ok(Some(Confirmation::Acknowledged)),
        }
    }

    /// The provider with the new key's secret, where users find that.
    async fn acting(&self, new: &Issued) -> Result<Arc<dyn Provider>> {
        Ok(match self.current_of(new).await? {
            Some(current) => self.rotator.provider.with_secret(&current)?,
            None => Arc::clone(&self.rotator.provider),
        })
    }

    /// Retires what a create may have left that acted late, forgets the old secret, and is done.
    pub(super) async fn complete(&mut self, new: Issued, confirmed: Confirmation) -> Result<Step> {
        // First, so that nothing old becomes current again when other places are emptied.
        for mark in &self.record.marks {
            let forgotten = self.rotator.sink.forget_previous(mark).await;
            forgotten.map_err(|error| self.rotator.sink_error(error))?;
        }
        // Where the only create was answered, there is nothing else to be found.
        if self.record.marks.len() > 1 {
            self.sweep(Some(&new)).await?;
        }
        self.go_to(State::Done { key: new.key, confirmed }).await
    }
}
