//! What a rotation asks its sink, and does with it.

use api_keyring::{Mark, Secret};

use super::{Result, Run};
use crate::record::Issued;
use crate::sink::parts_of;
use crate::{RotateError, SinkContent, SinkError};

impl Run<'_> {
    fn sink_result<T>(&self, result: Result<T, SinkError>) -> Result<T> {
        result.map_err(|error| self.rotator.sink_error(error))
    }

    /// Checks that the sink can be written.
    pub(super) async fn check_sink(&self) -> Result {
        self.sink_result(self.rotator.sink.check().await)
    }

    /// Reads the current slot.
    pub(super) async fn current(&self) -> Result<Option<Secret>> {
        self.sink_result(self.rotator.sink.current().await)
    }

    /// Reads the current slot, if it holds the new key's secret.
    pub(super) async fn current_of(&self, new: &Issued) -> Result<Option<Secret>> {
        Ok(self.current().await?.filter(|secret| new.has_secret(secret)))
    }

    /// Reads the pending slot of a mark.
    pub(super) async fn pending(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.sink_result(self.rotator.sink.pending(mark).await)
    }

    /// Reads the new key's pending slot, if it holds the key's secret.
    pub(super) async fn pending_of(&self, new: &Issued) -> Result<Option<Secret>> {
        Ok(self.pending(&new.mark).await?.filter(|secret| new.has_secret(secret)))
    }

    /// Reads the previous slot of a mark: the secret that was current before this mark's.
    pub(super) async fn previous(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.sink_result(self.rotator.sink.previous(mark).await)
    }

    /// Returns whether the sink holds the new key's secret, pending or current.
    pub(super) async fn is_in_sink(&self, new: &Issued) -> Result<bool> {
        Ok(self.pending_of(new).await?.is_some() || self.current_of(new).await?.is_some())
    }

    /// Returns whether another secret has replaced the new one in the sink, or in a part of it, since the promotion.
    pub(super) async fn holds_foreign_secret(&self, new: &Issued) -> Result<bool> {
        for part in parts_of(&self.rotator.sink) {
            let failed = |error| RotateError::Sink { sink: part.name(), error };
            let previous = part.previous(&new.mark).await.map_err(failed)?;
            // A part without a previous secret was not promoted, unless it was empty before.
            if previous.is_none() && self.record.plan.in_sink != SinkContent::Nothing {
                continue;
            }
            let current = part.current().await.map_err(failed)?;
            if current != previous && current.is_some_and(|current| !new.has_secret(&current)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn put(&self, mark: &Mark, secret: &Secret) -> Result {
        self.sink_result(self.rotator.sink.put(mark, secret).await)
    }

    /// Puts the pending secret into the whole sink again. An interrupted delivery may have reached only a part of it.
    pub(super) async fn put_pending_again(&self, new: &Issued) -> Result {
        match self.pending_of(new).await? {
            Some(secret) => self.put(&new.mark, &secret).await,
            None => Ok(()),
        }
    }

    pub(super) async fn promote_slot(&self, mark: &Mark) -> Result {
        self.sink_result(self.rotator.sink.promote(mark).await)
    }

    pub(super) async fn withdraw(&self, mark: &Mark) -> Result {
        self.sink_result(self.rotator.sink.withdraw(mark).await)
    }

    pub(super) async fn forget_previous(&self, mark: &Mark) -> Result {
        self.sink_result(self.rotator.sink.forget_previous(mark).await)
    }

    /// Switches the provider to the new secret, if the rotated key is its own credential.
    pub(super) async fn switch_own_credential(&self, new: &Issued) -> Result {
        let Some(own) = &self.rotator.own else { return Ok(()) };
        let was_own = self.previous(&new.mark).await?.is_some_and(|previous| previous == own.get());
        if was_own && let Some(secret) = self.current_of(new).await? {
            own.replace(secret);
        }
        Ok(())
    }
}
