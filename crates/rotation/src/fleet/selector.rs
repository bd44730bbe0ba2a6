//! Which keys to rotate.

use std::fmt;

use api_keyring::{ApiKey, Mark};
use chrono::{DateTime, TimeDelta, Utc};

/// Selects the keys to rotate. A key must meet every condition that you set.
///
/// ```
/// use api_keyring_rotation::Selector;
/// use chrono::TimeDelta;
///
/// let selector = Selector::new().named("ci-*")?.older_than(TimeDelta::days(90));
/// # Ok::<(), api_keyring_rotation::InvalidPattern>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Selector {
    name: Option<glob::Pattern>,
    older_than: Option<TimeDelta>,
    expiring_within: Option<TimeDelta>,
}

/// The error for a malformed name pattern.
#[derive(Clone, Debug)]
pub struct InvalidPattern(String);

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPattern {}

impl Selector {
    /// Returns a selector for all keys that may still work.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only keys whose name matches this pattern. The mark of an earlier rotation is not part of the name.
    ///
    /// In a pattern, `*` stands for any text, `?` for any character, and `[ab]` for one of the characters in the
    /// brackets.
    ///
    /// # Errors
    ///
    /// If the pattern is malformed.
    pub fn named(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        let pattern = glob::Pattern::new(pattern);
        self.name = Some(pattern.map_err(|error| {
            InvalidPattern(format!("the name pattern is malformed: {error}. Change the pattern (`--named`)"))
        })?);
        Ok(self)
    }

    /// Selects only keys that were issued at least this long ago. Also selects keys whose age the vendor does not show.
    #[must_use]
    pub fn older_than(mut self, age: TimeDelta) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Selects only keys that expire within this time. A key without an expiry is not selected.
    #[must_use]
    pub fn expiring_within(mut self, time: TimeDelta) -> Self {
        self.expiring_within = Some(time);
        self
    }

    /// Returns whether the selector selects this key. It never selects a key that no longer works.
    pub fn matches(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
        self.exclusion(key, now).is_none()
    }

    /// Returns the first condition that excludes this key, or `None` if the selector selects it.
    pub fn exclusion(&self, key: &ApiKey, now: DateTime<Utc>) -> Option<Exclusion> {
        let is_named = |pattern: &glob::Pattern| pattern.matches(Mark::unmarked(key.name().unwrap_or_default()));
        let is_old = |age: TimeDelta| key.created_at().and_then(|time| time.utc()).is_none_or(|time| now - time >= age);
        let expires =
            |within: TimeDelta| key.expires_at().and_then(|time| time.utc()).is_some_and(|time| time - now <= within);
        let conditions = [
            (!key.status_at(now).is_dead(), Exclusion::Dead),
            (self.name.as_ref().is_none_or(is_named), Exclusion::Name),
            (self.older_than.is_none_or(is_old), Exclusion::Age),
            (self.expiring_within.is_none_or(expires), Exclusion::Expiry),
        ];
        conditions.into_iter().find(|(is_met, _)| !is_met).map(|(_, exclusion)| exclusion)
    }
}

/// Why a [`Selector`] does not select a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exclusion {
    /// The key no longer works.
    Dead,
    /// Its name does not match the pattern.
    Name,
    /// It was issued too recently.
    Age,
    /// It does not expire, or not soon enough.
    Expiry,
}
