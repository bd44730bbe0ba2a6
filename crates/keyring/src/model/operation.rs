//! What can be done with keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation of a [`Provider`](crate::Provider), as errors and capabilities name it.
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
    /// Replace a key's secret in place.
    Regenerate,
    /// Make a key's secret useless and keep a record of why.
    Revoke,
    /// Delete a key.
    Delete,
    /// Read how a key is used.
    Stats,
}

impl Operation {
    /// The operation's name, in lower case.
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
        }
    }

    /// Whether the operation changes anything at the vendor's.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::List | Self::Get | Self::Stats)
    }

    /// Whether the operation's answer holds a secret that is shown once.
    pub fn yields_secret(self) -> bool {
        matches!(self, Self::Create | Self::Regenerate)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
