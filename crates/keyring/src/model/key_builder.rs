//! Describing a key from outside this crate.

use std::fmt;
use std::sync::Arc;

use api_keyring_transport::Timestamp;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::model::key::{Details, ReportedStatus};
use crate::{ApiKey, KeyId, KeyStatus};

/// A key to be, field by field. What is not set is what the vendor does not tell.
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

    /// The name that people gave the key.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.details.name = Some(name.into());
        self
    }

    /// What the key is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.details.description = Some(description.into());
        self
    }

    /// What the key acts for.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.details.scope = Some(scope.into());
        self
    }

    /// The role whose permissions the key has.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.details.role = Some(role.into());
        self
    }

    /// The user who owns the key.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.details.owner = Some(owner.into());
        self
    }

    /// What the key gives access to.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.details.kind = Some(kind.into());
        self
    }

    /// When the key was created.
    pub fn created_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.created_at = Some(time.into());
        self
    }

    /// When the key was last changed.
    pub fn updated_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.updated_at = Some(time.into());
        self
    }

    /// When the key stops working.
    pub fn expires_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.expires_at = Some(time.into());
        self
    }

    /// When the key was last used.
    pub fn last_used_at(mut self, time: impl Into<Timestamp>) -> Self {
        self.details.last_used_at = Some(time.into());
        self
    }

    /// The time at the vendor's server when it showed the key.
    pub fn as_of(mut self, time: DateTime<Utc>) -> Self {
        self.details.as_of = Some(time);
        self
    }

    /// That the key never stops working by itself. Without this and [`expires_at`](Self::expires_at), nothing is known.
    pub fn never_expires(mut self) -> Self {
        self.details.expires_at = None;
        self.details.never_expires_by_default = true;
        self
    }

    /// The vendor's word on whether the key works, apart from its expiry.
    pub fn status(mut self, status: KeyStatus) -> Self {
        self.details.reported_status = ReportedStatus::Explicit(status);
        self
    }

    /// The secret with all but its ends hidden; [`Secret::masked`](crate::Secret::masked) makes one.
    pub fn masked_secret(mut self, masked: impl Into<String>) -> Self {
        self.details.masked_secret = Some(masked.into());
        self
    }

    /// A field that this model does not name.
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.extra.insert(name.into(), value.into());
        self
    }

    /// The key.
    pub fn build(self) -> ApiKey {
        ApiKey::new(&self.provider, self.id, self.details)
    }
}

impl fmt::Debug for ApiKeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyBuilder").field("provider", &self.provider).field("id", &self.id).finish_non_exhaustive()
    }
}
