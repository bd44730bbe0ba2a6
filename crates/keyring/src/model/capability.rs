//! Capabilities: what a provider offers. You can check them before you send anything.

use std::fmt;

use crate::{Error, ErrorKind, Operation, Outcome, Result};

/// An operation, or an option of one, that a provider may or may not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// List all keys.
    List,
    /// Search for keys at the vendor instead of reading all of them.
    Search,
    /// Sort a list at the vendor instead of reading all of it first.
    Sort,
    /// Issue a new key.
    Create,
    /// Issue a key that never expires.
    CreateWithoutExpiry,
    /// Give a new key an owner.
    CreateWithOwner,
    /// Give a key a description.
    Description,
    /// Read one key.
    Get,
    /// Change a key's name.
    Update,
    /// Change a key's role.
    UpdateRole,
    /// Change when a key expires.
    UpdateExpiry,
    /// Change a key's owner.
    UpdateOwner,
    /// Give the same key a new secret.
    Regenerate,
    /// Revoke a key.
    Revoke,
    /// Keep the reason of a revocation at the vendor.
    RevokeReason,
    /// Delete a key.
    Delete,
    /// Read how often a key is used.
    Stats,
    /// Read which key a secret belongs to.
    Whoami,
}

impl Capability {
    /// All capabilities, in display order.
    pub const ALL: [Self; 18] = [
        Self::List,
        Self::Search,
        Self::Sort,
        Self::Create,
        Self::CreateWithoutExpiry,
        Self::CreateWithOwner,
        Self::Description,
        Self::Get,
        Self::Update,
        Self::UpdateRole,
        Self::UpdateExpiry,
        Self::UpdateOwner,
        Self::Regenerate,
        Self::Revoke,
        Self::RevokeReason,
        Self::Delete,
        Self::Stats,
        Self::Whoami,
    ];

    /// Returns the capability's name, such as `update-role`.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Search => "search",
            Self::Sort => "sort",
            Self::Create => "create",
            Self::CreateWithoutExpiry => "create-without-expiry",
            Self::CreateWithOwner => "create-with-owner",
            Self::Description => "description",
            Self::Get => "get",
            Self::Update => "update",
            Self::UpdateRole => "update-role",
            Self::UpdateExpiry => "update-expiry",
            Self::UpdateOwner => "update-owner",
            Self::Regenerate => "regenerate",
            Self::Revoke => "revoke",
            Self::RevokeReason => "revoke-reason",
            Self::Delete => "delete",
            Self::Stats => "stats",
            Self::Whoami => "whoami",
        }
    }

    /// Returns the operation that this capability is, or is an option of.
    pub fn operation(self) -> Operation {
        match self {
            Self::List | Self::Search | Self::Sort => Operation::List,
            Self::Create | Self::CreateWithoutExpiry | Self::CreateWithOwner | Self::Description => Operation::Create,
            Self::Get => Operation::Get,
            Self::Update | Self::UpdateRole | Self::UpdateExpiry | Self::UpdateOwner => Operation::Update,
            Self::Regenerate => Operation::Regenerate,
            Self::Revoke | Self::RevokeReason => Operation::Revoke,
            Self::Delete => Operation::Delete,
            Self::Stats => Operation::Stats,
            Self::Whoami => Operation::Whoami,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a provider supports a [`Capability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// The vendor offers it.
    Native,
    /// The provider accepts it, but it differs from native support.
    Emulated {
        /// How it differs from native support.
        difference: &'static str,
    },
    /// The provider refuses it before it sends anything.
    Unsupported {
        /// What to do instead.
        instead: &'static str,
    },
}

impl Support {
    /// Returns whether you can use it, natively or emulated.
    pub fn is_supported(self) -> bool {
        !matches!(self, Self::Unsupported { .. })
    }

    /// Returns `native`, `emulated` or `unsupported`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Emulated { .. } => "emulated",
            Self::Unsupported { .. } => "unsupported",
        }
    }
}

/// Everything that a provider offers.
///
/// A function decides on every capability, so a provider cannot forget one.
#[derive(Clone, Copy)]
pub struct Capabilities(fn(Capability) -> Support);

impl Capabilities {
    /// Creates capabilities from a function that decides on each of them.
    pub const fn new(decide: fn(Capability) -> Support) -> Self {
        Self(decide)
    }

    /// Returns how far the provider supports `capability`.
    pub fn support(&self, capability: Capability) -> Support {
        (self.0)(capability)
    }

    /// Checks that the provider offers a capability.
    ///
    /// ```
    /// use api_keyring::{Capabilities, Capability, Support};
    ///
    /// const CAPABILITIES: Capabilities = Capabilities::new(|capability| match capability {
    ///     Capability::Stats => Support::Unsupported { instead: "Look at the dashboard" },
    ///     _ => Support::Native,
    /// });
    ///
    /// assert!(CAPABILITIES.require(Capability::List).is_ok());
    /// let refused = CAPABILITIES.require(Capability::Stats).unwrap_err();
    /// assert_eq!(refused.to_string(), "this provider does not offer stats. Look at the dashboard");
    /// ```
    ///
    /// # Errors
    ///
    /// The [`refusal`](Self::refusal) if the provider does not offer it.
    pub fn require(&self, capability: Capability) -> Result<()> {
        if self.support(capability).is_supported() { Ok(()) } else { Err(self.refusal(capability)) }
    }

    /// Checks that the provider offers an option, if the caller set that option.
    ///
    /// # Errors
    ///
    /// The [`refusal`](Self::refusal) if the option is set and the provider does not offer it.
    pub fn require_for<T>(&self, capability: Capability, option: Option<&T>) -> Result<()> {
        option.map_or(Ok(()), |_| self.require(capability))
    }

    /// Returns the `Unsupported` error that refuses `capability`. The error names the alternative.
    pub fn refusal(&self, capability: Capability) -> Error {
        let error =
            Error::new(ErrorKind::Unsupported, Outcome::NotSent, format!("this provider does not offer {capability}"));
        match self.support(capability) {
            Support::Unsupported { instead } => error.advise(instead),
            _ => error,
        }
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Capability::ALL.map(|capability| (capability, self.support(capability)))).finish()
    }
}
