//! Which keys there are.

use std::fmt;

use crate::route::Provider;

/// A key that exists, as the service itself knows it: whatever faults there are, and without a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExistingKey {
    /// The service.
    pub provider: Provider,
    /// Its id, as it stands in a path.
    pub id: String,
    /// Its name, if it has one; what looks like a secret in it is masked.
    pub name: Option<String>,
    /// How it is doing.
    pub status: KeyStatus,
    /// How many secrets there are that authenticate with it, now or, where a new one is [late](crate::FaultKind::Late),
    /// soon: its own if it works, and those that [linger](crate::FaultKind::Linger).
    pub live_secrets: usize,
}

/// How a key is doing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum KeyStatus {
    /// It works.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked (Spartera).
    Revoked,
}

impl KeyStatus {
    /// The status in lower case, as Spartera writes it.
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
