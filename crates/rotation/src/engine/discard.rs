//! Discarding the keys that a rotation issued and does not keep.

use api_keyring::{KeyId, Mark};

use super::{Result, Run};
use crate::Strategy;
use crate::record::{Discard, Issued};

impl Run<'_> {
    /// Records that a key has to go, and deletes it.
    pub(super) async fn discard(&mut self, key: &KeyId, mark: &Mark) -> Result {
        if !self.record.discards.iter().any(|discard| discard.key == *key) {
            let discard = Discard { key: key.clone(), mark: mark.clone(), confirmed: None };
            self.write(|record| record.discards.push(discard)).await?;
        }
        self.finish_discards().await
    }

    /// Deletes every recorded key that is not yet known to be gone.
    pub(super) async fn finish_discards(&mut self) -> Result {
        while let Some(discard) = self.record.discards.iter().find(|discard| discard.confirmed.is_none()) {
            let key = discard.key.clone();
            let confirmed = self.delete_issued(&key).await?;
            self.write(|record| {
                let of_key = record.discards.iter_mut().find(|discard| discard.key == key);
                of_key.into_iter().for_each(|discard| discard.confirmed = Some(confirmed));
            })
            .await?;
        }
        Ok(())
    }

    /// Discards every key under a mark of this rotation but the kept one, and withdraws their secrets from the sink.
    pub(super) async fn discard_all_but(&mut self, kept: Option<&Issued>) -> Result {
        let marks = self.record.marks.clone();
        // In place, no key's name has a mark.
        if self.record.plan.strategy == Strategy::Overlap {
            for (key, mark) in self.living_under(&marks).await? {
                if kept.is_none_or(|kept| kept.key != key) {
                    self.discard(&key, &mark).await?;
                }
            }
        }
        for mark in marks.iter().filter(|mark| kept.is_none_or(|kept| kept.mark != **mark)) {
            self.withdraw(mark).await?;
        }
        Ok(())
    }
}
