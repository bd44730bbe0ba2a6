//! What a rotation is going to do, before anything is done.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::RotateError;
use crate::{ApiKey, Capability, Expiry, KeyId, KeyStatus, Mark, NewKey, Provider};

/// Which key to rotate, and how.
///
/// ```
/// use std::time::Duration;
/// use api_keyring::rotation::RotateKey;
///
/// // The old key goes on working for an hour after the new one has been put in its place.
/// let rotate = RotateKey::new("key_abc123".parse()?).grace(Duration::from_secs(3600)).reason("quarterly");
/// # Ok::<(), api_keyring::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotateKey {
    /// The key.
    pub key: KeyId,
    /// When the new key expires. `None` gives it the old one's lifetime.
    pub expiry: Option<Expiry>,
    /// The new key's role, where the vendor does not tell the old one's.
    pub role: Option<String>,
    /// Why, for the vendor's records where it keeps a reason.
    pub reason: Option<String>,
    /// How long, how often and until when things are tried and waited for.
    pub timing: Timing,
}

impl RotateKey {
    /// With an hour of grace and a new key like the old one.
    pub fn new(key: KeyId) -> Self {
        Self { key, expiry: None, role: None, reason: None, timing: Timing::default() }
    }

    /// Sets the new key's expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// Sets the new key's role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets how long the old key goes on working after the new one has been put in its place: an hour unless set here.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.timing.grace_seconds = grace.as_secs();
        self
    }

    /// Sets all times.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The old key has leaked: no grace, it is retired as soon as the new one has been put in its place.
    #[must_use]
    pub fn leaked(self) -> Self {
        self.grace(Duration::ZERO)
    }
}

/// How long, how often and until when things are tried and waited for. In whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timing {
    /// How long the old key goes on working after the new one has been put in its place.
    pub grace_seconds: u64,
    /// How long a vendor's list may not show a key that was just issued.
    pub settle_seconds: u64,
    /// How often in a row the new secret has to be seen to work. A new key may be valid only here and there at first.
    pub verify_successes: u32,
    /// How long the new secret may take until it works.
    pub verify_seconds: u64,
    /// How long the old key may take until it is gone.
    pub confirm_seconds: u64,
    /// How long it is between one look and the next.
    pub poll_seconds: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            grace_seconds: 3600,
            settle_seconds: 60,
            verify_successes: 3,
            verify_seconds: 300,
            confirm_seconds: 300,
            poll_seconds: 2,
        }
    }
}

impl Timing {
    pub(super) fn poll(&self) -> Duration {
        Duration::from_secs(self.poll_seconds.max(1))
    }
}

/// When the new key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlannedExpiry {
    /// At a point in time.
    At(DateTime<Utc>),
    /// So many seconds after it is issued.
    AfterSeconds(i64),
    /// Never.
    Never,
}

/// How the old key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Retirement {
    /// It is revoked, and the vendor keeps a record of why.
    Revoke,
    /// It is deleted.
    Delete,
}

/// What a rotation is going to do: which key it replaces, by which new one, in which steps. It can be printed, stored and
/// [started](super::Rotator::start) later; one whose key has changed since is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The provider's name.
    pub provider: String,
    /// The vendor's name.
    pub vendor: String,
    /// What the key acts for: the company's or organization's id.
    pub scope: String,
    /// The old key.
    pub old: OldKey,
    /// The names of the sinks that the new secret goes to.
    pub sinks: Vec<String>,
    /// The new key's name, without the mark that will follow it.
    pub name: String,
    /// The new key's role.
    pub role: Option<String>,
    /// The new key's description.
    pub description: Option<String>,
    /// The new key's owner.
    pub owner: Option<String>,
    /// When the new key expires.
    pub expiry: PlannedExpiry,
    /// How the old key ends.
    pub retirement: Retirement,
    /// Why.
    pub reason: Option<String>,
    /// How long, how often and until when things are tried and waited for.
    pub timing: Timing,
    /// What the new key will not have: names of fields.
    pub not_carried_over: Vec<String>,
}

/// The old key, as far as the plan rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OldKey {
    /// Its id.
    pub id: KeyId,
    /// Its name.
    pub name: Option<String>,
    /// Its role.
    pub role: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
    /// When it expires.
    pub expires_at: Option<String>,
}

