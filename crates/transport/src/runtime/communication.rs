//! A request that received no answer.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// No answer arrived: the name lookup or the connection failed, or the time limit passed.
#[derive(Debug)]
pub struct CommunicationError {
    error: reqwest::Error,
    /// The scheme, host and port of the service, if the HTTP client knows them.
    service: Option<String>,
}

impl CommunicationError {
    pub(super) fn new(error: reqwest::Error) -> Self {
        // Only the origin is kept: a path holds ids, and a query may hold anything.
        let service = error.url().map(|url| url.origin().ascii_serialization());
        Self { error: error.without_url(), service }
    }

    /// Returns whether the request certainly did not reach the service: it could not be built, or no connection was
    /// made. If this is `false`, the service may have acted.
    pub fn was_surely_not_sent(&self) -> bool {
        self.error.is_connect() || self.error.is_builder()
    }

    /// Returns whether the time limit passed.
    pub fn is_timeout(&self) -> bool {
        self.error.is_timeout()
    }

    /// Returns the HTTP client's own error, without the URL.
    pub fn into_inner(self) -> reqwest::Error {
        self.error
    }

    /// Returns the operating system's reason if it is one that a user understands.
    fn network_reason(&self) -> Option<io::ErrorKind> {
        let mut next = StdError::source(&self.error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind()).filter(|kind| NETWORK_REASONS.contains(kind));
            }
            next = error.source();
        }
        None
    }
}

const NETWORK_REASONS: [io::ErrorKind; 6] = [
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::PermissionDenied,
];

impl fmt::Display for CommunicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.as_deref().unwrap_or("the service");
        if self.error.is_builder() {
            return f.write_str("cannot build the request; nothing was sent");
        }
        match (self.was_surely_not_sent(), self.is_timeout()) {
            (true, true) => write!(f, "cannot connect to {service} in time; nothing was sent"),
            (true, false) => {
                write!(f, "cannot connect to {service}")?;
                if let Some(reason) = self.network_reason() {
                    write!(f, ": {reason}")?;
                }
                f.write_str("; nothing was sent")
            }
            (false, true) => write!(f, "{service} did not answer in time; it may have acted on the request"),
            (false, false) => {
                write!(f, "the connection to {service} failed before an answer arrived; ")?;
                f.write_str("the service may have acted on the request")
            }
        }
    }
}

impl StdError for CommunicationError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.error)
    }
}
