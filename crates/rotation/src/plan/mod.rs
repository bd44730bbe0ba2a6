//! Plans: what a rotation is going to do, before it does anything.

mod build;
mod expiry;
mod findings;
pub(crate) mod preflight;
pub(crate) mod request;
pub(crate) mod steps;

use api_keyring::{KeyId, Mark, NewKey, Operation, OwnCredential, Regeneration, Timestamp};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::expiry::PlannedExpiry;
pub(crate) use self::findings::{Adoption, Findings};
pub use self::findings::{Holding, Holdings, OldKey, SinkContent};
use crate::host::is_same_sink;
use crate::{Strategy, Timing};

/// Describes a rotation before it starts: the key that it replaces, the new key, and how the old one ends.
///
/// You can print a plan, store it and [start](crate::Rotator::start) it later. The rotator refuses a plan whose key has
/// changed in the meantime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The provider's name.
    pub provider: String,
    /// The vendor's name.
    pub vendor: String,
    /// The id of the company or organization that the key acts for.
    pub scope: String,
    /// The old key.
    pub old: OldKey,
    /// Whether a new key or a new secret replaces the old secret.
    pub strategy: Strategy,
    /// Whether the old key is the credential that the provider authenticates with.
    #[serde(rename = "is_own")]
    pub own_credential: OwnCredential,
    /// The names of the sinks that the new secret goes to.
    pub sinks: Vec<String>,
    /// What these sinks hold now.
    pub in_sink: SinkContent,
    /// What recognizes the content of each of these sinks. Earlier versions did not record it.
    #[serde(default)]
    pub holdings: Option<Holdings>,
    /// The new key's name, without the mark that the rotation adds to it.
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
    /// Whether the old key expires at the end of the grace.
    pub expire_old: bool,
    /// How long the old key must be unused before it is retired. `None` if the rotation does not check its use.
    pub unused_for: Option<UnusedFor>,
    /// The reason for the rotation.
    pub reason: Option<String>,
    /// How long the rotation waits, and how often it tries.
    pub timing: Timing,
    /// The names of the fields that the new key does not take over.
    pub not_carried_over: Vec<String>,
    /// Other keys with the same name. A vendor may change a key's id together with its secret, and the rotation must
    /// not mistake one of these keys for it. The list is filled when the plan starts.
    pub namesakes: Vec<KeyId>,
}

/// How the old key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Retirement {
    /// The rotation revokes it, and the vendor keeps a record of the reason.
    Revoke,
    /// The rotation deletes it.
    Delete,
    /// The vendor ends the old secret when it issues the new one.
    ByVendor,
}

/// How long a key must be unused before it is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnusedFor {
    /// The time in seconds.
    pub seconds: u64,
    /// The operation whose answer shows a key's use.
    pub shown_by: Operation,
}

impl Plan {
    /// Returns whether both plans rotate the same key of the same vendor. A key that was created at another time is
    /// another key, which has got the id of one that is gone.
    pub(crate) fn rotates_same_key(&self, other: &Self) -> bool {
        (&self.vendor, &self.scope, &self.old.id) == (&other.vendor, &other.scope, &other.old.id)
            && !self.old.was_created_apart(&other.old)
    }

    /// Returns the first sink that both plans put their secrets into.
    pub(crate) fn shared_sink(&self, other: &Self) -> Option<&str> {
        let is_shared = |sink: &&String| other.sinks.iter().any(|other| is_same_sink(sink, other));
        self.sinks.iter().find(is_shared).map(String::as_str)
    }

    /// Returns the key to issue under this mark.
    pub(crate) fn new_key(&self, mark: &Mark) -> NewKey {
        let mut new = NewKey::new(&self.name).marked(mark);
        new.role.clone_from(&self.role);
        new.description.clone_from(&self.description);
        new.owner.clone_from(&self.owner);
        new.expiry = self.expiry.requested();
        new
    }

    /// Returns when the old key expires by itself, if that is known.
    pub(crate) fn old_expiry(&self) -> Option<DateTime<Utc>> {
        self.old.expires_at.as_ref().and_then(|time| Timestamp::from(time.as_str()).utc())
    }

    /// Returns the options for issuing a new secret for the same key.
    pub(crate) fn regeneration(&self) -> Regeneration {
        let mut options = Regeneration::new();
        options.expiry = self.expiry.requested();
        options
    }
}
