//! One call to a vendor: its context, and the meaning of its failures.
//!
//! The raw crates share one error type, so this module translates the errors of both adapters.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api_keyring_transport::Secret;
use api_keyring_transport::reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use api_keyring_transport::runtime::{
    CommunicationError, Error as RawError, Obstacle, ResponseValue, UndecodedReason, UndecodedResponse,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Parts;
use crate::vendor::foreign;
use crate::vendor::recover::{self, LooksLikeSecret};
use crate::{
    ApiKey, Capabilities, Capability, Error, ErrorKind, Expiry, FieldError, KeyId, Operation, Outcome, Result,
};

/// The result of a raw client's call.
pub(crate) type RawResult<T, E> = std::result::Result<ResponseValue<T>, RawError<E>>;

/// The context of a call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) provider: &'a Arc<str>,
    /// The service's URL, for messages.
    pub(crate) endpoint: &'a str,
    pub(crate) operation: Operation,
    pub(crate) key: Option<&'a KeyId>,
    pub(crate) words: &'static VendorWords,
}

/// How a vendor's own words look.
pub(crate) struct VendorWords {
    pub(crate) looks_like_secret: LooksLikeSecret,
    /// Returns whether the body of a failure with this status has the form that the vendor documents.
    pub(crate) is_failure: fn(status: u16, body: &Value) -> bool,
}

