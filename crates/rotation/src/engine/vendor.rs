//! What a rotation asks the vendor about its keys.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Capability, KeyId, KeyStatus, ListKeys, Mark, Provider, ProviderExt as _, Revocation, Secret};
use futures_util::TryStreamExt as _;

use super::{Result, Run};
use crate::plan::is_alive;
use crate::record::{Confirmation, Issued};
use crate::{RotateError, SinkContent, Strategy};

/// The result of a secret's trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The vendor accepts the secret.
    Works,
    /// The vendor still refused the secret at the end.
    Refused,
}

impl Run<'_> {
    /// Tries a secret until the vendor has accepted it `successes` times in a row, or refuses it after the deadline.
    ///
    /// It tries at least once. A transient failure proves nothing; one after the deadline is an error.
    pub(super) async fn try_secret(&self, secret: &Secret, successes: u32, deadline: Duration) -> Result<Trial> {
        let mut in_a_row = 0;
        loop {
            let is_late = self.has_passed(deadline);
            match self.rotator.provider.accepts(secret).await {
                Ok(answer) if answer.is_accepted() => in_a_row += 1,
                Ok(_) if is_late => return Ok(Trial::Refused),
                Ok(_) => in_a_row = 0,
                Err(error) if is_late || !error.is_transient() => return Err(error.into()),
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
        let mut keys = self.rotator.provider.list(ListKeys::new());
        let mut living = Vec::new();
        while let Some(key) = keys.try_next().await? {
            if !key.status().is_dead() {
                living.extend(marks.iter().find(|mark| mark.is_on(&key)).map(|mark| (key.id().clone(), mark.clone())));
            }
        }
        Ok(living)
    }

    /// Returns the old key's status; `None` if the vendor no longer has the key.
    pub(super) async fn old_status(&self, new: &Issued) -> Result<Option<KeyStatus>> {
        let old = &self.record.plan.old.id;
        let shown = match self.rotator.provider.get(old).await {
            // The old key may have been the rotator's own credential.
            Err(error) if error.is_unauthenticated() => self.provider_after(new).await?.get(old).await,
            shown => shown,
        };
        match shown {
            Ok(key) => Ok(Some(key.status())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn is_old_gone(&self, new: &Issued) -> Result<bool> {
        Ok(self.old_status(new).await?.is_none_or(KeyStatus::is_dead))
    }

    /// Returns the provider with the new key's secret, if users find that in the sink.
    async fn provider_after(&self, new: &Issued) -> Result<Arc<dyn Provider>> {
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
        let is_shown_dead = match self.old_status(new).await? {
            Some(KeyStatus::Active) => return Ok(None),
            status => status.is_none_or(KeyStatus::is_dead),
        };
        let previous = match plan.in_sink {
            SinkContent::OldSecret => self.previous(&new.mark).await?,
            _ => None,
        };
        match previous {
            Some(secret) if self.rotator.provider.accepts(&secret).await?.is_accepted() => Ok(None),
            Some(_) => Ok(Some(Confirmation::SecretRefused)),
            None if is_shown_dead => Ok(Some(Confirmation::KeyGone)),
            None => Ok(Some(Confirmation::Acknowledged)),
        }
    }

    /// Checks whether the vendor refuses every secret that was current before; `None` if the sink keeps none of them.
    async fn old_secrets_are_refused(&self, new: &Issued) -> Result<Option<bool>> {
        let mut seen = None;
        // The first content of an adopted sink may not be the key's secret. Every later content is.
        let mut is_known = self.record.plan.in_sink == SinkContent::OldSecret;
        for mark in &self.record.marks {
            let Some(secret) = self.previous(mark).await?.filter(|secret| !new.has_secret(secret)) else {
                continue;
            };
            if !std::mem::replace(&mut is_known, true) {
                continue;
            }
            if self.rotator.provider.accepts(&secret).await?.is_accepted() {
                return Ok(Some(false));
            }
            seen = Some(true);
        }
        Ok(seen)
    }

    /// Finds the key that is rotated in place. A regenerate whose answer was lost may have given it another id.
    pub(super) async fn find_key(&self, provider: &dyn Provider) -> Result<Option<KeyId>> {
        let plan = &self.record.plan;
        if is_alive(provider, &plan.old.id).await? {
            return Ok(Some(plan.old.id.clone()));
        }
        // Before the first request, a key of the same name is another key.
        if plan.old.name.is_none() || self.record.marks.is_empty() {
            return Ok(None);
        }
        let deadline = self.deadline(plan.timing.settle_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            let mut found = self.successors(provider).await?;
            // Several candidates prove nothing, and a list may be out of date.
            if let [key] = &found[..]
                && is_alive(provider, key).await?
            {
                return Ok(found.pop());
            }
            if is_late {
                return Ok(None);
            }
            self.poll().await?;
        }
    }

    /// Lists the living keys that have the old key's name and did not exist when the rotation began.
    async fn successors(&self, provider: &dyn Provider) -> Result<Vec<KeyId>> {
        let plan = &self.record.plan;
        let mut found = Vec::new();
        let mut keys = provider.list(ListKeys::new());
        while let Some(key) = keys.try_next().await? {
            let is_another = key.id() == &plan.old.id || plan.namesakes.contains(key.id());
            if key.name() == plan.old.name.as_deref() && !is_another && !key.status().is_dead() {
                found.push(key.id().clone());
            }
        }
        Ok(found)
    }

    /// Deletes a key that this rotation issued, or revokes it if the vendor offers nothing else, and checks that it is
    /// gone.
    pub(super) async fn delete_issued(&self, key: &KeyId) -> Result<Confirmation> {
        let provider = &self.rotator.provider;
        let deleted = if provider.capabilities().support(Capability::Delete).is_supported() {
            provider.delete(key).await
        } else {
            provider.revoke(key, &Revocation::new()).await
        };
        match deleted {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        match provider.get(key).await {
            Ok(shown) if shown.status().is_dead() => Ok(Confirmation::KeyGone),
            Ok(shown) if shown.status() == KeyStatus::Active => Err(RotateError::NotYet(format!(
                "{}: this rotation deleted key {key}, which it had issued, but the key is still active. Resume the \
                 rotation later",
                provider.name()
            ))),
            Ok(_) => Ok(Confirmation::Acknowledged),
            Err(error) if error.is_not_found() => Ok(Confirmation::KeyGone),
            Err(error) => Err(error.into()),
        }
    }
}