impl OldKey {
    pub(super) fn of(key: &ApiKey) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: key.id().clone(),
            name: text(key.name()),
            role: text(key.role()),
            description: text(key.description()),
            owner: text(key.owner()),
            expires_at: key.expires_at().map(ToString::to_string),
        }
    }
}

impl Plan {
    /// What is to be done with this key.
    pub(super) fn of(
        provider: &dyn Provider,
        key: &ApiKey,
        sinks: Vec<String>,
        rotate: &RotateKey,
    ) -> Result<Self, RotateError> {
        let refuse = |why: String| Err(RotateError::Refused(format!("{}: key {}: {why}", provider.name(), key.id())));
        if is_dead(key.status()) {
            return refuse(format!("it is {}, and there is nothing to hand over: create a new key", key.status()));
        }
        let offers = |capability| provider.capabilities().support(capability).is_supported();
        if !offers(Capability::Create) || !(offers(Capability::Revoke) || offers(Capability::Delete)) {
            return refuse("the vendor does not offer to create and retire keys".to_owned());
        }
        let expiry = match (rotate.expiry, lifetime(key)) {
            (Some(Expiry::At(time)), _) => PlannedExpiry::At(time),
            (Some(Expiry::In(time)), _) => PlannedExpiry::AfterSeconds(time.num_seconds()),
            (Some(Expiry::Never), _) => PlannedExpiry::Never,
            (None, Some(lifetime)) => PlannedExpiry::AfterSeconds(lifetime.num_seconds()),
            (None, None) if key.never_expires() => PlannedExpiry::Never,
            (None, None) => return refuse("its lifetime is not known: say when the new key shall expire".to_owned()),
        };
        if expiry == PlannedExpiry::Never && !offers(Capability::CreateWithoutExpiry) {
            return refuse("the vendor has no keys that never expire: say when the new key shall expire".to_owned());
        }
        let Some(role) = rotate.role.as_deref().or(key.role()) else {
            return refuse("the vendor does not tell its role: say which the new key shall have".to_owned());
        };
        let mut not_carried_over: Vec<String> = key.extra().keys().cloned().collect();
        let mut carry = |name: &str, value: Option<&str>, capability| {
            let carried = value.filter(|_| offers(capability));
            if value.is_some() && carried.is_none() {
                not_carried_over.push(name.to_owned());
            }
            carried.map(str::to_owned)
        };
        let description = carry("description", key.description(), Capability::Description);
        let owner = carry("owner", key.owner(), Capability::CreateWithOwner);
        // A vendor may let a key go without a name; a mark has to follow one.
        let name = key.name().map(Mark::unmarked).filter(|name| !name.trim().is_empty());
        Ok(Self {
            provider: provider.name().to_owned(),
            vendor: provider.vendor().to_owned(),
            scope: provider.scope().to_owned(),
            old: OldKey::of(key),
            sinks,
            name: name.unwrap_or(key.id().as_str()).to_owned(),
            role: Some(role.to_owned()),
            description,
            owner,
            expiry,
            retirement: if offers(Capability::Revoke) { Retirement::Revoke } else { Retirement::Delete },
            reason: rotate.reason.clone(),
            timing: rotate.timing,
            not_carried_over,
        })
    }

    /// The key to issue under this mark.
    pub(super) fn new_key(&self, mark: &Mark) -> NewKey {
        let mut new = NewKey::new(&self.name).marked(mark);
        new.role.clone_from(&self.role);
        new.description.clone_from(&self.description);
        new.owner.clone_from(&self.owner);
        new.expiry(match self.expiry {
            PlannedExpiry::At(time) => Expiry::At(time),
            PlannedExpiry::AfterSeconds(seconds) => Expiry::In(TimeDelta::seconds(seconds)),
            PlannedExpiry::Never => Expiry::Never,
        })
    }
}

/// For how long the key was issued, where the vendor tells.
fn lifetime(key: &ApiKey) -> Option<TimeDelta> {
    let (created, expires) = (key.created_at()?.utc()?, key.expires_at()?.utc()?);
    Some(expires - created).filter(|lifetime| *lifetime > TimeDelta::zero())
}

/// Whether a key of that status certainly works no more.
pub(super) fn is_dead(status: KeyStatus) -> bool {
    matches!(status, KeyStatus::Expired | KeyStatus::Revoked | KeyStatus::Inactive)
}