impl Call<'_> {
    fn error(&self, parts: Parts) -> Error {
        let key = parts.key.clone().or_else(|| self.key.cloned());
        let provider = Some(self.provider.to_string());
        Parts { provider, operation: Some(self.operation), key, ..parts }.into()
    }

    /// Creates an error that this crate itself detected.
    pub(crate) fn failed(
        &self,
        kind: ErrorKind,
        outcome: Outcome,
        problem: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Error {
        self.error(Parts::new(kind, outcome, problem))
    }

    /// Creates an error about an invalid argument.
    pub(crate) fn invalid(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.failed(ErrorKind::InvalidInput, Outcome::NotSent, problem)
    }

    /// Adds the operation, the key and the provider to an error.
    pub(crate) fn add_context(&self, error: Error) -> Error {
        error.about(self.operation, self.key).under(self.provider)
    }

    /// Creates the error that refuses a capability.
    pub(crate) fn unsupported(&self, capabilities: Capabilities, capability: Capability) -> Error {
        self.add_context(capabilities.refusal(capability))
    }

    /// Checks that the provider offers a capability.
    #[cfg(feature = "memory")]
    pub(crate) fn require(&self, capabilities: Capabilities, capability: Capability) -> Result<()> {
        capabilities.require(capability).map_err(|error| self.add_context(error))
    }

    /// Checks that the provider offers an option, if the caller set that option.
    pub(crate) fn require_for<T>(
        &self,
        capabilities: Capabilities,
        capability: Capability,
        option: Option<&T>,
    ) -> Result<()> {
        capabilities.require_for(capability, option).map_err(|error| self.add_context(error))
    }

    /// Converts a key's id to the vendor's own type, which may be stricter.
    pub(crate) fn vendor_id<T: FromStr<Err: Display>>(&self, id: &KeyId) -> Result<T> {
        id.as_str().parse().map_err(|why| self.invalid(format!("this vendor has no key ids of this form: {why}")))
    }

    /// Returns the point in time that an expiry means at `now`, or `None` for never.
    pub(crate) fn expiry_time(&self, expiry: Expiry, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        expiry.time_at(now).map_err(|error| self.add_context(error))
    }

    /// Creates the error for a decoded answer that lacks something.
    pub(crate) fn unexpected(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.error(Parts::new(ErrorKind::UnexpectedAnswer, Outcome::Unknown, problem))
    }

    /// Combines a new key's id and secret. `rest` returns the answer's undocumented fields, which may hold the secret.
    pub(crate) fn issued(
        &self,
        id: Result<KeyId>,
        secret: Option<Secret>,
        rest: impl FnOnce() -> Option<Secret>,
    ) -> Result<(KeyId, Secret)> {
        match (id, secret) {
            (Ok(id), Some(secret)) if secret.is_token() => Ok((id, secret)),
            (Ok(id), Some(secret)) => Err(Error::unusable_secret(self.operation, &id, secret).under(self.provider)),
            (Ok(id), None) => {
                let rest = rest();
                let advice = match rest {
                    Some(_) => "The key exists. Look for its secret in `Error::unclaimed_secret`, or delete the key",
                    None => "The key exists, but its secret is lost: delete it",
                };
                let problem = "the vendor issued a secret, but its answer does not hold it";
                let parts = Parts::new(ErrorKind::MissingSecret, Outcome::Applied, problem);
                Err(self.error(Parts { key: Some(id), advice: Some(advice.into()), unclaimed_secret: rest, ..parts }))
            }
            (Err(error), Some(secret)) => Err(error.with_outcome(Outcome::Applied).unclaimed(Some(secret)).advise(
                "The vendor issued a key. Find it in the list, and keep its secret (`Error::unclaimed_secret`)",
            )),
            // An answer that holds neither an id nor a secret does not prove success.
            (Err(error), None) => {
                let unclear = Parts::new(ErrorKind::UnexpectedAnswer, Outcome::Unknown, "");
                let error = error.unclaimed(rest()).with_outcome(Outcome::Unknown);
                Err(self.advice(&unclear).into_iter().fold(error, Error::advise))
            }
        }
    }

    /// Returns the decoded answer and the server's time when it answered.
    pub(crate) fn answer_with_date<T: DeserializeOwned, E: Serialize>(
        &self,
        result: RawResult<T, E>,
    ) -> Result<(T, Option<DateTime<Utc>>)> {
        let date = result.as_ref().ok().and_then(|answer| date(answer.headers(), DATE));
        Ok((self.answer(result)?, date))
    }

    /// Returns the decoded answer, and the length of its body in bytes.
    pub(crate) fn answer_with_size<T: DeserializeOwned, E: Serialize>(
        &self,
        result: RawResult<T, E>,
    ) -> Result<(T, usize)> {
        let size = match &result {
            Ok(answer) => answer.body_len(),
            Err(RawError::Undecoded(answer)) => answer.bytes().len(),
            Err(_) => 0,
        };
        Ok((self.answer(result)?, size))
    }

    /// Returns the decoded answer. It also accepts another success status if the body has the documented form.
    pub(crate) fn answer<T: DeserializeOwned, E: Serialize>(&self, result: RawResult<T, E>) -> Result<T> {
        let error = match result {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(error) => error,
        };
        if let RawError::Undecoded(answer) = &error
            && answer.reason() == UndecodedReason::UndocumentedStatus
            && answer.status().is_success()
            && answer.is_declared_as_json()
            && let Ok(answer) = serde_json::from_str(answer.body().expose())
        {
            return Ok(answer);
        }
        Err(self.failure(error))
    }

    /// Checks that the vendor carried out a call whose answer holds nothing of interest.
    ///
    /// Only the documented form counts. A 202 never counts, because it only promises to act later.
    pub(crate) fn acknowledged<T: DeserializeOwned, E: Serialize>(&self, result: RawResult<T, E>) -> Result<()> {
        match result {
            Err(RawError::Undecoded(answer)) if answer.status().as_u16() == 202 => {
                Err(self.failure(RawError::<E>::Undecoded(answer)))
            }
            result => self.answer(result).map(drop),
        }
    }

    /// Checks that an answer shows the requested key, and not another one, as a cache on the way might.
    pub(crate) fn same_key(&self, key: ApiKey) -> Result<ApiKey> {
        match self.key {
            Some(requested) if key.id() != requested => {
                Err(self.error(self.foreign_parts("the answer shows another key", "")))
            }
            _ => Ok(key),
        }
    }

    /// Translates a raw client's error.
    pub(crate) fn failure<E: Serialize>(&self, error: RawError<E>) -> Error {
        let parts = match error {
            RawError::InvalidRequest(why) => Parts::new(ErrorKind::InvalidInput, Outcome::NotSent, why),
            RawError::Communication(error) => self.unanswered(error),
            RawError::ErrorResponse(answer) => {
                let body = serde_json::to_value(&*answer).unwrap_or_default();
                self.own_failure(answer.status().as_u16(), answer.headers(), &body).unwrap_or_else(|| {
                    let problem = format!("the service answered {} in another form than documented", answer.status());
                    let parts = self.foreign_parts(&problem, message(&body).unwrap_or_default());
                    Parts { status: Some(answer.status().as_u16()), ..self.with_headers(parts, answer.headers()) }
                })
            }
            RawError::Undecoded(answer) if answer.status().is_success() => self.undecoded_success(&answer),
            RawError::Undecoded(answer) => self.undecoded_failure(&answer),
            other => Parts::new(ErrorKind::UnexpectedAnswer, Outcome::Unknown, other.to_string()),
        };
        let advice = parts.advice.clone().or_else(|| self.advice(&parts).map(Into::into));
        self.error(Parts { advice, ..parts })
    }

    /// Translates the failure of a request that has no answer.
    fn unanswered(&self, error: CommunicationError) -> Parts {
        let is_timeout = error.is_timeout();
        let kind = if is_timeout { ErrorKind::Timeout } else { ErrorKind::Connection };
        let outcome = if error.was_surely_not_sent() { Outcome::NotSent } else { Outcome::Unknown };
        let obstacle = error.obstacle();
        let source = error.into_inner();
        let endpoint = self.endpoint;
        if let Some((what, advice)) = obstacle.map(explain) {
            let problem = format!("cannot connect to {endpoint}: {what}. Nothing was sent");
            let parts = Parts::new(kind, outcome, problem);
            return Parts {
                is_misconfigured: true,
                advice: Some(advice.into()),
                source: Some(Box::new(source)),
                ..parts
            };
        }
        let problem = match outcome {
            Outcome::NotSent if source.is_builder() => "cannot build the request. Nothing was sent".to_owned(),
            Outcome::NotSent if is_timeout => format!("connecting to {endpoint} took too long. Nothing was sent"),
            Outcome::NotSent => match io_error_kind(&source) {
                Some(reason) => format!("cannot connect to {endpoint}: {reason}. Nothing was sent"),
                None => format!("cannot connect to {endpoint}. Nothing was sent"),
            },
            _ if is_timeout => format!("{endpoint} did not answer in time"),
            _ => format!("the connection to {endpoint} broke before an answer arrived"),
        };
        Parts { source: Some(Box::new(source)), ..Parts::new(kind, outcome, problem) }
    }

    /// Translates a success that does not match the specification.
    fn undecoded_success(&self, answer: &UndecodedResponse) -> Parts {
        let may_hold_secret = self.operation.yields_secret() && !answer.bytes().is_empty();
        let found =
            may_hold_secret.then(|| recover::secret_in_text(answer.body(), self.words.looks_like_secret)).flatten();
        // The text of such an answer stays hidden if it may hold a secret.
        let text = if may_hold_secret { String::new() } else { foreign::text(answer) };
        let mut parts = self.undecoded(answer, &text);
        if found.is_some() {
            // Only the vendor knows such a secret.
            parts.outcome = Outcome::Applied;
            if parts.kind == ErrorKind::Intermediary {
                (parts.kind, parts.problem) = (ErrorKind::UnexpectedAnswer, answer.to_string().into());
            }
        }
        let unclaimed_secret = found.or_else(|| may_hold_secret.then(|| answer.body().clone()));
        let unclaimed_bytes = (may_hold_secret && answer.bytes() != answer.body().expose().as_bytes())
            .then(|| answer.bytes().to_vec().into());
        Parts {
            status: Some(answer.status().as_u16()),
            unclaimed_secret,
            unclaimed_bytes,
            ..self.with_headers(parts, answer.headers())
        }
    }

    /// Translates a failure that does not match the specification. It is the vendor's own if its body still has the form
    /// that the vendor documents for failures.
    fn undecoded_failure(&self, answer: &UndecodedResponse) -> Parts {
        let status = answer.status().as_u16();
        let may_be_own = matches!(
            answer.reason(),
            UndecodedReason::UndocumentedStatus
                | UndecodedReason::UnexpectedBody { .. }
                | UndecodedReason::UnexpectedForm(_)
        );
        if may_be_own
            && answer.is_declared_as_json()
            && answer.bytes().len() <= MAX_FAILURE_BYTES
            && let Ok(body) = serde_json::from_slice(answer.bytes())
            && let Some(parts) = self.own_failure(status, answer.headers(), &body)
        {
            return parts;
        }
        let parts = self.undecoded(answer, &foreign::text(answer));
        Parts { status: Some(status), ..self.with_headers(parts, answer.headers()) }
    }

    /// Translates an answer that does not match the specification. `text` is the part of it that may be shown.
    fn undecoded(&self, answer: &UndecodedResponse, text: &str) -> Parts {
        let problem = answer.to_string();
        match answer.reason() {
            UndecodedReason::Interrupted { timeout: true } => Parts::new(ErrorKind::Timeout, Outcome::Unknown, problem),
            UndecodedReason::Interrupted { timeout: false } => {
                Parts::new(ErrorKind::Connection, Outcome::Unknown, problem)
            }
            UndecodedReason::TooLarge { .. } if answer.status().is_success() => {
                Parts::new(ErrorKind::UnexpectedAnswer, Outcome::Unknown, problem)
            }
            _ => self.foreign_parts(&problem, text),
        }
    }

    /// Translates an answer that is not the vendor's own. Its status proves nothing.
    fn foreign_parts(&self, problem: &str, text: &str) -> Parts {
        let text = match self.printable(text) {
            text if text.is_empty() => text,
            text => format!(" (\"{text}\")"),
        };
        let problem = format!("{problem}{text}. The answer may come from a gateway, and proves nothing");
        Parts::new(ErrorKind::Intermediary, Outcome::Unknown, problem)
    }

    /// Adds what the headers of a failed answer say.
    fn with_headers(&self, parts: Parts, headers: &HeaderMap) -> Parts {
        let request_id = request_id(headers).map(|id| self.printable(id));
        Parts { request_id, retry_after: parts.retry_after.or_else(|| retry_after(headers, &Value::Null)), ..parts }
    }

    fn advice(&self, parts: &Parts) -> Option<&'static str> {
        Some(match (parts.kind, parts.outcome, self.operation) {
            (ErrorKind::Unauthenticated, ..) => "Check the credential: it may be wrong, expired or revoked",
            (ErrorKind::PermissionDenied, ..) => "Use a credential whose role allows this in this scope",
            (ErrorKind::NotFound, ..) => "List the keys to see which exist",
            (ErrorKind::RateLimited, ..) => "Nothing changed. Wait before the next call",
            (ErrorKind::Intermediary, _, operation) if !operation.is_write() => {
                "Check the base URL and the network, or try again later"
            }
            (_, Outcome::NotSent | Outcome::Rejected, _) => return None,
            _ if parts.unclaimed_secret.is_some() => {
                "Keep what arrived (`Error::unclaimed_secret`): it may hold the new secret, which the vendor shows \
                 only once"
            }
            (_, Outcome::Applied, Operation::Create) => {
                "The vendor issued a key, but its secret did not arrive. Find the key in the list and delete it"
            }
            (_, Outcome::Applied, Operation::Regenerate) => {
                "The old secret no longer works, and the new one did not arrive. Regenerate again"
            }
            (_, Outcome::Unknown, Operation::Create) => {
                "A key may exist whose secret is lost. Look for it in the list before trying again"
            }
            (_, Outcome::Unknown, Operation::Regenerate) => {
                "The old secret may no longer work, and the new one may be lost. Check the old secret before trying \
                 again"
            }
            (_, Outcome::Applied, operation) if operation.is_write() => {
                "The vendor seems to have carried out the operation. Read the key to be sure"
            }
            (_, Outcome::Unknown, operation) if operation.is_write() => {
                "The vendor may have carried out the operation. Read the key before trying again"
            }
            _ => return None,
        })
    }

    /// Translates a failure status and its body, if the body has the vendor's own form.
    fn own_failure(&self, status: u16, headers: &HeaderMap, body: &Value) -> Option<Parts> {
        if !(self.words.is_failure)(status, body) {
            return None;
        }
        let (kind, outcome) = match status {
            401 => (ErrorKind::Unauthenticated, Outcome::Rejected),
            403 => (ErrorKind::PermissionDenied, Outcome::Rejected),
            404 | 410 => (ErrorKind::NotFound, Outcome::Rejected),
            409 => (ErrorKind::Conflict, Outcome::Rejected),
            429 => (ErrorKind::RateLimited, Outcome::Rejected),
            400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 => (ErrorKind::Rejected, Outcome::Rejected),
            // The server stopped waiting for a request that it may have begun to carry out.
            408 => (ErrorKind::Timeout, Outcome::Unknown),
            402..=499 => (ErrorKind::UnexpectedAnswer, Outcome::Rejected),
            500..=599 => (ErrorKind::Server, Outcome::Unknown),
            // A server may carry out a request and answer with a redirect.
            _ => (ErrorKind::UnexpectedAnswer, Outcome::Unknown),
        };
        let reason = api_keyring_transport::reqwest::StatusCode::from_u16(status).ok();
        let problem = match reason.and_then(|status| status.canonical_reason()) {
            Some(reason) => format!("the service answered {status} {reason}"),
            None => format!("the service answered {status}"),
        };
        Some(Parts {
            status: Some(status),
            vendor_message: message(body).map(|text| self.printable(text)).filter(|text| !text.is_empty()),
            field_errors: self.field_errors(body),
            retry_after: retry_after(headers, body),
            request_id: request_id(headers).map(|id| self.printable(id)),
            ..Parts::new(kind, outcome, problem)
        })
    }

    fn field_errors(&self, body: &Value) -> Vec<FieldError> {
        let fields = body.get("errors").and_then(Value::as_object).into_iter().flatten();
        fields
            .flat_map(|(field, messages)| {
                let messages = match messages {
                    Value::Array(messages) => messages.as_slice(),
                    one => std::slice::from_ref(one),
                };
                messages.iter().filter_map(Value::as_str).map(move |text| (field, text))
            })
            .map(|(field, text)| FieldError { field: self.printable(field), message: self.printable(text) })
            .take(50)
            .collect()
    }

    /// Turns a vendor's text into one line of limited length. It removes control characters and everything that looks
    /// like a secret, because a failure may quote the key that it is about.
    fn printable(&self, text: &str) -> String {
        let line = crate::printable(whole_words(text.trim(), MAX_SHOWN));
        let mut shown = String::with_capacity(line.len());
        for word in line.split_inclusive(separates_words) {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match (self.words.looks_like_secret)(bare) {
                true => shown.extend([api_keyring_transport::REDACTED, &word[bare.len()..]]),
                false => shown.push_str(word),
            }
        }
        shown
    }
}

