//! Discarding the keys that a rotation issued and does not keep.

use api_keyring::{Capability, KeyId, KeyStatus, Mark, Provider as _, Revocation};

use super::{Result, Run};
use crate::record::{Confirmation, Discard, Issued};
use crate::{RotateError, State, Strategy};

impl Run<'_> {
    /// Records that a key has to go, and deletes it.
    ///
    /// The key was just seen alive under this mark. If it was thought to be gone, it is deleted again.
    pub(super) async fn discard(&mut self, key: &KeyId, mark: &Mark) -> Result {
        let on_record = self.record.discards.iter().find(|discard| discard.is(key, mark));
        if on_record.is_none_or(|discard| discard.confirmed.is_some()) {
            let discard = Discard::new(key.clone(), mark.clone());
            self.write(|record| {
                record.discards.retain(|discard| !discard.is(key, mark));
                record.discards.push(discard);
            })
            .await?;
        }
        self.finish_discards().await
    }

    /// Deletes every recorded key that is not yet known to be gone, except for one that has to hold its id for now.
    pub(super) async fn finish_discards(&mut self) -> Result {
        let may_issue =
            matches!(self.record.state, State::Planned | State::Issuing { .. } | State::Lost { abort: None, .. });
        let is_due = |discard: &&Discard| discard.confirmed.is_none() && !(discard.holds_id && may_issue);
        while let Some(Discard { key, mark, .. }) = self.record.discards.iter().find(is_due).cloned() {
            let confirmed = self.delete_issued(&key, &mark).await?;
            self.write(|record| {
                let of_key = record.discards.iter_mut().find(|discard| discard.is(&key, &mark));
                of_key.into_iter().for_each(|discard| discard.confirmed = Some(confirmed));
            })
            .await?;
        }
        Ok(())
    }

    /// Discards every key under a mark of this rotation but the kept one, and withdraws their secrets from the sink.
    /// Returns whether there was such a key.
    pub(super) async fn discard_all_but(&mut self, kept: Option<&Issued>) -> Result<bool> {
        let marks = self.record.marks.clone();
        let mut is_any = false;
        // In place, no key's name has a mark.
        if self.record.plan.strategy == Strategy::Overlap {
            for (key, mark) in self.living_under(&marks).await? {
                let is_kept = kept.is_some_and(|kept| (&kept.key, &kept.mark) == (&key, &mark));
                let holds_id = self.record.discards.iter().any(|discard| discard.is(&key, &mark) && discard.holds_id);
                if !is_kept {
                    self.discard(&key, &mark).await?;
                    is_any |= !holds_id;
                }
            }
        }
        for mark in marks.iter().filter(|mark| kept.is_none_or(|kept| kept.mark != **mark)) {
            self.withdraw(mark).await?;
        }
        Ok(is_any)
    }

    /// Deletes a key that this rotation issued under this mark, or revokes it if the vendor offers nothing else, and
    /// checks that it is gone.
    ///
    /// Right before each request, it checks that the key under the id carries the mark. Otherwise the key is gone, and
    /// another one has its id.
    pub(super) async fn delete_issued(&self, key: &KeyId, mark: &Mark) -> Result<Confirmation> {
        let deadline = self.deadline(self.record.plan.timing.confirm_seconds);
        let deletes = self.rotator.provider.capabilities().support(Capability::Delete).is_supported();
        let mut is_accepted = false;
        loop {
            let is_late = self.has_passed(deadline);
            let shown = self.find_issued(key, mark).await?.map(|shown| self.status(&shown));
            match shown {
                None => return Ok(Confirmation::KeyGone),
                Some(status) if status.is_dead() && (is_accepted || !deletes) => return Ok(Confirmation::KeyGone),
                Some(KeyStatus::Active) if is_accepted && is_late => {
                    return Err(RotateError::NotYet(format!(
                        "{}: this rotation deleted key {key}, which it had issued, but the key is still active. Resume \
                         the rotation later",
                        self.rotator.provider.name()
                    )));
                }
                Some(KeyStatus::Active) if is_accepted => {}
                Some(_) if is_accepted => return Ok(Confirmation::Acknowledged),
                Some(_) => {
                    // A rotator that was held up must not delete a key after another one has continued.
                    self.renew().await?;
                    match self.send_delete(key, deletes).await {
                        Ok(()) => {
                            is_accepted = true;
                            continue;
                        }
                        // One such answer proves nothing. The next look tells.
                        Err(error) if error.is_not_found() && !is_late => {}
                        Err(error) => self.wait_before_repeating(error, deadline).await?,
                    }
                }
            }
            self.poll().await?;
        }
    }

    async fn send_delete(&self, key: &KeyId, deletes: bool) -> api_keyring::Result<()> {
        match deletes {
            true => self.rotator.provider.delete(key).await,
            false => self.rotator.provider.revoke(key, &Revocation::new()).await,
        }
    }
}
