//! A token bucket for rate limits.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A token bucket that fills evenly, stored as the time at which it is full. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// The time between two new tokens.
    interval: i64,
    /// The time in which an empty bucket fills.
    span: i64,
    full_at: i64,
}

impl TokenBucket {
    /// Creates a full bucket that holds `tokens` and refills them in `per`.
    pub(crate) fn new(tokens: u64, per: Duration) -> Self {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX).max(1);
        let span = i64::try_from(per.as_micros()).unwrap_or(i64::MAX);
        let interval = (span / tokens).max(1);
        Self { interval, span: interval.saturating_mul(tokens), full_at: i64::MIN }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// Returns the seconds until the next token if the bucket is empty.
    pub(crate) fn take(&mut self, now: DateTime<Utc>) -> Result<(), u64> {
        let now = now.timestamp_micros();
        let empty = now.saturating_add(self.span);
        // After the clock was set back, the wait is at most that of an empty bucket.
        let full_at = self.full_at.clamp(now, empty).saturating_add(self.interval);
        if full_at <= empty {
            self.full_at = full_at;
            return Ok(());
        }
        Err(full_at.abs_diff(empty).div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn tokens_return_evenly_up_to_the_bucket_size() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |milliseconds| start + TimeDelta::milliseconds(milliseconds);
        let mut bucket = TokenBucket::new(2, Duration::from_secs(10));
        assert_eq!([0, 0, 0].map(|time| bucket.take(at(time))), [Ok(()), Ok(()), Err(5)]);
        assert_eq!([3_900, 4_999].map(|time| bucket.take(at(time))), [Err(2), Err(1)]);
        assert_eq!([5_000, 5_001].map(|time| bucket.take(at(time))), [Ok(()), Err(5)]);
        assert_eq!([90_000; 3].map(|time| bucket.take(at(time))), [Ok(()), Ok(()), Err(5)]);
    }

    #[test]
    fn setting_the_clock_back_bounds_the_wait() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut bucket = TokenBucket::new(1, Duration::from_secs(10));
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start - TimeDelta::days(1)), Err(10));
        assert_eq!(bucket.take(start - TimeDelta::days(1) + TimeDelta::seconds(10)), Err(10));
    }

    #[test]
    fn extreme_values_do_not_panic() {
        let now = DateTime::<Utc>::MAX_UTC;
        for (tokens, per) in [(0, Duration::ZERO), (u64::MAX, Duration::ZERO), (u64::MAX, Duration::MAX)] {
            let _ = TokenBucket::new(tokens, per).take(now);
        }
        assert_eq!(TokenBucket::new(1, Duration::MAX).take(DateTime::<Utc>::MIN_UTC), Ok(()));
    }
}
