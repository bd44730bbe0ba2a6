//! What a rotation is going to do, before anything is done.

use api_keyring::{ApiKey, Capability, Expiry, KeyId, Mark, NewKey, Operation, Provider, Regeneration, Timestamp};
pub(crate) mod preflight;
pub(crate) mod request;
pub(crate) mod steps;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{RotateError, RotateKey, Strategy, Timing};

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
    /// When the old one does.
    Unchanged,
}

impl PlannedExpiry {
    fn of(expiry: Expiry) -> Self {
        match expiry {
            Expiry::At(time) => Self::At(time),
            Expiry::In(time) => Self::AfterSeconds(time.num_seconds()),
            Expiry::Never => Self::Never,
        }
    }

    fn to_ask_for(self) -> Option<Expiry> {
        match self {
            Self::At(time) => Some(Expiry::At(time)),
            // A plan may come from a file: what no time is that long, the vendor is to refuse.
            Self::AfterSeconds(seconds) => Some(Expiry::In(TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX))),
            Self::Never => Some(Expiry::Never),
            Self::Unchanged => None,
        }
    }
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
    /// The vendor ends its secret when it gives it a new one.
    ByVendor,
}

/// What a rotation is going to do: which key it replaces, by which new one, in which steps. It can be printed, stored and
/// [started](crate::Rotator::start) later; one whose key has changed since is refused.
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
    /// By a new key, or by a new secret for the same one.
    pub strategy: Strategy,
    /// Whether the old key is the credential that the provider authenticates with.
    #[serde(rename = "is_own")]
    pub own_credential: OwnCredential,
    /// The names of the sinks that the new secret goes to.
    pub sinks: Vec<String>,
    /// What they hold now.
    pub in_sink: SinkContent,
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
    /// Whether it is to expire at the end of the grace.
    pub expire_old: bool,
    /// For how long it has to be unused before it ends, and who tells; `None` where nobody looks.
    pub unused_for: Option<UnusedFor>,
    /// Why.
    pub reason: Option<String>,
    /// How long, how often and until when things are tried and waited for.
    pub timing: Timing,
    /// What the new key will not have: names of fields.
    pub not_carried_over: Vec<String>,
    /// Other keys of the same name, which are not taken for this one where the vendor gives it another id with its new secret.
    /// They are looked for when the plan is started.
    pub namesakes: Vec<KeyId>,
}

/// What a sink holds before a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkContent {
    /// The old key's secret, as far as the vendor shows it or has let it in.
    OldSecret,
    /// Something else, which is given up.
    Other,
    /// Nothing.
    Nothing,
}

/// Whether a key is the credential that the provider itself authenticates with.
///
/// It serializes as `true`, `false` or `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<bool>", into = "Option<bool>")]
pub enum OwnCredential {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Neither the sink nor a masked secret of the vendor's shows whether it is.
    Unknown,
}

impl From<Option<bool>> for OwnCredential {
    fn from(is_own: Option<bool>) -> Self {
        match is_own {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

impl From<OwnCredential> for Option<bool> {
    fn from(own: OwnCredential) -> Self {
        match own {
            OwnCredential::Yes => Some(true),
            OwnCredential::No => Some(false),
            OwnCredential::Unknown => None,
        }
    }
}

/// For how long a key has to be unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnusedFor {
    /// So long, in seconds.
    pub seconds: u64,
    /// The operation whose answer shows the use of a key.
    pub shown_by: Operation,
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
    /// When it was last changed, where the vendor tells.
    pub updated_at: Option<String>,
}

impl OldKey {
    pub(crate) fn of(key: &ApiKey) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: key.id().clone(),
            name: text(key.name()),
            role: text(key.role()),
            description: text(key.description()),
            owner: text(key.owner()),
            expires_at: key.expires_at().map(ToString::to_string),
            updated_at: key.updated_at().map(ToString::to_string),
        }
    }
}

