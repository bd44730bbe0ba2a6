//! How many requests a service takes in a time.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A token bucket that fills evenly, kept as the time at which it will be full. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// How long a token takes to come.
    interval: i64,
    /// How long an empty bucket takes to fill.
    span: i64,
    full_at: i64,
}

impl TokenBucket {
    /// A full bucket of so many tokens, which is what comes in the time.
    pub(crate) fn new(tokens: u64, per: Duration) -> Self {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX).max(1);
        let span = i64::try_from(per.as_micros()).unwrap_or(i64::MAX);
        let interval = (span / tokens).max(1);
        Self { interval, span: interval.saturating_mul(tokens), full_at: i64::MIN }
    }

    /// Takes a token, or tells how many seconds it takes until there is one.
    pub(crate) fn take(&mut self, now: DateTime<Utc>) -> Result<(), u64> {
        let now = now.timestamp_micros();
        let empty = now.saturating_add(self.span);
        // A clock that was set back does not make anybody wait for longer than an empty bucket does.
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
    fn tokens_come_back_evenly_and_no_more_than_there_is_room_for() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |milliseconds| start + TimeDelta::milliseconds(milliseconds);
        let mut bucket = TokenBucket::new(2, Duration::from_secs(10));
        assert_eq!([0, 0, 0].map(|time| bucket.take(at(time))), [Ok(()), Ok(()), Err(5)]);
        assert_eq!([3_900, 4_999].map(|time| bucket.take(at(time))), [Err(2), Err(1)]);
        assert_eq!([5_000, 5_001].map(|time| bucket.take(at(time))), [Ok(()), Err(5)]);
        assert_eq!([90_000; 3].map(|time| bucket.take(at(time))), [Ok(()), Ok(()), Err(5)]);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting_for_long() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut bucket = TokenBucket::new(1, Duration::from_secs(10));
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start - TimeDelta::days(1)), Err(10));
        assert_eq!(bucket.take(start - TimeDelta::days(1) + TimeDelta::seconds(10)), Err(10));
    }

    #[test]
    fn what_makes_no_sense_does_no_harm() {
        let now = DateTime::<Utc>::MAX_UTC;
        for (tokens, per) in [(0, Duration::ZERO), (u64::MAX, Duration::ZERO), (u64::MAX, Duration::MAX)] {
            let _ = TokenBucket::new(tokens, per).take(now);
        }
        assert_eq!(TokenBucket::new(1, Duration::MAX).take(DateTime::<Utc>::MIN_UTC), Ok(()));
    }
}
