//! A clock for tests that the test moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Clock, Sleep};

/// A clock for tests. It stands still, and a wait moves it forward and returns at once.
///
/// Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use api_keyring::{Clock, ManualClock};
///
/// let clock = ManualClock::new("2026-01-01T00:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_rfc3339(), "2026-01-01T00:01:00+00:00");
/// assert_eq!(clock.elapsed(), Duration::from_secs(60));
/// assert!(clock.waits().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    begun: DateTime<Utc>,
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl ManualClock {
    /// Creates a clock that stands still at this time.
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Time { begun: time, elapsed: Duration::ZERO, waits: Vec::new() })))
    }

    /// Moves the clock forward.
    pub fn advance(&self, time: Duration) {
        self.time().elapsed += time;
    }

    /// Returns all waits so far, in order.
    pub fn waits(&self) -> Vec<Duration> {
        self.time().waits.clone()
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let time = self.time();
        let passed = TimeDelta::from_std(time.elapsed).unwrap_or(TimeDelta::MAX);
        time.begun.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn elapsed(&self) -> Duration {
        self.time().elapsed
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut time = self.time();
        time.elapsed += duration;
        time.waits.push(duration);
        Box::pin(std::future::ready(()))
    }
}
