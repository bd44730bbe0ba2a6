//! What a caller asks for.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};

use crate::{Error, ErrorKind, Mark, Outcome, Result};

/// When a key shall stop working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At a point in time.
    At(DateTime<Utc>),
    /// So much time after the request is sent, by this machine's clock.
    In(TimeDelta),
    /// Not at all, where the vendor has such keys.
    Never,
}

impl Expiry {
    /// The point in time that it means at `now`, in whole seconds, which is what vendors keep: rounded down, so that no key
    /// lives longer than asked for. `None` for [`Never`](Self::Never).
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is not after `now`, or is so far away that RFC 3339 has no notation for it.
    pub fn time_at(self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let time = match self {
            Self::Never => return Ok(None),
            Self::At(time) => Some(time),
            Self::In(duration) => now.checked_add_signed(duration),
        };
        match time.map(|time| time.trunc_subsecs(0)) {
            Some(time) if time <= now => Err(invalid("the expiry has already passed")),
            Some(time) if time.year() <= 9999 => Ok(Some(time)),
            _ => Err(invalid("the expiry is too far away")),
        }
    }
}

/// A key to be issued.
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
    /// The name that people will know the key by.
    pub name: String,
    /// The role whose permissions the key gets: a number at Spartera, an id at Monad. Both require one.
    pub role: Option<String>,
    /// When the key stops working. `None` is what the vendor does unasked: Spartera's keys never expire then, and Monad
    /// requires an expiry.
    pub expiry: Option<Expiry>,
    /// What the key is for.
    pub description: Option<String>,
    /// The user who shall own the key.
    pub owner: Option<String>,
}

impl NewKey {
    /// A key with a name and nothing else yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: None, expiry: None, description: None, owner: None }
    }

    /// Refuses what no vendor takes, before anything is sent; a provider asks this first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the name is blank.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)
    }

    /// Puts a lineage mark after the name, in place of one that is there: by it the key is found again should the answer to
    /// its create be lost.
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

    /// Sets the expiry to some time from when the request is sent.
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

/// Changes to a key's metadata. What is `None` stays as it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new role.
    pub role: Option<String>,
    /// The new expiry. No vendor has a documented way to take an expiry away, so [`Expiry::Never`] is refused.
    pub expiry: Option<Expiry>,
    /// The new description.
    pub description: Option<String>,
    /// The new owner.
    pub owner: Option<String>,
}

impl KeyUpdate {
    /// No change yet.
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

    /// Refuses what no vendor takes, before anything is sent; a provider asks this first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when nothing is changed, or the new name is blank.
    pub fn check(&self) -> Result<()> {
        if self.is_empty() {
            return Err(invalid("there is nothing to change"));
        }
        self.name.as_deref().map_or(Ok(()), check_name)
    }

    /// Whether nothing is changed at all.
    pub fn is_empty(&self) -> bool {
        let Self { name, role, expiry, description, owner } = self;
        name.is_none() && role.is_none() && expiry.is_none() && description.is_none() && owner.is_none()
    }
}

/// How a key's secret shall be replaced in place.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Regeneration {
    /// The new expiry; `None` keeps the old one. Older Monad servers take none.
    pub expiry: Option<Expiry>,
}

impl Regeneration {
    /// With the old expiry.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a new expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }
}

/// Why and how a key shall be revoked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Revocation {
    /// The reason, which the vendor keeps.
    pub reason: Option<String>,
    /// The key's role, which Spartera wants to be told. `None` looks it up first.
    pub role: Option<String>,
}

impl Revocation {
    /// Without a reason.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With the key's role, which spares looking it up.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() { Err(invalid("the name is empty")) } else { Ok(()) }
}

fn invalid(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem)
}
