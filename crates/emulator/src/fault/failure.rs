//! Errors and redirects that nobody has deserved.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};

use super::distort::error_status;
use super::{ErrorStatus, RetryAfter};
use crate::http::Answer;
use crate::refusal::Refusal;
use crate::timestamp;

impl ErrorStatus {
    /// The error for the service to put into its own form.
    pub(crate) fn refusal(self) -> Refusal {
        let retry_after = match self.retry_after {
            Some(RetryAfter::Seconds(seconds) | RetryAfter::Body(seconds)) => Some(seconds),
            Some(RetryAfter::Date(_)) | None => None,
        };
        Refusal::Injected { status: error_status(self.status), retry_after }
    }

    /// Adds what the head says about trying again.
    pub(crate) fn add_headers(self, headers: &mut HeaderMap, now: DateTime<Utc>) {
        match self.retry_after {
            Some(RetryAfter::Seconds(seconds)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Some(RetryAfter::Date(ahead)) => {
                let ahead = TimeDelta::from_std(ahead).unwrap_or(TimeDelta::MAX);
                // A client has to measure it against the `Date`, which is set on every answer.
                insert_time(headers, RETRY_AFTER, now, ahead);
            }
            Some(RetryAfter::Body(_)) | None => {}
        }
    }
}

/// An answer that sends the client elsewhere.
pub(crate) fn redirect(address: &str) -> Answer {
    let mut answer = Answer::empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(address) = HeaderValue::from_str(address) {
        answer.headers.insert(LOCATION, address);
    }
    answer
}

/// Sets the `Date`, which otherwise is the machine's.
pub(crate) fn set_date(headers: &mut HeaderMap, now: DateTime<Utc>) {
    insert_time(headers, DATE, now, TimeDelta::zero());
}

fn insert_time(headers: &mut HeaderMap, name: hyper::header::HeaderName, now: DateTime<Utc>, ahead: TimeDelta) {
    // HTTP has four digits for a year: what lies outside is not sent.
    if let Some(time) = now.checked_add_signed(ahead)
        && (0..=9999).contains(&time.year())
        && let Ok(value) = HeaderValue::try_from(timestamp::http_date(time))
    {
        headers.insert(name, value);
    }
}
