//! Errors: what failed, what became of the operation, and what to do next.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use api_keyring_transport::Secret;
use zeroize::Zeroizing;

use crate::{KeyId, Operation};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An operation that failed.
///
/// `Display` writes one line: the provider, the operation, the key, what happened, and what to do next. The cause, if
/// there is one, is only in `source`. An error prints no secret. If a failed answer held one,
/// [`unclaimed_secret`](Self::unclaimed_secret) returns it.
pub struct Error(Box<Parts>);

/// The parts of an error. Only `kind`, `outcome` and `problem` are always there.
pub(crate) struct Parts {
    pub(crate) kind: ErrorKind,
    pub(crate) outcome: Outcome,
    pub(crate) provider: Option<String>,
    pub(crate) operation: Option<Operation>,
    pub(crate) key: Option<KeyId>,
    pub(crate) status: Option<u16>,
    pub(crate) problem: Cow<'static, str>,
    pub(crate) vendor_message: Option<String>,
    pub(crate) field_errors: Vec<FieldError>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
    pub(crate) advice: Option<Cow<'static, str>>,
    pub(crate) unclaimed_secret: Option<Secret>,
    /// The answer that `unclaimed_secret` shows as text, if it is not valid UTF-8.
    pub(crate) unclaimed_bytes: Option<Zeroizing<Vec<u8>>>,
    pub(crate) attempts: u32,
    pub(crate) retries_exhausted: bool,
    /// Whether only a change of settings helps.
    pub(crate) is_misconfigured: bool,
    pub(crate) source: Option<Source>,
}

impl Parts {
    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            outcome,
            provider: None,
            operation: None,
            key: None,
            status: None,
            problem: problem.into(),
            vendor_message: None,
            field_errors: Vec::new(),
            retry_after: None,
            request_id: None,
            advice: None,
            unclaimed_secret: None,
            unclaimed_bytes: None,
            attempts: 1,
            retries_exhausted: false,
            is_misconfigured: false,
            source: None,
        }
    }
}

/// Whether an attempt before the last one may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierAttempts {
    /// There were no earlier attempts, or the vendor certainly carried out none of them.
    HadNoEffect,
    /// The vendor may have carried out an earlier attempt.
    MayHaveTakenEffect,
}

impl From<Parts> for Error {
    fn from(parts: Parts) -> Self {
        Self(Box::new(parts))
    }
}

impl Error {
    /// Creates an error, for providers outside this crate.
    pub fn new(kind: ErrorKind, outcome: Outcome, problem: impl Into<Cow<'static, str>>) -> Self {
        Parts::new(kind, outcome, problem).into()
    }

    /// Creates the error for a key whose secret is no [token](Secret::is_token), so that no request can carry it.
    ///
    /// The key exists. The secret stays in [`unclaimed_secret`](Self::unclaimed_secret), and must not be written to a
    /// place from which programs read: a line end in it could set another variable of a dotenv file.
    pub fn unusable_secret(operation: Operation, key: &KeyId, secret: Secret) -> Self {
        let problem = "the vendor issued a secret that no request can carry: it is empty or very long, or it has \
                       characters that are not visible ASCII";
        Self::new(ErrorKind::UnusableSecret, Outcome::Applied, problem)
            .about(operation, Some(key))
            .unclaimed(Some(secret))
            .advise("The key exists. Look at what arrived (`Error::unclaimed_secret`), or delete the key")
    }

    /// Sets the name of the provider that failed.
    #[must_use]
    pub fn under(mut self, provider: &str) -> Self {
        self.0.provider = Some(provider.to_owned());
        self
    }

    /// Sets the operation that failed and the key that it was about.
    #[must_use]
    pub fn about(mut self, operation: Operation, key: Option<&KeyId>) -> Self {
        self.0.operation = Some(operation);
        self.0.key = key.cloned();
        self
    }

    /// Sets the cause, which [`source`](std::error::Error::source) returns.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Sets what to do next: a sentence without a full stop.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Sets the HTTP status of the vendor's answer.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Sets the vendor's message. `Display` writes it unchanged, so pass it through [`printable`](crate::printable)
    /// first.
    #[must_use]
    pub fn with_vendor_message(mut self, message: impl Into<String>) -> Self {
        self.0.vendor_message = Some(message.into());
        self
    }

