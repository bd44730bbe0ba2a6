//! Where the emulator reads the time.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::lock;

/// The emulator's idea of now.
///
/// Expiry, the stamps on keys and the record of requests all follow it. Timeouts of the HTTP server do not: they
/// protect the process and run on the machine's own clock. Nor does the header `Date`, unless a fault has the clock wrong.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock; the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that moves only when told to, so that a test can let a key expire without waiting.
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
    /// A clock that stands still at `time`.
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Moves the clock forward; at the end of representable time it stops.
    pub fn advance(&self, by: Duration) {
        let mut time = lock(&self.0);
        *time = chrono::TimeDelta::from_std(by)
            .ok()
            .and_then(|by| time.checked_add_signed(by))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, time: DateTime<Utc>) {
        *lock(&self.0) = time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *lock(&self.0)
    }
}
