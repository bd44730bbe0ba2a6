//! Trying again, where that can do no harm.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{CallInfo, Layer, SendCall};
use crate::error::EarlierAttempts;
use crate::{Clock, Error, Outcome, Result, SystemClock};

/// Tries calls again that failed and may be repeated.
///
/// What may be repeated depends on the operation:
///
/// | after | list, get, stats, delete, revoke | create, regenerate, update |
/// |---|---|---|
/// | a connection that was refused: nothing was sent | again | again |
/// | 429: nothing was done | again | again |
/// | a connection that was cut, within the answer too, no answer in time, 408, 502, 503, 504 | again | **never**: it may have been done |
/// | anything else | never | never |
///
/// A delete that finds no key, after one whose answer was lost, has done its work.
///
/// The wait doubles from one attempt to the next and is then chosen at random between nothing and that (full jitter), so
/// that many clients do not come back at once. Where the vendor asks for a longer wait, it gets it, up to
/// [`max_wait`](Self::max_wait). An error that comes out in the end says [how many attempts](Error::attempts) there were.
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

/// A call that will be tried again.
///
/// `Display` is one line, with the failure.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retrying<'a> {
    /// What the call is about.
    pub call: CallInfo<'a>,
    /// How many attempts there were.
    pub attempts: u32,
    /// How the last one failed.
    pub error: &'a Error,
    /// How long it is until the next one.
    pub wait: Duration,
}

impl fmt::Display for Retrying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} failed, the next is in {:?}: {}", self.attempts, self.wait, self.error)
    }
}

impl Retry {
    /// Four attempts within two minutes.
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

    /// How many attempts there may be, the first included: 4 unless set here. 1 never tries again.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long after its beginning a call may be tried again, the wait included: two minutes unless set here. An attempt
    /// that has begun is not cut off by it.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }

    /// Between nothing and how long the first wait is: 250 ms unless set here. Later ones double.
    #[must_use]
    pub fn first_backoff(mut self, backoff: Duration) -> Self {
        self.first_backoff = backoff;
        self
    }

    /// What a wait does not grow beyond, unless the vendor asks for it: 20 s unless set here.
    #[must_use]
    pub fn max_backoff(mut self, backoff: Duration) -> Self {
        self.max_backoff = backoff;
        self
    }

    /// The longest wait that a vendor may ask for: a minute unless set here. One that asks for more is not asked again.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// The clock that is read and waited on: the machine's unless set here.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the waits the same in every run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        self
    }

    /// Tells of every call that will be tried again, before the wait: for logs and metrics.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Retrying<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// How long to wait after so many attempts; `None` where there shall be no other.
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
                "trying again",
            );
            self.clock.sleep(wait).await;
        }
    }
}
