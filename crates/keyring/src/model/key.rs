//! The key, in a form that fits every vendor.

use std::fmt;
use std::sync::Arc;

use api_keyring_transport::{RawFields, Timestamp};
use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::model::extra::Extra;
use crate::{ApiKeyBuilder, InvalidName, KeyId, KeyRef};

/// An API key as its vendor describes it, without its secret.
///
/// A field that the vendor does not report is `None`. [`extra`](Self::extra) keeps the vendor's fields that this type
/// does not name. `Serialize` writes everything except `as_of`. The status is the current one. A time that this crate
/// can parse is in RFC 3339.
#[derive(Clone)]
pub struct ApiKey {
    provider: Arc<str>,
    id: KeyId,
    // A list may hold many keys, and moves each several times.
    pub(crate) details: Box<Details>,
}

/// Everything about a key except its provider and id. The adapters fill it.
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
    /// Whether a key without a reported expiry never expires.
    pub(crate) never_expires_by_default: bool,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) reported_status: ReportedStatus,
    pub(crate) masked_secret: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) extra: Extra,
    /// The documented fields that are in `extra` because their values do not have the documented form.
    pub(crate) unreadable: Vec<&'static str>,
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// A vendor's report of a key's status, apart from its expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReportedStatus {
    /// The vendor reports the status explicitly.
    Explicit(KeyStatus),
    /// The vendor lists only active keys.
    ActiveIfListed,
    /// The vendor reports no status and also lists keys that no longer work.
    #[default]
    NotReported,
}

impl ApiKey {
    pub(crate) fn new(provider: &Arc<str>, id: KeyId, details: Details) -> Self {
        Self { provider: Arc::clone(provider), id, details: Box::new(details) }
    }

    /// Returns a builder for a key, for a [`Provider`](crate::Provider) outside this crate or for tests.
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

    /// Sets what the server's clock showed when the server returned the key.
    pub(crate) fn with_as_of(mut self, date: Option<DateTime<Utc>>) -> Self {
        self.details.as_of = date;
        self
    }

    /// Sets the name that a keyring gives to the key's provider.
    pub(crate) fn with_provider(self, provider: &Arc<str>) -> Self {
        Self { provider: Arc::clone(provider), ..self }
    }

    /// Returns the name of the key's provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the key's id at its vendor.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the key's full name.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Provider`] if a provider outside this crate has a name that cannot start a key's full name.
    pub fn reference(&self) -> Result<KeyRef, InvalidName> {
        KeyRef::new(&self.provider, self.id.clone())
    }

    /// Returns the key's name.
    pub fn name(&self) -> Option<&str> {
        self.details.name.as_deref()
    }

    /// Returns the key's description.
    pub fn description(&self) -> Option<&str> {
        self.details.description.as_deref()
    }

    /// Returns the scope of the key: a company at Spartera, an organization at Monad.
    pub fn scope(&self) -> Option<&str> {
        self.details.scope.as_deref()
    }

    /// Returns the role that grants the key its permissions: a number at Spartera, an id at Monad.
    pub fn role(&self) -> Option<&str> {
        self.details.role.as_deref()
    }

    /// Returns the user who owns the key.
    pub fn owner(&self) -> Option<&str> {
        self.details.owner.as_deref()
    }

    /// Returns when the key was created.
    pub fn created_at(&self) -> Option<&Timestamp> {
        self.details.created_at.as_ref()
    }

    /// Returns when the key was last changed.
    pub fn updated_at(&self) -> Option<&Timestamp> {
        self.details.updated_at.as_ref()
    }

    /// Returns when the key stops working. `None` means that it never expires or that the vendor does not say when;
    /// [`never_expires`](Self::never_expires) tells these cases apart.
    pub fn expires_at(&self) -> Option<&Timestamp> {
        self.details.expires_at.as_ref()
    }

    /// Returns whether the key is known never to expire. `false` may also mean that the vendor does not say.
    pub fn never_expires(&self) -> bool {
        self.details.expires_at.is_none() && self.details.never_expires_by_default
    }

    /// Returns when the key was last used, if the vendor reports it. The report may lag behind.
    pub fn last_used_at(&self) -> Option<&Timestamp> {
        self.details.last_used_at.as_ref()
    }

    /// Returns the secret with everything but its ends hidden, such as `sk_****1234`, if the vendor reports it.
    pub fn masked_secret(&self) -> Option<&str> {
        self.details.masked_secret.as_deref()
    }

