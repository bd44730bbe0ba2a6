//! Looks at a key before the rotation acts on it: an id is not an identity, because a vendor may give the id of a
//! deleted key to another key.

use api_keyring::{Acceptance, ApiKey, KeyId, KeyStatus, Mark, Provider, ProviderExt as _, Sameness};

use super::{Result, Run};
use crate::error::may_pass;
use crate::record::Issued;
use crate::{RotateError, SinkContent, Strategy};

/// What the vendor has under the old key's id.
#[derive(Debug)]
pub(super) enum OldNow {
    /// The old key.
    Ours(Box<ApiKey>),
    /// Nothing, or another key. The old key is gone.
    Gone,
    /// A key of which nothing shows whether it is the old one. The text says what differs.
    Unclear(String),
}

impl Run<'_> {
    /// Returns whether a key works by the rotator's clock, as far as the vendor shows.
    pub(super) fn status(&self, key: &ApiKey) -> KeyStatus {
        key.status_at(self.now())
    }

    /// Reads a key; `None` if it was seen to be gone twice. Reads again while that fails for now.
    pub(super) async fn find(&self, provider: &dyn Provider, id: &KeyId) -> Result<Option<ApiKey>> {
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            match provider.find(id).await {
                Err(error) if may_pass(&error) && !is_late => self.poll().await?,
                found => return Ok(found?),
            }
        }
    }

    /// Reads a key that this rotation issued under this mark; `None` if it is gone. A key under its id without the mark
    /// is another key.
    pub(super) async fn find_issued(&self, key: &KeyId, mark: &Mark) -> Result<Option<ApiKey>> {
        let found = self.find(&*self.rotator.provider, key).await?;
        Ok(found.filter(|found| mark.is_on(found)))
    }

    /// Looks at the key under the old key's id, and finds out whether it still is the old key.
    ///
    /// If what the vendor shows does not tell, the old key's secret does, where the sink keeps it: ids are unique at any
    /// one time, so if the secret works, the key under the id is the old one.
    pub(super) async fn look_at_old(&self, new: &Issued) -> Result<OldNow> {
        let old = &self.record.plan.old;
        let found = match self.find(&*self.rotator.provider, &old.id).await {
            // The old key may have been the rotator's own credential. Some vendors answer such a credential with 403.
            Err(RotateError::Provider(error)) if error.is_unauthenticated() || error.is_permission_denied() => {
                self.find(&*self.provider_after(new).await?, &old.id).await?
            }
            found => found?,
        };
        let Some(found) = found else { return Ok(OldNow::Gone) };
        if self.is_ours(&found) {
            return Ok(OldNow::Gone);
        }
        Ok(match old.compare(&found) {
            Sameness::Same => OldNow::Ours(Box::new(found)),
            Sameness::Another => OldNow::Gone,
            Sameness::Unclear => {
                let answer = match self.old_secret(new).await? {
                    Some(secret) => self.accepts(&secret).await?,
                    None => Acceptance::Unclear,
                };
                match answer {
                    Acceptance::Unclear => OldNow::Unclear(self.difference(&found)),
                    answer if answer.is_accepted() => OldNow::Ours(Box::new(found)),
                    _ => OldNow::Gone,
                }
            }
        })
    }

    /// Returns whether this rotation issued a key: the key may have got the id of the old one.
    fn is_ours(&self, key: &ApiKey) -> bool {
        self.record.plan.strategy == Strategy::Overlap && self.record.marks.iter().any(|mark| mark.is_on(key))
    }

    /// Returns the old key's secret, if the sink keeps it and it is known to be the old key's.
    pub(super) async fn old_secret(&self, new: &Issued) -> Result<Option<api_keyring::Secret>> {
        match self.record.in_sink() {
            SinkContent::OldSecret => self.previous(&new.mark).await,
            _ => Ok(None),
        }
    }

    /// Says in which respect the key under the old key's id differs from the plan.
    pub(super) fn difference(&self, found: &ApiKey) -> String {
        let old = &self.record.plan.old;
        let shown = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"));
        let (field, planned, now) = match old.name.as_deref() == found.name() {
            true => ("role", old.role.as_deref(), found.role()),
            false => ("name", old.name.as_deref(), found.name()),
        };
        format!(
            "the key under id {} may be another one, because its {field} is {} and was {}",
            old.id,
            shown(now),
            shown(planned)
        )
    }
}