/// Returns what an obstacle is, and what to do about it.
fn explain(obstacle: Obstacle) -> (&'static str, &'static str) {
    match obstacle {
        Obstacle::UnknownIssuer => (
            "its certificate is from an authority that this machine does not trust",
            "If your network or the service has an authority of its own, name its certificate in SSL_CERT_FILE",
        ),
        Obstacle::WrongName => ("its certificate is for another host", "Check the base URL and the proxy"),
        Obstacle::WrongTime => (
            "its certificate is not valid now",
            "Check this machine's clock. If it is right, the service has to renew the certificate",
        ),
        Obstacle::ProxyAuthentication => (
            "the proxy requires a user name and a password, or refuses those that it got",
            "Put the right ones into the variable that names the proxy, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
        ),
        _ => ("both sides cannot agree on TLS", "Check that the base URL and the proxy name services that speak TLS"),
    }
}

/// The maximum length of a failure's body that does not match the specification and is still read. Such a body can take
/// a hundred times its length in memory.
const MAX_FAILURE_BYTES: usize = 64 * 1024;

/// The maximum length of a vendor's text in an error, in bytes.
const MAX_SHOWN: usize = 500;

/// Returns whether a character separates words. A secret is one word.
fn separates_words(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.')
}

/// Returns the start of a text, at most `length` bytes of it. The last word is whole: nobody recognizes a part of a
/// secret.
pub(super) fn whole_words(text: &str, length: usize) -> &str {
    if text.len() <= length {
        return text;
    }
    let end = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].rfind(separates_words).map_or("", |end| &text[..end])
}

