//! What a rotation asks the vendor about its keys.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::{
    Acceptance, ApiKey, Error, IssuedKey, KeyId, KeyStatus, ListKeys, Mark, Operation, Provider, ProviderExt as _,
    Sameness, Secret,
};
use futures_util::TryStreamExt as _;

use super::identity::OldNow;
use super::{Result, Run};
use crate::error::may_pass;
use crate::record::{Confirmation, Issued};
use crate::{Plan, SinkContent, Strategy};

/// The key that is rotated in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This is its id.
    Key(KeyId),
    /// It is gone, and nothing has taken its place.
    Gone,
    /// It is gone, and each of these keys may have taken its place.
    Several(Vec<KeyId>),
    /// Nothing shows whether the key under its id still is this one. The text says what differs.
    Unclear(String),
}

/// The result of a secret's trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The vendor accepts the secret.
    Works,
    /// The vendor still refused the secret at the end.
    Refused,
    /// The vendor's last answer proved nothing: it answers a wrong secret in the same way.
    Unclear,
}

impl Run<'_> {
    /// Tries a secret until the vendor has accepted it `successes` times in a row, or refuses it after the deadline.
    ///
    /// It tries at least once. A transient failure proves nothing; one after the deadline is an error.
    pub(super) async fn try_secret(&self, secret: &Secret, successes: u32, deadline: Duration) -> Result<Trial> {
        let mut in_a_row = 0;
        loop {
            let is_late = self.has_passed(deadline);
            match self.accepts(secret).await {
                Ok(answer) if answer.is_accepted() => in_a_row += 1,
                Ok(Acceptance::Unclear) if is_late => return Ok(Trial::Unclear),
                Ok(_) if is_late => return Ok(Trial::Refused),
                Ok(_) => in_a_row = 0,
                Err(error) if is_late || !error.is_transient() => return Err(error),
                Err(_) => {}
            }
            if in_a_row >= successes.max(1) {
                return Ok(Trial::Works);
            }
            self.poll().await?;
        }
    }

    /// Lists the keys under these marks that may still work, each with its mark.
    pub(super) async fn living_under(&self, marks: &[Mark]) -> Result<Vec<(KeyId, Mark)>> {
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            match self.list_living_under(marks).await {
                Err(error) if may_pass(&error) && !is_late => self.poll().await?,
                living => return Ok(living?),
            }
        }
    }

    async fn list_living_under(&self, marks: &[Mark]) -> api_keyring::Result<Vec<(KeyId, Mark)>> {
        let mut keys = self.rotator.provider.list(ListKeys::new());
        let mut living = Vec::new();
        while let Some(key) = keys.try_next().await? {
            let key = self.rotator.provider.with_readable_name(key).await?;
            if !self.status(&key).is_dead() {
                living.extend(marks.iter().find(|mark| mark.is_on(&key)).map(|mark| (key.id().clone(), mark.clone())));
            }
        }
        Ok(living)
    }

    /// Returns whether the old key no longer works, by what the vendor shows.
    pub(super) async fn is_old_gone(&self, new: &Issued) -> Result<bool> {
        Ok(match self.look_at_old(new).await? {
            OldNow::Gone => true,
            OldNow::Ours(old) => self.status(&old).is_dead(),
            OldNow::Unclear(_) => false,
        })
    }

    /// Returns the provider with the new key's secret, if users find that in the sink.
    pub(super) async fn provider_after(&self, new: &Issued) -> Result<Arc<dyn Provider>> {
        Ok(match self.current_of(new).await? {
            Some(current) => self.rotator.provider.with_secret(&current)?,
            None => Arc::clone(&self.rotator.provider),
        })
    }

    /// Returns how the rotation can confirm now that the old key no longer works; `None` if it cannot yet.
    pub(super) async fn old_end(&self, new: &Issued) -> Result<Option<Confirmation>> {
        let plan = &self.record.plan;
        if plan.strategy == Strategy::InPlace && new.key == plan.old.id {
            return Ok(match self.old_secrets_are_refused(new).await? {
                Some(true) => Some(Confirmation::SecretRefused),
                Some(false) => None,
                None => Some(Confirmation::Acknowledged),
            });
        }
        // The secret decides first, because the key under the old id may be another one by now.
        let answer = match self.old_secret(new).await? {
            Some(secret) => Some(self.accepts(&secret).await?),
            None => None,
        };
        if answer.is_some_and(Acceptance::is_accepted) {
            return Ok(None);
        }
        // If the answer proves nothing, what the vendor shows of the key decides.
        let is_refused = answer.is_some_and(Acceptance::is_refused);
        Ok(match self.look_at_old(new).await? {
            OldNow::Ours(old) if self.status(&old) == KeyStatus::Active => None,
            OldNow::Unclear(_) => None,
            _ if is_refused => Some(Confirmation::SecretRefused),
            OldNow::Ours(old) if !self.status(&old).is_dead() => Some(Confirmation::Acknowledged),
            OldNow::Ours(_) | OldNow::Gone => Some(Confirmation::KeyGone),
        })
    }

    /// Tries a secret once.
    pub(super) async fn accepts(&self, secret: &Secret) -> Result<Acceptance> {
        Ok(self.rotator.probe.accepts(&*self.rotator.provider, secret).await?)
    }

    /// Waits before a request is sent again that failed for now or may have taken effect, for as long as the vendor
    /// asks. Returns the error if that is after the deadline, or if the vendor refused the request.
    pub(super) async fn wait_before_repeating(&self, error: Error, deadline: Duration) -> Result {
        let wait = error.retry_after().unwrap_or_default();
        let is_repeatable = may_pass(&error) || error.may_have_taken_effect();
        if !is_repeatable || self.has_passed(deadline.saturating_sub(wait)) {
            return Err(error.into());
        }
        self.wait(wait).await
    }

    /// Checks whether the vendor refuses every secret that was current before; `None` if the sink keeps none of them.
    async fn old_secrets_are_refused(&self, new: &Issued) -> Result<Option<bool>> {
        let mut seen = None;
        // The first content of an adopted sink may not be the key's secret. Every later content is.
        let mut is_known = self.record.in_sink() == SinkContent::OldSecret;
        for mark in &self.record.marks {
            let Some(secret) = self.previous(mark).await?.filter(|secret| !new.has_secret(secret)) else {
                continue;
            };
            if !std::mem::replace(&mut is_known, true) {
                continue;
            }
            if !self.has_ended(&secret, new).await? {
                return Ok(Some(false));
            }
            seen = Some(true);
        }
        Ok(seen)
    }

    /// Returns whether an earlier secret of the key that is rotated in place no longer works.
    ///
    /// The vendor may answer it with 403, as it answers a wrong one. Both secrets have the key's permissions. So if the
    /// same request succeeds with the new one, the earlier one is as good as a wrong one.
    async fn has_ended(&self, secret: &Secret, new: &Issued) -> Result<bool> {
        Ok(match self.accepts(secret).await? {
            Acceptance::Unclear => match self.current_of(new).await? {
                Some(current) => self.accepts(&current).await? == Acceptance::Accepted,
                None => false,
            },
            answer => answer.is_refused(),
        })
    }

    /// Finds the key that is rotated in place. A regenerate whose answer was lost may have given it another id.
    pub(super) async fn find_key(&self, provider: &dyn Provider) -> Result<Found> {
        let plan = &self.record.plan;
        match self.look_in_place(provider).await? {
            Found::Gone => {}
            found => return Ok(found),
        }
        // Before the first request, a key of the same name is another key.
        if plan.old.name.is_none() || self.record.marks.is_empty() {
            return Ok(Found::Gone);
        }
        let deadline = self.deadline(plan.timing.settle_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            let mut found = match self.successors(provider).await {
                Err(error) if may_pass(&error) && !is_late => {
                    self.poll().await?;
                    continue;
                }
                found => found?,
            };
            // Several candidates prove nothing, and a list may be out of date.
            if let [key] = &found[..]
                && let Some(shown) = self.find(provider, key).await?
                && self.is_successor(&shown)
                && let Some(key) = found.pop()
            {
                return Ok(Found::Key(key));
            }
            if is_late {
                return Ok(if found.is_empty() { Found::Gone } else { Found::Several(found) });
            }
            self.poll().await?;
        }
    }

    /// Looks at the key under the old key's id, and finds out whether it still is the key that is rotated in place.
    async fn look_in_place(&self, provider: &dyn Provider) -> Result<Found> {
        let old = &self.record.plan.old;
        let Some(found) = self.find(provider, &old.id).await?.filter(|found| !self.status(found).is_dead()) else {
            return Ok(Found::Gone);
        };
        match old.compare_in_place(&found) {
            Sameness::Same => return Ok(Found::Key(old.id.clone())),
            Sameness::Another => return Ok(Found::Gone),
            Sameness::Unclear => {}
        }
        // Before the first request, the old secret tells whether the key is there.
        if self.record.marks.is_empty()
            && self.record.in_sink() == SinkContent::OldSecret
            && let Some(current) = self.current().await?
        {
            match self.accepts(&current).await? {
                Acceptance::Unclear => {}
                answer if answer.is_accepted() => return Ok(Found::Key(old.id.clone())),
                _ => return Ok(Found::Gone),
            }
        }
        Ok(Found::Unclear(self.difference(&found)))
    }

    /// Lists the living keys that have the old key's name and did not exist when the rotation began.
    async fn successors(&self, provider: &dyn Provider) -> api_keyring::Result<Vec<KeyId>> {
        let mut found = Vec::new();
        let mut keys = provider.list(ListKeys::new());
        while let Some(key) = keys.try_next().await? {
            if self.is_successor(&key) {
                found.push(key.id().clone());
            }
        }
        Ok(found)
    }

    /// Returns whether a key may be the one that the vendor has put in the old one's place. It may have the same id.
    pub(super) fn is_successor(&self, key: &ApiKey) -> bool {
        let Plan { old, namesakes, .. } = &self.record.plan;
        let is_old = key.id() == &old.id && old.compare_in_place(key) != Sameness::Another;
        let is_another = is_old || namesakes.contains(key.id());
        key.name() == old.name.as_deref() && !is_another && !self.status(key).is_dead()
    }
}

/// Refuses a secret that no request can carry, because not every provider refuses it.
pub(super) fn usable(provider: &str, operation: Operation, issued: IssuedKey) -> api_keyring::Result<IssuedKey> {
    match issued.secret().is_token() {
        true => Ok(issued),
        false => Err(Error::unusable_secret(operation, issued.id(), issued.secret().clone()).under(provider)),
    }
}
