//! When the new key expires.

use api_keyring::{ApiKey, Expiry};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// When the new key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlannedExpiry {
    /// At this time.
    At(DateTime<Utc>),
    /// This many seconds after the vendor issues it.
    AfterSeconds(i64),
    /// Never.
    Never,
    /// At the same time as the old secret.
    Unchanged,
}

impl From<Expiry> for PlannedExpiry {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::At(time) => Self::At(time),
            Expiry::In(time) => Self::AfterSeconds(rounded(time)),
            Expiry::Never => Self::Never,
        }
    }
}

impl PlannedExpiry {
    /// Returns the expiry to request from the vendor. `None` leaves the expiry to the vendor.
    pub(super) fn requested(self) -> Option<Expiry> {
        match self {
            Self::At(time) => Some(Expiry::At(time)),
            // A plan from a file can hold any number. The vendor refuses one that is too large for a time.
            Self::AfterSeconds(seconds) => Some(Expiry::In(TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX))),
            Self::Never => Some(Expiry::Never),
            Self::Unchanged => None,
        }
    }
}

/// How far the lifetime that a vendor shows may be from the one that was asked for: requests take time, and clients and
/// vendors leave out fractions of seconds.
const TOLERANCE: i64 = 3;

/// Returns for how many seconds the vendor issued this key, if the vendor shows that.
///
/// If the lifetime that an earlier rotation asked for is close, returns that one, so that a key's lifetime does not
/// shrink from rotation to rotation.
pub(super) fn lifetime(key: &ApiKey, asked: Option<i64>) -> Option<i64> {
    let (created, expires) = (key.created_at()?.utc()?, key.expires_at()?.utc()?);
    let lifetime = expires - created;
    if lifetime <= TimeDelta::zero() {
        return None;
    }
    // A whole second that follows a fraction was rounded down, as this library does.
    let is_rounded_down = expires.timestamp_subsec_nanos() == 0 && created.timestamp_subsec_nanos() > 0;
    let shown = if is_rounded_down { lifetime.num_seconds() + 1 } else { rounded(lifetime) };
    Some(asked.filter(|asked| asked.abs_diff(shown) <= TOLERANCE.unsigned_abs()).unwrap_or(shown).max(1))
}

/// Returns a time in seconds, rounded to the nearest one.
fn rounded(time: TimeDelta) -> i64 {
    let seconds = time.num_seconds();
    match time.subsec_nanos() {
        500_000_000.. => seconds.saturating_add(1),
        ..=-500_000_001 => seconds.saturating_sub(1),
        _ => seconds,
    }
}
