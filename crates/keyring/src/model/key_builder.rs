//! A builder that describes a key, for providers outside this crate.

use std::fmt;
use std::sync::Arc;

use api_keyring_transport::Timestamp;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::model::key::{Details, ReportedStatus};
use crate::{ApiKey, KeyId, KeyStatus};

/// Describes a key field by field. A field that you do not set is one that the vendor does not report.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ApiKeyBuilder {
    provider: Arc<str>,
    id: KeyId,
    details: Details,
}

impl ApiKeyBuilder {
    pub(crate) fn new(provider: &str, id: KeyId) -> Self {
        Self { provider: provider.into(), id, details: Details::default() }
    }

    /// Sets the key's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.details.name = Some(name.into());
        self
    }

    /// Sets the key's description.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.details.description = Some(description.into());
        self
    }

    /// Sets the key's scope: the company or organization that it acts for.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.details.scope = Some(scope.into());
        self
    }

    /// Sets the role that grants the key its permissions.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.details.role = Some(role.into());
        self
    }

    /// Sets the user who owns the key.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.details.owner = Some(owner.into());
        self
    }

    /// Sets what the key gives access to.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.details.kind = Some(kind.into());
        self
    }

    /// Sets when the key was created.
    pub fn created_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.created_at = Some(time.into());
        self
    }

    /// Sets when the key was last changed.
    pub fn updated_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.updated_at = Some(time.into());
        self
    }

    /// Sets when the key stops working.
    pub fn expires_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.expires_at = Some(time.into());
        self
    }

    /// Sets when the key was last used.
    pub fn last_used_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.last_used_at = Some(time.into());
        self
    }

    /// Sets the server's time when it returned the key.
    pub fn as_of(mut self, time: DateTime<Utc>) -> Self {
        self.details.as_of = Some(time);
        self
    }

    /// Declares that the key has no expiry. If you call neither this nor [`expires_at`](Self::expires_at), the expiry
    /// is unknown.
    pub fn never_expires(mut self) -> Self {
        self.details.expires_at = None;
        self.details.never_expires_by_default = true;
        self
    }

    /// Sets the vendor's report of whether the key works, apart from its expiry.
    pub fn status(mut self, status: KeyStatus) -> Self {
        self.details.reported_status = ReportedStatus::Explicit(status);
        self
    }

    /// Sets the secret with everything but its ends hidden; [`Secret::masked`](crate::Secret::masked) hides it.
    pub fn masked_secret(mut self, masked: impl Into<String>) -> Self {
        self.details.masked_secret = Some(masked.into());
        self
    }

    /// Adds a vendor's field that [`ApiKey`] does not name. It does not replace a field of the same name.
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.extra.push(&name.into(), &value.into());
        self
    }

    /// Creates the key.
    pub fn build(self) -> ApiKey {
        ApiKey::new(&self.provider, self.id, self.details)
    }
}

impl fmt::Debug for ApiKeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyBuilder").field("provider", &self.provider).field("id", &self.id).finish_non_exhaustive()
    }
}
