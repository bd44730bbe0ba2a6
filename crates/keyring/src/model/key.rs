//! The vendor-neutral key.

use std::fmt;
use std::sync::Arc;

use api_keyring_transport::Timestamp;
use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value};

use crate::{ApiKeyBuilder, InvalidName, KeyId, KeyRef};

/// An API key as its vendor describes it, without its secret.
///
/// What one vendor has and another has not is `None`. A field that this model does not name is kept in
/// [`extra`](Self::extra). `Serialize` writes everything of the key, `status` as of now and times in RFC 3339 where they can be read.
#[derive(Clone)]
pub struct ApiKey {
    provider: Arc<str>,
    id: KeyId,
    pub(crate) details: Details,
}

/// What is known of a key beside its name. Filled by the adapters.
#[derive(Clone, Default)]
pub(crate) struct Details {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    /// Whether a key whose expiry the vendor does not tell has none.
    pub(crate) never_expires_by_default: bool,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) reported_status: ReportedStatus,
    pub(crate) masked_secret: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) extra: Map<String, Value>,
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// What a vendor says of a key's status, apart from its expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReportedStatus {
    /// The vendor says it in so many words.
    Explicit(KeyStatus),
    /// The vendor lists no keys but those that work.
    ActiveIfListed,
    /// The vendor says nothing, and lists dead keys too.
    #[default]
    NotReported,
}

impl ApiKey {
    pub(crate) fn new(provider: &Arc<str>, id: KeyId, details: Details) -> Self {
        Self { provider: Arc::clone(provider), id, details }
    }

    /// Starts describing a key, for a [`Provider`](crate::Provider) from outside this crate or for tests.
    ///
    /// ```
    /// use api_keyring::{ApiKey, KeyStatus};
    ///
    /// let key = ApiKey::builder("vault", "7".parse()?).name("ci").status(KeyStatus::Active).never_expires().build();
    /// assert_eq!((key.name(), key.status()), (Some("ci"), KeyStatus::Active));
    /// # Ok::<(), api_keyring::InvalidName>(())
    /// ```
    pub fn builder(provider: &str, id: KeyId) -> ApiKeyBuilder {
        ApiKeyBuilder::new(provider, id)
    }

    /// The key as the server showed it then.
    pub(crate) fn with_as_of(mut self, date: Option<DateTime<Utc>>) -> Self {
        self.details.as_of = date;
        self
    }

    /// Puts the key under the name that a keyring has for its provider.
    pub(crate) fn with_provider(self, provider: &Arc<str>) -> Self {
        Self { provider: Arc::clone(provider), ..self }
    }

    /// The name of the provider that the key is from.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The key's id at its vendor.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key's full name.
    ///
    /// # Errors
    ///
    /// When the provider, one from outside this crate, has a name that no key's name can begin with.
    pub fn reference(&self) -> Result<KeyRef, InvalidName> {
        KeyRef::new(&self.provider, self.id.clone())
    }

    /// The name that people gave the key.
    pub fn name(&self) -> Option<&str> {
        self.details.name.as_deref()
    }

    /// What the key is for.
    pub fn description(&self) -> Option<&str> {
        self.details.description.as_deref()
    }

    /// What the key acts for: a company at Spartera, an organization at Monad.
    pub fn scope(&self) -> Option<&str> {
        self.details.scope.as_deref()
    }

    /// The role whose permissions the key has: a number at Spartera, an id at Monad.
    pub fn role(&self) -> Option<&str> {
        self.details.role.as_deref()
    }

    /// The user who owns the key.
    pub fn owner(&self) -> Option<&str> {
        self.details.owner.as_deref()
    }

    /// When the key was created.
    pub fn created_at(&self) -> Option<&Timestamp> {
        self.details.created_at.as_ref()
    }

    /// When the key was last changed.
    pub fn updated_at(&self) -> Option<&Timestamp> {
        self.details.updated_at.as_ref()
    }

    /// When the key stops working. `None` where it never does, and where the vendor does not tell:
    /// [`never_expires`](Self::never_expires) knows which.
    pub fn expires_at(&self) -> Option<&Timestamp> {
        self.details.expires_at.as_ref()
    }

    /// Whether the key is known never to stop working by itself.
    pub fn never_expires(&self) -> bool {
        self.details.expires_at.is_none() && self.details.never_expires_by_default
    }

    /// When the key was last used, where the vendor tells; it may lag behind.
    pub fn last_used_at(&self) -> Option<&Timestamp> {
        self.details.last_used_at.as_ref()
    }

    /// The secret with all but its ends hidden, such as `sk_****1234`, where the vendor shows that.
    pub fn masked_secret(&self) -> Option<&str> {
        self.details.masked_secret.as_deref()
    }

    /// What the key gives access to, in the vendor's words.
    pub fn kind(&self) -> Option<&str> {
        self.details.kind.as_deref()
    }

    /// Whether the key works, as far as the vendor tells, as of now by this machine's clock.
    pub fn status(&self) -> KeyStatus {
        self.status_at(Utc::now())
    }

