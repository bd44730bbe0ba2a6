//! The operations on keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation of a [`Provider`](crate::Provider), as it appears in errors and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// List all keys.
    List,
    /// Issue a new key.
    Create,
    /// Read one key.
    Get,
    /// Change a key's metadata.
    Update,
    /// Give the same key a new secret.
    Regenerate,
    /// Disable a key's secret; the vendor keeps the key's record.
    Revoke,
    /// Delete a key.
    Delete,
    /// Read how often a key is used.
    Stats,
    /// Read which key the request authenticates with.
    Whoami,
}

impl Operation {
    /// Returns the operation's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Get => "get",
            Self::Update => "update",
            Self::Regenerate => "regenerate",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Stats => "stats",
            Self::Whoami => "whoami",
        }
    }

    /// Returns whether the operation changes anything at the vendor.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::List | Self::Get | Self::Stats | Self::Whoami)
    }

    /// Returns whether the operation's answer holds a secret, which the vendor shows only once.
    pub fn yields_secret(self) -> bool {
        matches!(self, Self::Create | Self::Regenerate)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
