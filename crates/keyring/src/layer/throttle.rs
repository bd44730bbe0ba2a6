//! Not asking for more than the vendor likes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{CallInfo, Layer, SendCall};
use crate::{Clock, Result, SystemClock};

/// The longest that all calls wait because the vendor asks for it.
const MAX_HOLD: Duration = Duration::from_secs(60);

/// Has calls wait for each other: so many at a time, so far apart, and none while the vendor says that there were too many.
///
/// Clones share the limits, so one throttle may be put around several providers of one vendor.
///
/// ```
/// use std::time::Duration;
/// use api_keyring::Throttle;
///
/// let throttle = Throttle::new().concurrency(4).interval(Duration::from_millis(100));
/// ```
#[derive(Clone)]
pub struct Throttle {
    permits: Option<Arc<Semaphore>>,
    interval: Duration,
    /// When the next call may begin, by the clock.
    next: Arc<Mutex<Duration>>,
    clock: Arc<dyn Clock>,
}

impl Throttle {
    /// No limit yet, but that a vendor's 429 with a `Retry-After` holds all calls back for so long, a minute at most.
    pub fn new() -> Self {
        Self { permits: None, interval: Duration::ZERO, next: Arc::default(), clock: Arc::new(SystemClock) }
    }

    /// How many calls there may be at a time, one at least.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.permits = Some(Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// How long it is at least from the beginning of one call to that of the next.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The clock that is read and waited on: the machine's unless set here.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Takes the next turn; returns how long it is until then.
    fn reserve_turn(&self) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.elapsed();
        let turn = now.max(*next);
        *next = turn.saturating_add(self.interval);
        turn - now
    }

    fn hold_back(&self, time: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(self.clock.elapsed().saturating_add(time.min(MAX_HOLD)));
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.permits.as_ref().map(|permits| permits.available_permits());
        f.debug_struct("Throttle").field("free", &free).field("interval", &self.interval).finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for Throttle {
    async fn around<T: Send>(&self, _: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let _permit = match &self.permits {
            // It is never closed.
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        let wait = self.reserve_turn();
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        let result = send().await;
        if let Err(error) = &result
            && error.is_rate_limited()
            && let Some(time) = error.retry_after()
        {
            self.hold_back(time);
        }
        result
    }
}