impl Plan {
    /// What is to be done with this key.
    pub(crate) fn of(
        provider: &dyn Provider,
        key: &ApiKey,
        (own_credential, in_sink): (OwnCredential, SinkContent),
        sinks: Vec<String>,
        rotate: &RotateKey,
    ) -> Result<Self, RotateError> {
        let refuse = |why: String| Err(RotateError::Refused(format!("{}: key {}: {why}", provider.name(), key.id())));
        if key.status().is_dead() {
            return refuse(format!("it is {}, and there is nothing to hand over: create a new key", key.status()));
        }
        let offers = |capability| provider.capabilities().support(capability).is_supported();
        if rotate.unused_for.is_some() && (rotate.expire_old || rotate.strategy == Strategy::InPlace) {
            return refuse("its old secret would end, used or not: do not wait for evidence of use".to_owned());
        }
        if rotate.strategy == Strategy::InPlace {
            if !offers(Capability::Regenerate) {
                return refuse("the vendor does not give a key a new secret: rotate it by a new key".to_owned());
            }
            return Ok(Self::in_place(provider, key, (own_credential, in_sink), sinks, rotate));
        }
        if !offers(Capability::Create) || !(offers(Capability::Revoke) || offers(Capability::Delete)) {
            return refuse("the vendor does not offer to create and retire keys".to_owned());
        }
        if rotate.expire_old && !offers(Capability::UpdateExpiry) {
            return refuse("the vendor does not change when a key expires: leave that away".to_owned());
        }
        if rotate.expire_old && key.expires_at().is_none_or(|time| time.utc().is_none()) {
            return refuse(
                "no time is known at which it expires, which could be put back should the rotation be undone: leave its expiry \
                 alone"
                    .to_owned(),
            );
        }
        let expiry = match (rotate.expiry, lifetime(key)) {
            (Some(expiry), _) => PlannedExpiry::of(expiry),
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
            strategy: Strategy::Overlap,
            own_credential,
            sinks,
            in_sink,
            name: name.unwrap_or(key.id().as_str()).to_owned(),
            role: Some(role.to_owned()),
            description,
            owner,
            expiry,
            expire_old: rotate.expire_old,
            unused_for: rotate.unused_for.map(|time| UnusedFor {
                seconds: time.as_secs(),
                shown_by: if offers(Capability::Stats) { Operation::Stats } else { Operation::Get },
            }),
            retirement: if offers(Capability::Revoke) { Retirement::Revoke } else { Retirement::Delete },
            reason: rotate.reason.clone(),
            timing: rotate.timing,
            not_carried_over,
            namesakes: Vec::new(),
        })
    }

    fn in_place(
        provider: &dyn Provider,
        key: &ApiKey,
        (own_credential, in_sink): (OwnCredential, SinkContent),
        sinks: Vec<String>,
        rotate: &RotateKey,
    ) -> Self {
        let old = OldKey::of(key);
        Self {
            provider: provider.name().to_owned(),
            vendor: provider.vendor().to_owned(),
            scope: provider.scope().to_owned(),
            strategy: Strategy::InPlace,
            own_credential,
            sinks,
            in_sink,
            name: old.name.clone().unwrap_or_default(),
            role: old.role.clone(),
            description: old.description.clone(),
            owner: old.owner.clone(),
            old,
            expiry: rotate.expiry.map_or(PlannedExpiry::Unchanged, PlannedExpiry::of),
            retirement: Retirement::ByVendor,
            expire_old: false,
            unused_for: None,
            reason: rotate.reason.clone(),
            // The old secret ends when the new one is made.
            timing: Timing { grace_seconds: 0, ..rotate.timing },
            not_carried_over: Vec::new(),
            namesakes: Vec::new(),
        }
    }

    /// Whether both rotate the same key of the same vendor.
    pub(crate) fn rotates_same_key(&self, other: &Self) -> bool {
        (&self.vendor, &self.scope, &self.old.id) == (&other.vendor, &other.scope, &other.old.id)
    }

    /// The key to issue under this mark.
    pub(crate) fn new_key(&self, mark: &Mark) -> NewKey {
        let mut new = NewKey::new(&self.name).marked(mark);
        new.role.clone_from(&self.role);
        new.description.clone_from(&self.description);
        new.owner.clone_from(&self.owner);
        new.expiry = self.expiry.to_ask_for();
        new
    }

    /// When the old key expires by itself, where that is known.
    pub(crate) fn old_expiry(&self) -> Option<DateTime<Utc>> {
        self.old.expires_at.as_ref().and_then(|time| Timestamp::from(time.as_str()).utc())
    }

    /// What to ask for a new secret of the same key with.
    pub(crate) fn regeneration(&self) -> Regeneration {
        let mut how = Regeneration::new();
        how.expiry = self.expiry.to_ask_for();
        how
    }
}

/// For how long the key was issued, where the vendor tells.
fn lifetime(key: &ApiKey) -> Option<TimeDelta> {
    let (created, expires) = (key.created_at()?.utc()?, key.expires_at()?.utc()?);
    Some(expires - created).filter(|lifetime| *lifetime > TimeDelta::zero())
}

/// Whether there is such a key, which may work.
pub(crate) async fn is_alive(provider: &dyn Provider, key: &KeyId) -> api_keyring::Result<bool> {
    match provider.get(key).await {
        Ok(key) => Ok(!key.status().is_dead()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
