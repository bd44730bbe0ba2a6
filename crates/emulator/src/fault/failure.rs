//! Injected errors and redirects.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};

use super::distort::error_status;
use super::{ErrorStatus, RetryAfter};
use crate::http::Answer;
use crate::refusal::Refusal;
use crate::timestamp;

impl ErrorStatus {
    /// Returns the error as a refusal, which the service then writes in its own form.
    pub(crate) fn refusal(self) -> Refusal {
        let retry_after = match self.retry_after {
            Some(RetryAfter::Seconds(seconds) | RetryAfter::Body(seconds)) => Some(seconds),
            Some(RetryAfter::Date(_)) | None => None,
        };
        Refusal::Injected { status: error_status(self.status), retry_after }
    }

    /// Adds the header that says when to retry.
    pub(crate) fn add_headers(self, headers: &mut HeaderMap, now: DateTime<Utc>) {
        match self.retry_after {
            Some(RetryAfter::Seconds(seconds)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Some(RetryAfter::Date(ahead)) => {
                let ahead = TimeDelta::from_std(ahead).unwrap_or(TimeDelta::MAX);
                // The client measures it against the `Date`, which every answer has.
                insert_time(headers, RETRY_AFTER, now, ahead);
            }
            Some(RetryAfter::Body(_)) | None => {}
        }
    }
}

/// Returns a redirect to `address`.
pub(crate) fn redirect(address: &str) -> Answer {
    let mut answer = Answer::empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(address) = HeaderValue::from_str(address) {
        answer.headers.insert(LOCATION, address);
    }
    answer
}

/// Sets the `Date` header. Without this call hyper sets it from the machine's clock.
pub(crate) fn set_date(headers: &mut HeaderMap, now: DateTime<Utc>) {
    insert_time(headers, DATE, now, TimeDelta::zero());
}

fn insert_time(headers: &mut HeaderMap, name: hyper::header::HeaderName, now: DateTime<Utc>, ahead: TimeDelta) {
    // HTTP writes a year with four digits, so a time outside that range has no header.
    if let Some(time) = now.checked_add_signed(ahead)
        && (0..=9999).contains(&time.year())
        && let Ok(value) = HeaderValue::try_from(timestamp::http_date(time))
    {
        headers.insert(name, value);
    }
}