    /// Sets how long the vendor asks the caller to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Sets what arrived of an answer that may hold a secret.
    #[must_use]
    pub fn unclaimed(mut self, secret: Option<Secret>) -> Self {
        self.0.unclaimed_secret = secret;
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Turns a failed read into the failure of `operation`, which needed that read. The operation itself changed
    /// nothing.
    pub(crate) fn while_preparing(mut self, operation: Operation) -> Self {
        self.0.operation = Some(operation);
        self.0.problem = format!("reading the key first failed: {}", self.0.problem).into();
        if self.0.outcome != Outcome::Rejected {
            self.0.outcome = Outcome::NotSent;
        }
        self
    }

    /// Sets the number of attempts. If an earlier attempt may have taken effect, sets the outcome to `Unknown`, even if
    /// the last attempt certainly changed nothing.
    pub(crate) fn with_attempts(mut self, attempts: u32, earlier: EarlierAttempts) -> Self {
        self.0.attempts = attempts;
        if earlier == EarlierAttempts::MayHaveTakenEffect
            && self.outcome() != Outcome::Applied
            && self.operation().is_none_or(Operation::is_write)
        {
            self.0.outcome = Outcome::Unknown;
        }
        self
    }

    /// Records that the call could have been retried, but the limits of the [`Retry`](crate::Retry) were reached.
    pub(crate) fn with_retries_exhausted(mut self) -> Self {
        self.0.retries_exhausted = true;
        self
    }

    /// Returns whether repeating the operation may help and can do no harm.
    pub(crate) fn is_retryable(&self, operation: Operation) -> bool {
        let is_harmless = !operation.is_write() || self.outcome() == Outcome::NotSent || self.is_rate_limited();
        self.is_transient() && is_harmless && !self.is_misconfigured()
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what became of the operation at the vendor.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Returns whether something may have changed at the vendor although the operation failed.
    pub fn may_have_taken_effect(&self) -> bool {
        self.operation().is_none_or(Operation::is_write)
            && matches!(self.outcome(), Outcome::Applied | Outcome::Unknown)
    }

    /// Returns whether the same call may succeed later: the connection failed, the vendor is overloaded, no answer came
    /// in time, or the answer was not the vendor's own. This does not mean that repeating the call is safe; check
    /// [`may_have_taken_effect`](Self::may_have_taken_effect) first.
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::RateLimited | ErrorKind::Intermediary => true,
            ErrorKind::Server => matches!(self.status(), Some(502..=504)),
            _ => false,
        }
    }

    /// Returns whether no connection can be made until somebody changes a setting: the service's certificate is not
    /// trusted, both sides cannot agree on TLS, or a proxy requires a password.
    ///
    /// Such an error is [transient](Self::is_transient), too, because the call itself is right. Waiting does not help, so
    /// a [`Retry`](crate::Retry) does not repeat the call.
    pub fn is_misconfigured(&self) -> bool {
        self.0.is_misconfigured
    }

    /// Returns whether the key, scope or provider does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Returns whether the credential is missing, or the vendor rejected it.
    pub fn is_unauthenticated(&self) -> bool {
        self.kind() == ErrorKind::Unauthenticated
    }

