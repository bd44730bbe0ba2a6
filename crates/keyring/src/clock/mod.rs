//! Time, as far as this crate waits or measures.

#[cfg(feature = "memory")]
pub(crate) mod manual;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A wait.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What time it is, and waiting until it is later.
///
/// A test puts its own in, so that it neither waits nor depends on the machine.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day.
    fn now(&self) -> DateTime<Utc>;

    /// How long it has been since some moment that stays the same. It never goes back, whatever is done to the time of day.
    fn elapsed(&self) -> Duration;

    /// Waits so long.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock. It waits in tokio's time, so on a tokio runtime with a timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}
