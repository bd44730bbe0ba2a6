//! What a rotation asks its sink, and does with it.

use std::sync::Arc;

use api_keyring::{Mark, Secret};

use super::abort::AbortSink;
use super::{Result, Run};
use crate::host::shown_name;
use crate::record::Issued;
use crate::sink::{Room, parts_of};
use crate::{RotateError, Sink, SinkError};

impl Run<'_> {
    fn sink_result<T>(&self, result: Result<T, SinkError>) -> Result<T> {
        result.map_err(|error| self.rotator.sink_error(error))
    }

    /// Checks that the sink can be written.
    pub(super) async fn check_sink(&self) -> Result {
        self.sink_result(self.sink.check().await)
    }

    /// Checks that the sink can be written, and keeps room for a secret.
    pub(super) async fn reserve_in_sink(&self) -> Result<Room> {
        self.sink_result(self.sink.reserve().await)
    }

    /// Reads the current slot.
    pub(super) async fn current(&self) -> Result<Option<Secret>> {
        self.sink_result(self.sink.current().await)
    }

    /// Reads the current slot, if it holds the new key's secret. All sinks of a set must hold it.
    pub(super) async fn current_of(&self, new: &Issued) -> Result<Option<Secret>> {
        let mut current = None;
        for part in parts_of(&self.sink) {
            match self.current_of_part(&*part).await?.filter(|secret| new.has_secret(secret)) {
                Some(secret) => current = Some(secret),
                None => return Ok(None),
            }
        }
        Ok(current)
    }

    /// Returns whether any sink holds the new key's secret in its current slot.
    pub(super) async fn is_current_anywhere(&self, new: &Issued) -> Result<bool> {
        for part in parts_of(&self.sink) {
            if self.current_of_part(&*part).await?.is_some_and(|secret| new.has_secret(&secret)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn current_of_part(&self, part: &dyn Sink) -> Result<Option<Secret>> {
        part.current().await.map_err(|error| RotateError::Sink { sink: part.name(), error })
    }

    /// Reads the pending slot of a mark.
    pub(super) async fn pending(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.sink_result(self.sink.pending(mark).await)
    }

    /// Reads the new key's pending slot, if it holds the key's secret.
    pub(super) async fn pending_of(&self, new: &Issued) -> Result<Option<Secret>> {
        Ok(self.pending(&new.mark).await?.filter(|secret| new.has_secret(secret)))
    }

    /// Reads the previous slot of a mark: the secret that was current before this mark's.
    pub(super) async fn previous(&self, mark: &Mark) -> Result<Option<Secret>> {
        self.sink_result(self.sink.previous(mark).await)
    }

    /// Returns whether the sink holds the new key's secret, pending or current.
    pub(super) async fn is_in_sink(&self, new: &Issued) -> Result<bool> {
        Ok(self.pending_of(new).await?.is_some() || self.is_current_anywhere(new).await?)
    }

    /// Returns whether another secret has replaced the new one in the sink, or in a part of it, since the promotion.
    pub(super) async fn holds_foreign_secret(&self, new: &Issued) -> Result<bool> {
        for part in parts_of(&self.sink) {
            let failed = |error| at(&*part, error);
            // A part that keeps nothing was not promoted.
            if !part.keeps_previous(&new.mark).await.map_err(failed)? {
                continue;
            }
            let previous = part.previous(&new.mark).await.map_err(failed)?;
            let current = part.current().await.map_err(failed)?;
            if current != previous && current.is_some_and(|current| !new.has_secret(&current)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn put(&self, mark: &Mark, secret: &Secret) -> Result {
        self.sink_result(self.sink.put(mark, secret).await)
    }

    /// Puts the pending secret into the whole sink again. An interrupted delivery may have reached only a part of it.
    pub(super) async fn put_pending_again(&self, new: &Issued) -> Result {
        match self.pending_of(new).await? {
            Some(secret) => self.put(&new.mark, &secret).await,
            None => Ok(()),
        }
    }

    pub(super) async fn promote_slot(&self, mark: &Mark) -> Result {
        self.sink_result(self.sink.promote(mark).await)
    }

    /// Returns the sinks that hold the new key's secret in their current slots. If an abort leaves the sinks as they are,
    /// one that cannot be read is no obstacle.
    pub(super) async fn holders(&self, new: &Issued, sink: AbortSink) -> Result<Holders> {
        let mut holders = Holders::default();
        for part in parts_of(&self.sink) {
            match part.current().await {
                Ok(Some(secret)) if new.has_secret(&secret) => holders.sinks.push(part),
                Ok(_) => holders.others += 1,
                Err(_) if sink == AbortSink::Leave => holders.unreadable.push(shown_name(&part.name())),
                Err(error) => return Err(at(&*part, error.advise(LEAVE))),
            }
        }
        Ok(holders)
    }

    pub(super) fn has_several_sinks(&self) -> bool {
        parts_of(&self.sink).len() > 1
    }

    /// Reads the previous slot of the first sink that has one.
    pub(super) async fn previous_anywhere(&self, new: &Issued, sink: AbortSink) -> Result<Option<Secret>> {
        for part in parts_of(&self.sink) {
            match part.previous(&new.mark).await {
                Ok(None) => {}
                Err(_) if sink == AbortSink::Leave => {}
                Ok(previous) => return Ok(previous),
                Err(error) => return Err(at(&*part, error.advise(LEAVE))),
            }
        }
        Ok(None)
    }

    /// Withdraws the new key's secret, which is going to stop working. A sink that holds it gets the old one back, even
    /// if the abort leaves the others as they are.
    pub(super) async fn withdraw_issued(&self, new: &Issued) -> Result {
        if !self.record.leaves_sink {
            return self.withdraw(&new.mark).await;
        }
        for part in self.holders(new, AbortSink::Leave).await?.sinks {
            part.withdraw(&new.mark).await.map_err(|error| at(&*part, error))?;
        }
        self.withdraw(&new.mark).await
    }

    /// Withdraws the secret of a mark. If the abort leaves the sink as it is, a sink that cannot be written is no
    /// obstacle, because nobody needs what stays in the slots.
    pub(super) async fn withdraw(&self, mark: &Mark) -> Result {
        if !self.record.leaves_sink {
            return self.sink_result(self.sink.withdraw(mark).await);
        }
        // Without the previous secret, the withdrawal leaves the current one alone.
        if self.sink.forget_previous(mark).await.is_ok() {
            drop(self.sink.withdraw(mark).await);
        }
        Ok(())
    }

    /// Returns whether a slot of this mark still holds a secret, or may.
    pub(super) async fn has_left_over(&self, mark: &Mark) -> bool {
        let is_empty = |slot: Result<Option<Secret>>| slot.is_ok_and(|secret| secret.is_none());
        !is_empty(self.pending(mark).await) || !is_empty(self.previous(mark).await)
    }

    pub(super) async fn forget_previous(&self, mark: &Mark) -> Result {
        self.sink_result(self.sink.forget_previous(mark).await)
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

/// What a person can do if a sink cannot be read or written.
pub(super) const LEAVE: &str =
    "To end the rotation and leave the destination as it is, use `abort --leave-destination`";

/// Which sinks hold the new key's secret.
#[derive(Default)]
pub(super) struct Holders {
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    /// The names of the sinks that cannot be read.
    pub(super) unreadable: Vec<String>,
    others: usize,
}

impl Holders {
    /// Returns whether every sink holds it.
    pub(super) fn are_all(&self) -> bool {
        self.others == 0 && self.unreadable.is_empty()
    }
}

pub(super) fn at(sink: &dyn Sink, error: SinkError) -> RotateError {
    RotateError::Sink { sink: sink.name(), error }
}