    /// Returns whether the credential lacks a permission.
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == ErrorKind::PermissionDenied
    }

    /// Returns whether the vendor received too many requests.
    pub fn is_rate_limited(&self) -> bool {
        self.kind() == ErrorKind::RateLimited
    }

    /// Returns whether the provider does not offer this operation or option.
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
    }

    /// Returns the number of attempts, including the last. It exceeds one only if a [`Retry`](crate::Retry) repeated
    /// the call.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns whether a [`Retry`](crate::Retry) could have repeated the call but had reached its limits.
    pub fn retries_exhausted(&self) -> bool {
        self.0.retries_exhausted
    }

    /// Returns the provider's name.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// Returns the operation that failed.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// Returns the key that the operation was about. After a create it is the new key, if its id is known.
    pub fn key(&self) -> Option<&KeyId> {
        self.0.key.as_ref()
    }

    /// Returns the HTTP status of the vendor's answer, if the vendor answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the vendor's own message.
    pub fn vendor_message(&self) -> Option<&str> {
        self.0.vendor_message.as_deref()
    }

    /// Returns the vendor's messages about single fields of the request.
    pub fn field_errors(&self) -> &[FieldError] {
        &self.0.field_errors
    }

    /// Returns how long the vendor asks you to wait before the next call.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the vendor's id for the request. The vendor's support can find the request by it.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns what arrived when the answer to a create or a regenerate could not be read.
    ///
    /// **It may hold the new key's secret, which the vendor shows nowhere else.** If the crate recognizes the secret in
    /// the answer, it returns only the secret. Otherwise it returns the whole answer.
    pub fn unclaimed_secret(&self) -> Option<&Secret> {
        self.0.unclaimed_secret.as_ref()
    }

    /// Returns the same as [`unclaimed_secret`](Self::unclaimed_secret), byte for byte. A compressed answer is not text,
    /// so keep these bytes.
    pub fn unclaimed_bytes(&self) -> Option<&[u8]> {
        let text = self.unclaimed_secret().map(|secret| secret.expose().as_bytes());
        self.0.unclaimed_bytes.as_ref().map(|bytes| bytes.as_slice()).or(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        if let Some(provider) = &parts.provider {
            write!(f, "{provider}: ")?;
        }
        if let Some(operation) = parts.operation {
            write!(f, "{operation}")?;
            if let Some(key) = &parts.key {
                write!(f, " of key {key}")?;
            }
            f.write_str(" failed: ")?;
        }
        f.write_str(&parts.problem)?;
        if let Some(message) = &parts.vendor_message {
            write!(f, ": {message}")?;
        }
        for FieldError { field, message } in &parts.field_errors {
            write!(f, "; {field}: {message}")?;
        }
        if parts.attempts > 1 {
            write!(f, " ({} attempts)", parts.attempts)?;
        }
        if let Some(advice) = &parts.advice {
            write!(f, ". {advice}")?;
        }
        if let Some(id) = &parts.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        f.debug_struct("Error")
            .field("kind", &parts.kind)
            .field("outcome", &parts.outcome)
            .field("provider", &parts.provider)
            .field("operation", &parts.operation)
            .field("key", &parts.key)
            .field("status", &parts.status)
            .field("problem", &parts.problem)
            .field("vendor_message", &parts.vendor_message)
            .field("field_errors", &parts.field_errors)
            .field("retry_after", &parts.retry_after)
            .field("attempts", &parts.attempts)
            .field("retries_exhausted", &parts.retries_exhausted)
            .field("is_misconfigured", &parts.is_misconfigured)
            .field("request_id", &parts.request_id)
            .field("unclaimed_secret", &parts.unclaimed_secret)
            .field("source", &parts.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or a setting is invalid.
    InvalidInput,
    /// The provider does not offer this operation or option.
    Unsupported,
    /// The credential is missing, unknown, expired or revoked.
    Unauthenticated,
    /// The credential lacks the permission.
    PermissionDenied,
    /// The key, scope or provider does not exist.
    NotFound,
    /// The request conflicts with something that exists.
    Conflict,
    /// The vendor rejected the request.
    Rejected,
    /// The vendor received too many requests.
    RateLimited,
    /// The vendor's server failed.
    Server,
    /// No answer arrived in time.
    Timeout,
    /// The connection failed before the whole answer arrived.
    Connection,
    /// The answer has another media type or form than the vendor documents for its status. It may come from a gateway, a
    /// load balancer or a captive portal, so its status proves nothing.
    Intermediary,
    /// The vendor's answer contradicts its documentation.
    UnexpectedAnswer,
    /// The vendor issued a key, but its answer holds no secret.
    MissingSecret,
    /// The vendor issued a secret that no request can carry.
    UnusableSecret,
}

impl ErrorKind {
    /// Returns the kind in lower case, such as `not_found`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Intermediary => "intermediary",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::MissingSecret => "missing_secret",
            Self::UnusableSecret => "unusable_secret",
        }
    }
}

/// What became of a failed operation at the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was sent.
    NotSent,
    /// The vendor rejected the operation and changed nothing.
    Rejected,
    /// The vendor carried out the operation, but its answer was unusable.
    Applied,
    /// The vendor may or may not have carried out the operation.
    Unknown,
}

impl Outcome {
    /// Returns the outcome in lower case, such as `not_sent`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }
}

/// A vendor's message about one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The field's name.
    pub field: String,
    /// What is wrong with the field.
    pub message: String,
}
