//! The clocks that an emulator can use.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::lock;

/// The emulator's clock.
///
/// Expiry, the timestamps of keys and the records follow it. The timeouts of the HTTP server do not: they protect the
/// process and follow the machine's clock. The services' `Date` header follows the
/// emulator's clock.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock, which is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that only the test moves, so that a key can expire without a wait.
///
/// Clones share one time: give a clone to the emulator and keep the other.
///
/// ```
/// use std::time::Duration;
/// use api_keyring_emulator::{Clock, ManualClock};
///
/// let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
/// let seen_by_emulator = clock.clone();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(seen_by_emulator.now().to_rfc3339(), "2026-01-01T00:01:00+00:00");
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl ManualClock {
    /// Creates a clock that stands still at `time`.
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Moves the clock forward. It stops at the latest time that it can represent.
    pub fn advance(&self, by: Duration) {
        let mut time = lock(&self.0);
        *time = chrono::TimeDelta::from_std(by)
            .ok()
            .and_then(|by| time.checked_add_signed(by))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, time: DateTime<Utc>) {
        *lock(&self.0) = time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *lock(&self.0)
    }
}
