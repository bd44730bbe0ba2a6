//! What the preflight checks find out about a key and its sink.

use api_keyring::{ApiKey, KeyId, KeyIdentity, Mark, OwnCredential, Sameness};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, Held};

/// What the preflight checks have found, as the basis for a plan.
pub(crate) struct Findings {
    /// The key to rotate, as the vendor shows it.
    pub(crate) key: ApiKey,
    /// Whether this key is your own credential.
    pub(crate) own_credential: OwnCredential,
    /// What the sink holds.
    pub(crate) in_sink: SinkContent,
    /// The names of the sinks that the new secret goes to.
    pub(crate) sinks: Vec<String>,
    /// What each of these sinks holds.
    pub(crate) holdings: Holdings,
    /// The lifetime in seconds that an earlier rotation asked for when it issued this key, if the journal knows it.
    pub(crate) asked_lifetime: Option<i64>,
    /// The time, by the rotator's clock.
    pub(crate) now: DateTime<Utc>,
}

/// Whether a rotation may replace a secret that is not the old key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// The sink may be empty, or hold anything.
    Allowed,
    /// The sink must hold the old key's secret.
    Refused,
}

/// What a sink holds before a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkContent {
    /// The old key's secret. The vendor's masked secret matches it, or the vendor has accepted it.
    OldSecret,
    /// Something else, which the rotation replaces.
    Other,
    /// Nothing.
    Nothing,
}

impl SinkContent {
    /// Returns whether a plan for a sink with this content adopts the sink.
    pub(crate) fn adoption(self) -> Adoption {
        match self {
            Self::OldSecret => Adoption::Refused,
            Self::Other | Self::Nothing => Adoption::Allowed,
        }
    }
}

/// What the sinks held when a rotation was planned. Until the new secret is there, they must still hold that: if a sink
/// holds something else, it is another sink, or somebody has changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holdings {
    /// A random text in each fingerprint, so that the fingerprints of one secret differ from plan to plan.
    pub salt: Mark,
    /// What each sink held, in the order of the plan's sinks.
    pub sinks: Vec<Holding>,
}

/// What one sink held when a rotation was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holding {
    /// Recognizes the secret; `None` if the sink was empty.
    pub secret: Option<Fingerprint>,
    /// Who could use what the sink held, if the sink knows that.
    pub access: Option<String>,
}

impl Holdings {
    pub(crate) fn new<'a>(salt: Mark, held: impl IntoIterator<Item = &'a Held>) -> Self {
        let holding = |held: &Held| Holding {
            secret: held.secret.as_ref().map(|secret| Fingerprint::new(&salt, secret)),
            access: held.access.clone(),
        };
        Self { sinks: held.into_iter().map(holding).collect(), salt }
    }

    /// Returns who could use what each sink held.
    pub(crate) fn access(&self) -> Vec<Option<String>> {
        self.sinks.iter().map(|sink| sink.access.clone()).collect()
    }

    /// Returns whether the sinks hold what they held.
    pub(crate) fn are_held(&self, now: &[Held]) -> bool {
        let is_held = |(holding, now): (&Holding, &Held)| self.difference(holding, now).is_none();
        self.sinks.len() == now.len() && self.sinks.iter().zip(now).all(is_held)
    }

    /// Says in which respect a sink no longer holds what it held; `None` if it does. The text continues a sentence that
    /// begins with the sink's name.
    pub(crate) fn difference(&self, holding: &Holding, now: &Held) -> Option<String> {
        let secret = now.secret.as_ref().map(|secret| Fingerprint::new(&self.salt, secret));
        if secret != holding.secret {
            let text = match (&holding.secret, secret) {
                (Some(_), None) => "is empty, and held a secret when the rotation was planned",
                (None, _) => "holds a secret, and was empty when the rotation was planned",
                _ => "holds neither the secret that it held when the rotation was planned nor the new one",
            };
            return Some(text.to_owned());
        }
        let changed = holding.access.as_ref().zip(now.access.as_ref()).filter(|(was, is)| was != is);
        changed.map(|(was, is)| {
            format!("has another access than when the rotation was planned: it is {is}, and was {was}")
        })
    }
}

/// The old key: the facts about it that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OldKey {
    /// The key's id.
    pub id: KeyId,
    /// The key's name.
    pub name: Option<String>,
    /// The key's role.
    pub role: Option<String>,
    /// The key's description.
    pub description: Option<String>,
    /// The key's owner.
    pub owner: Option<String>,
    /// When the key expires.
    pub expires_at: Option<String>,
    /// When the key was last changed, if the vendor shows that.
    pub updated_at: Option<String>,
    /// When the key was created, if the vendor shows that. Earlier versions did not record it.
    ///
    /// A vendor may give the id of a deleted key to another key. This tells the two apart.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The key's masked secret, if the vendor shows it. Earlier versions did not record it.
    #[serde(default)]
    pub masked_secret: Option<String>,
}

impl From<&ApiKey> for OldKey {
    fn from(key: &ApiKey) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: key.id().clone(),
            name: text(key.name()),
            role: text(key.role()),
            description: text(key.description()),
            owner: text(key.owner()),
            expires_at: key.expires_at().map(ToString::to_string),
            updated_at: key.updated_at().map(ToString::to_string),
            created_at: key.created_at().map(ToString::to_string),
            masked_secret: text(key.masked_secret()),
        }
    }
}

impl OldKey {
    /// Compares a key under this id with this key.
    pub(crate) fn compare(&self, key: &ApiKey) -> Sameness {
        self.identity().compare(key)
    }

    /// Returns what identifies the key beyond its id.
    fn identity(&self) -> KeyIdentity {
        let key = ApiKey::builder("", self.id.clone());
        let key = self.name.iter().fold(key, |key, name| key.name(name));
        let key = self.role.iter().fold(key, |key, role| key.role(role));
        let key = self.created_at.iter().fold(key, |key, time| key.created_at(time.as_str()));
        self.masked_secret.iter().fold(key, |key, masked| key.masked_secret(masked)).build().identity()
    }

    /// Compares a key with this key, and leaves out the secret, which a rotation in place changes.
    pub(crate) fn compare_in_place(&self, key: &ApiKey) -> Sameness {
        Self { masked_secret: None, ..self.clone() }.compare(key)
    }

    /// Returns whether this key and the other, which has the same id, were created at different times.
    pub(crate) fn was_created_apart(&self, other: &Self) -> bool {
        self.created().zip(other.created()).is_some_and(|(one, other)| one != other)
    }

    /// Returns when the key was created, in a form that does not depend on how the vendor writes times.
    pub(crate) fn created(&self) -> Option<String> {
        self.identity().created_at
    }

    /// Returns whether the key is as this plan's key was. A plan that an earlier version made lacks some facts.
    pub(crate) fn is_unchanged(&self, now: &Self) -> bool {
        let mut now = now.clone();
        now.created_at = now.created_at.filter(|_| self.created_at.is_some());
        now.masked_secret = now.masked_secret.filter(|_| self.masked_secret.is_some());
        *self == now
    }
}
