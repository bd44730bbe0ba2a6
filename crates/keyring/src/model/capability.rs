//! What a provider can do, known before anything is sent.

use std::fmt;

use crate::{Error, ErrorKind, Operation, Outcome, Result};

/// An operation or an option of one, which a provider may or may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// List all keys.
    List,
    /// Look for keys by a text, rather than reading all of them.
    Search,
    /// Sort a list, rather than reading all of it first.
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
    /// Replace a key's secret in place.
    Regenerate,
    /// Revoke a key.
    Revoke,
    /// Have the vendor keep the reason for which a key was revoked.
    RevokeReason,
    /// Delete a key.
    Delete,
    /// Read how a key is used.
    Stats,
}

impl Capability {
    /// Every capability, in the order in which they are best shown.
    pub const ALL: [Self; 17] = [
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
    ];

    /// The capability's name, such as `update-role`.
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
        }
    }

    /// The operation that this is, or is an option of.
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
    /// It can be asked for, and comes with a difference.
    Emulated {
        /// What differs from a native one.
        difference: &'static str,
    },
    /// It is refused before anything is sent.
    Unsupported {
        /// What to do instead.
        instead: &'static str,
    },
}

impl Support {
    /// Whether it can be used, natively or not.
    pub fn is_supported(self) -> bool {
        !matches!(self, Self::Unsupported { .. })
    }

    /// One word for it: `native`, `emulated` or `unsupported`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Emulated { .. } => "emulated",
            Self::Unsupported { .. } => "unsupported",
        }
    }
}

/// All that a provider can do.
///
/// Made from a function that decides for every capability, so that a provider cannot forget one.
#[derive(Clone, Copy)]
pub struct Capabilities(fn(Capability) -> Support);

impl Capabilities {
    /// Capabilities as `decide` has them.
    pub const fn new(decide: fn(Capability) -> Support) -> Self {
        Self(decide)
    }

    /// How far `capability` is supported.
    pub fn support(&self, capability: Capability) -> Support {
        (self.0)(capability)
    }

    /// Refuses what is wanted and not offered, before anything is sent.
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
    /// assert_eq!(refused.to_string(), "stats is not offered. Look at the dashboard");
    /// ```
    ///
    /// # Errors
    ///
    /// The [`refusal`](Self::refusal).
    pub fn require(&self, capability: Capability) -> Result<()> {
        if self.support(capability).is_supported() { Ok(()) } else { Err(self.refusal(capability)) }
    }

    /// Refuses an option that is set and that the provider does not offer.
    ///
    /// # Errors
    ///
    /// The [`refusal`](Self::refusal).
    pub fn require_for<T>(&self, capability: Capability, option: Option<&T>) -> Result<()> {
        option.map_or(Ok(()), |_| self.require(capability))
    }

    /// The `Unsupported` error with which `capability` is refused; it names the alternative.
    pub fn refusal(&self, capability: Capability) -> Error {
        let error = Error::new(ErrorKind::Unsupported, Outcome::NotSent, format!("{capability} is not offered"));
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
