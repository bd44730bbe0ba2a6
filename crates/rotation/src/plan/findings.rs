//! What the preflight checks find out about a key and its sink.

use api_keyring::{ApiKey, KeyId, OwnCredential};
use serde::{Deserialize, Serialize};

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
        }
    }
}
