//! A layer that limits the rate of calls.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{CallInfo, Layer, SendCall};
use crate::{Clock, ErrorKind, Result, SystemClock};

/// The longest time that a vendor can hold all calls back.
const MAX_HOLD: Duration = Duration::from_secs(60);

/// Limits how many calls run concurrently and how soon one follows another. If the vendor, or a gateway before it, asks
/// for a wait, it holds all calls back that long.
///
/// Clones share the limits, so you can use one throttle for several providers of the same vendor.
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
    /// When the next call may start, in the clock's elapsed time.
    next: Arc<Mutex<Duration>>,
    clock: Arc<dyn Clock>,
}

impl Throttle {
    /// Creates a throttle without limits of its own. A 429 with `Retry-After` still holds all calls back, for at most a
    /// minute.
    pub fn new() -> Self {
        Self { permits: None, interval: Duration::ZERO, next: Arc::default(), clock: Arc::new(SystemClock) }
    }

    /// Sets the maximum number of concurrent calls, at least one.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.permits = Some(Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// Sets the minimum time between the starts of two calls.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the clock to read and wait on. The default is the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reserves the next turn and returns the wait until then.
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
            // Nothing closes the semaphore, so this cannot fail.
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        let wait = self.reserve_turn();
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        let result = send().await;
        if let Err(error) = &result
            && matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Intermediary)
            && let Some(time) = error.retry_after()
        {
            self.hold_back(time);
        }
        result
    }
}
