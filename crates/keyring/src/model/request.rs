//! Requests: a new key, and changes to an existing one.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};

use crate::{Error, ErrorKind, Mark, Outcome, Result};

/// When a key stops working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At a point in time.
    At(DateTime<Utc>),
    /// The given time after the request is sent, by this machine's clock.
    In(TimeDelta),
    /// Never, if the vendor has such keys.
    Never,
}

impl Expiry {
    /// Returns the point in time that this expiry means at `now`, or `None` for [`Never`](Self::Never).
    ///
    /// Vendors keep whole seconds. The time is rounded down, so no key lives longer than you ask for.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the time is not after `now`, or is after the year 9999, which RFC 3339 cannot express.
    pub fn time_at(self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let time = match self {
            Self::Never => return Ok(None),
            Self::At(time) => Some(time),
            Self::In(duration) => now.checked_add_signed(duration),
        };
        match time.map(|time| time.trunc_subsecs(0)) {
            Some(time) if time <= now => Err(invalid("the expiry is not in the future")),
            Some(time) if time.year() <= 9999 => Ok(Some(time)),
            _ => Err(invalid("the expiry is out of range: it must be before the year 10000")),
        }
    }
}

/// A key to issue.
///
/// ```
/// use api_keyring::NewKey;
/// use chrono::TimeDelta;
///
/// let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(90)).description("builds");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewKey {
    /// The key's name.
    pub name: String,
    /// The role that grants the key its permissions: a number at Spartera, an id at Monad. Both vendors require one.
    pub role: Option<String>,
    /// When the key stops working. With `None`, a Spartera key never expires; Monad requires an expiry.
    pub expiry: Option<Expiry>,
    /// The key's description.
    pub description: Option<String>,
    /// The user who will own the key.
    pub owner: Option<String>,
}

impl NewKey {
    /// Creates a request with only a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: None, expiry: None, description: None, owner: None }
    }

    /// Checks what every vendor requires. A provider calls this before it sends anything.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name is blank.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)
    }

    /// Appends a mark to the name. If the name already has a mark, the new one replaces it. By the mark you can find
    /// the key if the answer to its create is lost.
    #[must_use]
    pub fn marked(mut self, mark: &Mark) -> Self {
        self.name = mark.after(&self.name);
        self
    }

    /// Sets the role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Sets the expiry to a point in time.
    #[must_use]
    pub fn expires_at(self, time: DateTime<Utc>) -> Self {
        self.expiry(Expiry::At(time))
    }

    /// Sets the expiry to the given time after the request is sent.
    #[must_use]
    pub fn expires_in(self, duration: TimeDelta) -> Self {
        self.expiry(Expiry::In(duration))
    }

    /// Sets the expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the owner.
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>) -> Self {
        self.owner = Some(user.into());
        self
    }
}

/// Changes to a key's metadata. A field that is `None` stays unchanged.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new role.
    pub role: Option<String>,
    /// The new expiry. No vendor documents how to remove an expiry, so providers refuse [`Expiry::Never`].
    pub expiry: Option<Expiry>,
    /// The new description.
    pub description: Option<String>,
    /// The new owner.
    pub owner: Option<String>,
}

impl KeyUpdate {
    /// Creates an update without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Changes the role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Changes the expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// Changes the description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Changes the owner.
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>) -> Self {
        self.owner = Some(user.into());
        self
    }

    /// Checks what every vendor requires. A provider calls this before it sends anything.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the update changes nothing, or the new name is blank.
    pub fn check(&self) -> Result<()> {
        if self.is_empty() {
            return Err(invalid("the update changes nothing").advise("Set at least one field"));
        }
        self.name.as_deref().map_or(Ok(()), check_name)
    }

    /// Returns whether the update changes nothing.
    pub fn is_empty(&self) -> bool {
        let Self { name, role, expiry, description, owner } = self;
        name.is_none() && role.is_none() && expiry.is_none() && description.is_none() && owner.is_none()
    }
}

/// How to give a key a new secret.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Regeneration {
    /// The new expiry. `None` keeps the old one. Older Monad servers do not accept an expiry here.
    pub expiry: Option<Expiry>,
}

impl Regeneration {
    /// Creates a request that keeps the old expiry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a new expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }
}

/// Why and how to revoke a key.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Revocation {
    /// The reason, which the vendor stores.
    pub reason: Option<String>,
    /// The key's role, which Spartera requires. With `None`, the provider reads the key first to find it.
    pub role: Option<String>,
}

impl Revocation {
    /// Creates a request without a reason.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets the key's role, which saves a request.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() { Err(invalid("the name is blank")) } else { Ok(()) }
}

fn invalid(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem)
}
