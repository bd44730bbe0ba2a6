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
            Expiry::In(time) => Self::AfterSeconds(time.num_seconds()),
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

/// Returns how long the vendor issued this key for, if the vendor shows that.
pub(super) fn lifetime(key: &ApiKey) -> Option<TimeDelta> {
    let (created, expires) = (key.created_at()?.utc()?, key.expires_at()?.utc()?);
    Some(expires - created).filter(|lifetime| *lifetime > TimeDelta::zero())
}
