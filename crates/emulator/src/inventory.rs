//! The keys that exist.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::route::Provider;

/// A key that exists. It shows the service's own view, which no fault distorts and which needs no request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExistingKey {
    /// The service.
    pub provider: Provider,
    /// The id, as in a path.
    pub id: String,
    /// Counts the keys of the service in the order in which they were made, from 1. No two keys have the same number,
    /// even if they have had the same id.
    pub serial: u64,
    /// When the key was created.
    pub created: DateTime<Utc>,
    /// The name, if the key has one. Text that looks like a secret is masked.
    pub name: Option<String>,
    /// The status.
    pub status: KeyStatus,
    /// How many secrets authenticate with this key: its own, if it works, and those that
    /// [linger](crate::FaultKind::Linger). A new secret that is still [late](crate::FaultKind::Late) counts too.
    pub live_secrets: usize,
}

/// The status of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum KeyStatus {
    /// The key works.
    Active,
    /// The key has expired.
    Expired,
    /// A request has revoked the key (Spartera).
    Revoked,
}

impl KeyStatus {
    /// Returns the status in lower case, as Spartera writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