    /// Whether the key works at `now`, as far as the vendor tells.
    ///
    /// A key that the vendor calls dead is dead; one whose expiry has passed is expired. It is called active only where
    /// the vendor says so, or lists no other keys.
    pub fn status_at(&self, now: DateTime<Utc>) -> KeyStatus {
        let reported = match self.details.reported_status {
            ReportedStatus::Explicit(status) => status,
            ReportedStatus::ActiveIfListed => KeyStatus::Active,
            ReportedStatus::NotReported => KeyStatus::Unknown,
        };
        match reported {
            KeyStatus::Active | KeyStatus::Unknown => match self.expires_at().map(Timestamp::utc) {
                Some(Some(expiry)) if expiry <= now => KeyStatus::Expired,
                // An expiry that cannot be read, or is not told, may have passed.
                Some(None) => KeyStatus::Unknown,
                None if !self.never_expires() => KeyStatus::Unknown,
                _ => reported,
            },
            dead => dead,
        }
    }

    /// The time at the vendor's server when [`Provider::get`](crate::Provider::get) read the key there, where the server tells. It
    /// shows how far this machine's clock is off; of the key it says nothing.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        self.details.as_of
    }

    /// Every field of the vendor's answer that this model does not name, as it came.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.details.extra
    }
}

/// Names the fields of [`extra`](ApiKey::extra) without their values, which nobody has vouched for.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("provider", &self.provider)
            .field("id", &self.id)
            .field("name", &self.name())
            .field("scope", &self.scope())
            .field("role", &self.role())
            .field("created_at", &self.created_at())
            .field("expires_at", &self.expires_at())
            .field("reported_status", &self.details.reported_status)
            .field("extra", &self.extra().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Serialize for ApiKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_struct("ApiKey", 16)?;
        key.serialize_field("provider", self.provider())?;
        key.serialize_field("id", self.id())?;
        key.serialize_field("name", &self.name())?;
        key.serialize_field("description", &self.description())?;
        key.serialize_field("scope", &self.scope())?;
        key.serialize_field("role", &self.role())?;
        key.serialize_field("owner", &self.owner())?;
        key.serialize_field("kind", &self.kind())?;
        key.serialize_field("status", &self.status())?;
        key.serialize_field("masked_secret", &self.masked_secret())?;
        key.serialize_field("created_at", &self.created_at().map(normalized))?;
        key.serialize_field("updated_at", &self.updated_at().map(normalized))?;
        key.serialize_field("expires_at", &self.expires_at().map(normalized))?;
        key.serialize_field("never_expires", &self.never_expires())?;
        key.serialize_field("last_used_at", &self.last_used_at().map(normalized))?;
        key.serialize_field("extra", self.extra())?;
        key.end()
    }
}

/// A time in one form for all vendors, or in the vendor's own where it cannot be read.
fn normalized(time: &Timestamp) -> Timestamp {
    time.utc().map_or_else(|| time.clone(), Timestamp::from)
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyStatus {
    /// It works.
    Active,
    /// Its time is up.
    Expired,
    /// It was revoked.
    Revoked,
    /// It was switched off.
    Inactive,
    /// The vendor does not tell, or in words that are not known.
    Unknown,
}

impl KeyStatus {
    /// The status in one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::Unknown => "unknown",
        }
    }

    /// Reports whether a key with this status certainly no longer works. An unknown status proves nothing.
    pub fn is_dead(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked | Self::Inactive)
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(reported_status: ReportedStatus, expires_at: Option<&str>) -> ApiKey {
        let details = Details {
            reported_status,
            expires_at: expires_at.map(Timestamp::from),
            never_expires_by_default: reported_status != ReportedStatus::ActiveIfListed,
            ..Details::default()
        };
        ApiKey::new(&"test".into(), "1".parse().unwrap(), details)
    }

    #[test]
    fn only_what_the_vendor_vouches_for_is_active() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let (past, future) = (Some("2025-12-31 23:59:59+00:00"), Some("2026-01-01T00:00:01Z"));
        let reported = |status| ReportedStatus::Explicit(status);
        for (reported, expiry, status) in [
            (reported(KeyStatus::Active), None, KeyStatus::Active),
            (reported(KeyStatus::Active), future, KeyStatus::Active),
            (reported(KeyStatus::Active), past, KeyStatus::Expired),
            (reported(KeyStatus::Active), Some("someday"), KeyStatus::Unknown),
            (reported(KeyStatus::Revoked), past, KeyStatus::Revoked),
            (reported(KeyStatus::Inactive), future, KeyStatus::Inactive),
            (ReportedStatus::ActiveIfListed, future, KeyStatus::Active),
            (ReportedStatus::ActiveIfListed, past, KeyStatus::Expired),
            (ReportedStatus::ActiveIfListed, None, KeyStatus::Unknown),
            (ReportedStatus::NotReported, None, KeyStatus::Unknown),
            (ReportedStatus::NotReported, past, KeyStatus::Expired),
        ] {
            assert_eq!(key(reported, expiry).status_at(now), status, "{reported:?} {expiry:?}");
        }
    }

    #[test]
    fn debug_names_unknown_fields_and_does_not_show_them() {
        let mut odd = key(ReportedStatus::NotReported, None);
        odd.details.extra.insert("surprise".into(), "canary".into());
        assert!(format!("{odd:?}").contains("surprise"));
        assert!(!format!("{odd:#?}").contains("canary"));
        assert!(serde_json::to_string(&odd).unwrap().contains("canary"));
    }
}