    /// Returns what the key gives access to, in the vendor's words.
    pub fn kind(&self) -> Option<&str> {
        self.details.kind.as_deref()
    }

    /// Returns whether the key works now, by this machine's clock, as far as the vendor reports.
    pub fn status(&self) -> KeyStatus {
        self.status_at(Utc::now())
    }

    /// Returns whether the key works at `now`, as far as the vendor reports.
    ///
    /// If the vendor reports that the key no longer works, that report decides. Otherwise a key whose expiry has passed
    /// is expired. A key is active only if the vendor reports it as active, or lists only active keys, and its expiry
    /// is known. An expiry at the Unix epoch is not known: some services write it for *never*, and others to end a key.
    pub fn status_at(&self, now: DateTime<Utc>) -> KeyStatus {
        let reported = match self.details.reported_status {
            ReportedStatus::Explicit(status) => status,
            ReportedStatus::ActiveIfListed => KeyStatus::Active,
            ReportedStatus::NotReported => KeyStatus::Unknown,
        };
        match reported {
            KeyStatus::Active | KeyStatus::Unknown => match self.end() {
                End::At(expiry) if expiry <= now => KeyStatus::Expired,
                // An unreadable or unreported expiry may have passed.
                End::NotKnown => KeyStatus::Unknown,
                End::At(_) | End::Never => reported,
            },
            dead => dead,
        }
    }

    /// Returns what the vendor says about the end of the key.
    pub(crate) fn end(&self) -> End {
        match self.expires_at() {
            None if self.never_expires() => End::Never,
            // Some services write the Unix epoch for a key that never expires, and others for one that they ended.
            Some(expiry) if !expiry.is_epoch() => expiry.utc().map_or(End::NotKnown, End::At),
            _ => End::NotKnown,
        }
    }

    /// Returns the server's time when [`Provider::get`](crate::Provider::get) read the key, if the server reports it.
    /// It shows how far this machine's clock is off, and says nothing about the key.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        self.details.as_of
    }

    /// Returns every field of the vendor's answer that this type does not name, and every field whose value does not
    /// have the documented form. They stay JSON text until you ask for a value, and `Serialize` writes them unchanged.
    /// Only what looks like a secret is masked.
    pub fn extra(&self) -> &RawFields {
        self.details.extra.all()
    }

    /// Returns the vendor's names of the documented fields whose values do not have the documented form, such as a role
    /// that is a list. The method that returns such a field returns `None`, with two exceptions: an expiry that cannot
    /// be read is kept as text, and a broken part of a name becomes U+FFFD. [`extra`](Self::extra) has the values.
    pub fn unreadable_fields(&self) -> &[&'static str] {
        &self.details.unreadable
    }
}

/// What a vendor says about the end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    At(DateTime<Utc>),
    Never,
    NotKnown,
}

/// Returns the documented fields that `extra` holds because they could not be decoded.
pub(crate) fn unreadable(extra: &RawFields, documented: &'static [&'static str]) -> Vec<&'static str> {
    if extra.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<_> =
        extra.names().filter_map(|name| documented.iter().copied().find(|field| *field == name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Writes only the names of the fields in [`extra`](ApiKey::extra). Their values may be secrets.
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
            .field("extra", self.extra())
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

/// Writes a time in RFC 3339, or leaves it as the vendor wrote it if it is unreadable.
fn normalized(time: &Timestamp) -> Timestamp {
    time.utc().map_or_else(|| time.clone(), Timestamp::from)
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyStatus {
    /// The key works.
    Active,
    /// The key's expiry has passed.
    Expired,
    /// The key was revoked.
    Revoked,
    /// The key was disabled.
    Inactive,
    /// The vendor does not report the status or the expiry, or reports one of them in a form that this crate does not
    /// know.
    Unknown,
}

impl KeyStatus {
    /// Returns the status as one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether a key with this status certainly no longer works. An unknown status proves nothing.
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
    fn a_key_is_active_only_if_the_vendor_says_so() {
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
    fn debug_output_names_unknown_fields_without_their_values() {
        let mut odd = key(ReportedStatus::NotReported, None);
        odd.details.extra = RawFields::from_iter([("surprise", "canary".into())]).into();
        assert!(format!("{odd:?}").contains("surprise"));
        assert!(!format!("{odd:#?}").contains("canary"));
        assert!(serde_json::to_string(&odd).unwrap().contains("canary"));
    }
}
