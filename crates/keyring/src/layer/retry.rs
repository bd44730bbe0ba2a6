//! A layer that repeats failed calls if that is safe.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{CallInfo, Layer, SendCall};
use crate::error::EarlierAttempts;
use crate::{Clock, Error, Outcome, Result, SystemClock};

/// Repeats failed calls that are safe to repeat.
///
/// This depends on the operation:
///
/// | failure | list, get, stats, whoami | create, regenerate, update, revoke, delete |
/// |---|---|---|
/// | no connection (refused, unreachable, timeout while connecting): nothing was sent | repeat | repeat |
/// | no connection until somebody changes a setting ([`is_misconfigured`](Error::is_misconfigured)) | never | never |
/// | the vendor's own 429: it did nothing | repeat | repeat |
/// | connection cut (also within the answer), timeout, 408, 502, 503, 504 | repeat | **never**: the vendor may have acted |
/// | an answer that is not the vendor's own, such as a gateway's page | repeat | **never** |
/// | anything else | never | never |
///
/// A delete or a revoke is not repeated blindly either: the vendor may have given the key's id to another key meanwhile.
/// [`delete_and_confirm`](crate::ProviderExt::delete_and_confirm) looks before it repeats.
///
/// The limit of the wait doubles with every attempt, up to [`max_backoff`](Self::max_backoff). The wait is random
/// between zero and that limit (full jitter), so that many clients do not return at once. If the vendor asks for a
/// longer wait, the retry waits that long. If that exceeds [`max_wait`](Self::max_wait), the call fails. The final
/// error counts the [`attempts`](Error::attempts).
///
/// ```
/// use std::time::Duration;
/// use api_keyring::Retry;
///
/// let retry = Retry::new().max_attempts(6).max_elapsed(Duration::from_secs(120)).observe(|retrying| {
///     eprintln!("{retrying}");
/// });
/// ```
#[derive(Clone)]
pub struct Retry {
    max_attempts: u32,
    max_elapsed: Duration,
    first_backoff: Duration,
    max_backoff: Duration,
    max_wait: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<Mutex<fastrand::Rng>>,
    observer: Option<Observer>,
}

type Observer = Arc<dyn Fn(&Retrying<'_>) + Send + Sync>;

/// A failed call that is about to be repeated.
///
/// `Display` writes one line that includes the failure.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retrying<'a> {
    /// The failed call.
    pub call: CallInfo<'a>,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The last attempt's error.
    pub error: &'a Error,
    /// The wait before the next attempt.
    pub wait: Duration,
}

impl fmt::Display for Retrying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} failed, retrying in {:?}: {}", self.attempts, self.wait, self.error)
    }
}

impl Retry {
    /// Creates a layer that makes up to four attempts within two minutes.
    pub fn new() -> Self {
        Self {
            max_attempts: 4,
            max_elapsed: Duration::from_secs(120),
            first_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(20),
            max_wait: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
            random: Arc::new(Mutex::new(fastrand::Rng::new())),
            observer: None,
        }
    }

    /// Sets the maximum number of attempts, including the first. The default is 4; 1 never repeats a call.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long after the start of the call, waits included, the last attempt may begin. The default is two
    /// minutes. The limit does not interrupt an attempt in progress.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }

    /// Sets the upper limit of the first wait. The default is 250 ms. The limit doubles with every attempt.
    #[must_use]
    pub fn first_backoff(mut self, backoff: Duration) -> Self {
        self.first_backoff = backoff;
        self
    }

    /// Sets the maximum of the doubling limit. The default is 20 s. A vendor may still ask for a longer wait.
    #[must_use]
    pub fn max_backoff(mut self, backoff: Duration) -> Self {
        self.max_backoff = backoff;
        self
    }

    /// Sets the longest wait that a vendor may ask for. The default is one minute. If a vendor asks for more, the call
    /// fails.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets the clock to read and wait on. The default is the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the random seed, so that the waits are the same in every run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        self
    }

    /// Calls `observer` before each wait, for logs and metrics.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Retrying<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Returns when a series of attempts began, on the retry's clock.
    pub(crate) fn begin(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Returns the time on the retry's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Waits for the next of a series of attempts that began at `begun`. Returns `false`, at once, if no further attempt
    /// is allowed.
    pub(crate) async fn again(&self, attempts: u32, error: &Error, begun: Duration) -> bool {
        let elapsed = self.clock.elapsed().saturating_sub(begun);
        let Some(wait) = self.wait(attempts, error, elapsed) else { return false };
        self.clock.sleep(wait).await;
        true
    }

    /// Returns the wait after this many attempts, or `None` if no further attempt is allowed.
    fn wait(&self, attempts: u32, error: &Error, elapsed: Duration) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doubled = 1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX);
        let backoff = self.first_backoff.saturating_mul(doubled).min(self.max_backoff);
        let share = self.random.lock().unwrap_or_else(PoisonError::into_inner).f64();
        let wait = backoff.mul_f64(share).max(error.retry_after().unwrap_or_default());
        let is_asked_too_much = error.retry_after().is_some_and(|asked| asked > self.max_wait);
        (!is_asked_too_much && elapsed.saturating_add(wait) <= self.max_elapsed).then_some(wait)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("max_attempts", &self.max_attempts)
            .field("max_elapsed", &self.max_elapsed)
            .field("first_backoff", &self.first_backoff)
            .field("max_backoff", &self.max_backoff)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for Retry {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let begun = self.clock.elapsed();
        let mut attempts = 0;
        let mut earlier = EarlierAttempts::HadNoEffect;
        loop {
            attempts += 1;
            let error = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let error = error.with_attempts(attempts, earlier);
            if matches!(error.outcome(), Outcome::Unknown | Outcome::Applied) {
                earlier = EarlierAttempts::MayHaveTakenEffect;
            }
            if !error.is_retryable(call.operation) {
                return Err(error);
            }
            let elapsed = self.clock.elapsed().saturating_sub(begun);
            let Some(wait) = self.wait(attempts, &error, elapsed) else {
                return Err(error.with_retries_exhausted());
            };
            if let Some(observer) = &self.observer {
                observer(&Retrying { call, attempts, error: &error, wait });
            }
            tracing::debug!(
                provider = call.provider,
                operation = call.operation.name(),
                attempts,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                error.kind = error.kind().name(),
                "retrying",
            );
            self.clock.sleep(wait).await;
        }
    }
}
