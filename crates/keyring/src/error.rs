//! Why an operation failed, what became of it, and what to do next.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use api_keyring_transport::Secret;

use crate::{KeyId, Operation};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation failed.
///
/// `Display` says in one line which provider, operation and key it was about, what happened and what to do next; the
/// cause below, if there is one, is in `source` alone. No secret is printed: one that came with a failed answer is handed
/// over by [`unclaimed_secret`](Self::unclaimed_secret).
pub struct Error(Box<Parts>);

/// What an error is made of. Everything but `kind` and `problem` may be missing.
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
    pub(crate) attempts: u32,
    pub(crate) retries_exhausted: bool,
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
            attempts: 1,
            retries_exhausted: false,
            source: None,
        }
    }
}

/// What is known of the attempts before the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierAttempts {
    /// There were none, or the vendor certainly carried out none of them.
    HadNoEffect,
    /// The vendor may have carried out one of them.
    MayHaveTakenEffect,
}

impl From<Parts> for Error {
    fn from(parts: Parts) -> Self {
        Self(Box::new(parts))
    }
}

impl Error {
    /// An error of a provider from outside this crate.
    pub fn new(kind: ErrorKind, outcome: Outcome, problem: impl Into<Cow<'static, str>>) -> Self {
        Parts::new(kind, outcome, problem).into()
    }

    /// Adds the name of the provider that it is from.
    #[must_use]
    pub fn under(mut self, provider: &str) -> Self {
        self.0.provider = Some(provider.to_owned());
        self
    }

    /// Adds what the error is about.
    #[must_use]
    pub fn about(mut self, operation: Operation, key: Option<&KeyId>) -> Self {
        self.0.operation = Some(operation);
        self.0.key = key.cloned();
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what to do next, in a sentence without a full stop.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Adds the HTTP status of the vendor's answer.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds what the vendor said, which is shown as it is: [`printable`](crate::printable) makes it harmless.
    #[must_use]
    pub fn with_vendor_message(mut self, message: impl Into<String>) -> Self {
        self.0.vendor_message = Some(message.into());
        self
    }

    /// Adds how long the vendor asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Hands over what arrived of an answer that may hold a secret.
    #[must_use]
    pub fn unclaimed(mut self, secret: Option<Secret>) -> Self {
        self.0.unclaimed_secret = secret;
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Turns a failure to read a key into that of the operation that the key was read for: nothing was changed by it.
    pub(crate) fn while_preparing(mut self, operation: Operation) -> Self {
        self.0.operation = Some(operation);
        self.0.problem = format!("the key could not be read first: {}", self.0.problem).into();
        if self.0.outcome != Outcome::Rejected {
            self.0.outcome = Outcome::NotSent;
        }
        self
    }

    /// Notes how many attempts there were, and whether one before may have been carried out: then the operation may have
    /// been, however this one failed.
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

    /// Whether a key is not found that an earlier attempt to delete it, whose answer was lost, may well have deleted.
    pub(crate) fn is_completed_delete(&self) -> bool {
        self.is_not_found() && self.attempts() > 1 && self.outcome() == Outcome::Unknown
    }

    /// Notes that the call might have been tried again, and was not any more.
    pub(crate) fn with_retries_exhausted(mut self) -> Self {
        self.0.retries_exhausted = true;
        self
    }

    /// Whether trying the operation again can do no harm, and may help.
    pub(crate) fn is_retryable(&self, operation: Operation) -> bool {
        let is_harmless = !matches!(operation, Operation::Create | Operation::Regenerate | Operation::Update)
            || self.outcome() == Outcome::NotSent
            || self.is_rate_limited();
        self.is_transient() && is_harmless
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What became of the operation at the vendor's.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whether something may have changed at the vendor's although the operation failed.
    pub fn may_have_taken_effect(&self) -> bool {
        self.operation().is_none_or(Operation::is_write)
            && matches!(self.outcome(), Outcome::Applied | Outcome::Unknown)
    }

    /// Whether the same call may well succeed later: the connection failed, the vendor is overloaded, or no answer came in
    /// time. That it may be made again does not follow; [`may_have_taken_effect`](Self::may_have_taken_effect) has a word
    /// in it.
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::RateLimited => true,
            ErrorKind::Server => matches!(self.status(), Some(502..=504)),
            _ => false,
        }
    }

    /// Whether there is no such key, scope or provider.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether the credential is not accepted.
    pub fn is_unauthenticated(&self) -> bool {
        self.kind() == ErrorKind::Unauthenticated
    }

    /// Whether the credential lacks the permission.
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == ErrorKind::PermissionDenied
    }

    /// Whether there were too many requests.
    pub fn is_rate_limited(&self) -> bool {
        self.kind() == ErrorKind::RateLimited
    }

    /// Whether the provider does not have this operation or option.
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
    }

    /// How many attempts there were, the last included: more than one only below a [`Retry`](crate::Retry).
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the call could have been tried again, and was not because of the limits of a [`Retry`](crate::Retry).
    pub fn retries_exhausted(&self) -> bool {
        self.0.retries_exhausted
    }

    /// The provider's name.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The operation that failed.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The key that the operation was about; after a create, the new key, if its id is known.
    pub fn key(&self) -> Option<&KeyId> {
        self.0.key.as_ref()
    }

    /// The HTTP status of the vendor's answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// What the vendor said, in its own words.
    pub fn vendor_message(&self) -> Option<&str> {
        self.0.vendor_message.as_deref()
    }

    /// What the vendor said of single fields.
    pub fn field_errors(&self) -> &[FieldError] {
        &self.0.field_errors
    }

    /// How long the vendor asks to wait before the next call.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The vendor's own name for the call, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What arrived of the answer to a create or a regenerate that could not be read.
    ///
    /// **It may hold the new key's secret, which is shown nowhere else.** It is the secret itself where that could be
    /// told apart, else the answer as it came.
    pub fn unclaimed_secret(&self) -> Option<&Secret> {
        self.0.unclaimed_secret.as_ref()
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
            write!(f, ", after {} attempts", parts.attempts)?;
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

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or a setting is not acceptable.
    InvalidInput,
    /// The provider does not have this operation or option.
    Unsupported,
    /// The credential is missing, unknown, expired or revoked.
    Unauthenticated,
    /// The credential lacks the permission.
    PermissionDenied,
    /// There is no such key, scope or provider.
    NotFound,
    /// The request conflicts with what exists.
    Conflict,
    /// The vendor does not accept the request.
    Rejected,
    /// Too many requests.
    RateLimited,
    /// The vendor failed.
    Server,
    /// No answer came in time.
    Timeout,
    /// The connection could not be made, or was cut.
    Connection,
    /// The vendor answered with something that is not documented.
    UnexpectedAnswer,
    /// The vendor issued a key and its answer holds no secret.
    MissingSecret,
}

impl ErrorKind {
    /// The kind in lower case, such as `not_found`.
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
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::MissingSecret => "missing_secret",
        }
    }
}

/// What became of an operation at the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was sent.
    NotSent,
    /// The vendor refused it. Nothing changed.
    Rejected,
    /// The vendor carried it out, and its answer could not be used.
    Applied,
    /// Nobody can tell from here.
    Unknown,
}

impl Outcome {
    /// The outcome in lower case, such as `not_sent`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }
}

/// What a vendor said of one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The field's name.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}