/// Finds the system's reason among an error's causes, if it is a well-known one.
fn io_error_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.find(|kind| {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};
        matches!(kind, ConnectionRefused | HostUnreachable | NetworkDown | NetworkUnreachable)
    })
}

/// Finds the message in a failure's body: the body itself, or the value of one of the usual fields.
fn message(body: &Value) -> Option<&str> {
    match body {
        Value::String(text) => Some(text),
        Value::Object(fields) => {
            ["message", "error", "detail", "title"].iter().filter_map(|name| fields.get(*name)).find_map(message)
        }
        _ => None,
    }
}

/// Reads the wait from the header (seconds or a date), or else from the body.
fn retry_after(headers: &HeaderMap, body: &Value) -> Option<Duration> {
    let in_header = text(headers, RETRY_AFTER).and_then(|wait| match wait.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // The wait runs from the server's own time, if the server sends it.
        Err(_) => {
            let now = date(headers, DATE).unwrap_or_else(Utc::now);
            Some((date(headers, RETRY_AFTER)? - now).to_std().unwrap_or_default())
        }
    });
    in_header.or_else(|| body.get("retry_after")?.as_u64().map(Duration::from_secs))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text(headers, name)?).ok().map(|time| time.to_utc())
}

fn request_id(headers: &HeaderMap) -> Option<&str> {
    let names = ["x-request-id", "request-id", "x-correlation-id"];
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).filter(|id| !id.trim().is_empty())
}

/// Returns whether the code in a failure's body fits its status. A vendor may use codes of its own, but a gateway's
/// code is a smaller number or another HTTP status.
pub(crate) fn is_code_of(status: u16, code: &Value) -> bool {
    match code.as_u64() {
        Some(code) => code == u64::from(status) || code > 599,
        None => false,
    }
}
