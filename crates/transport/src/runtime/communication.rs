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

    /// Returns what prevents every connection until somebody changes a setting; `None` if it is something else. Waiting
    /// does not help then. Nothing was sent.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let first = self.was_surely_not_sent().then_some(&self.error as &(dyn StdError + 'static));
        std::iter::successors(first, |&error| cause(error)).find_map(Obstacle::of)
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

/// What prevents a connection until somebody changes a setting, here or at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Nobody whom this machine trusts has issued the service's certificate.
    UnknownIssuer,
    /// The service's certificate is for another host.
    WrongName,
    /// The service's certificate is not valid yet, or no longer, by this machine's clock.
    WrongTime,
    /// Another failure of TLS: the certificate is invalid, the service does not speak TLS, or both sides cannot agree.
    Tls,
    /// The proxy requires a user name and a password, or does not accept those that it got.
    ProxyAuthentication,
}

impl Obstacle {
    /// Returns the obstacle that an error reports.
    fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        // The proxy's answer has no type of its own.
        if error.to_string() == "tunnel error: proxy authorization required" {
            return Some(Self::ProxyAuthentication);
        }
        #[cfg(feature = "native-tls")]
        if error.is::<native_tls::Error>() {
            return Some(Self::Tls);
        }
        #[cfg(feature = "rustls")]
        if let Some(error) = error.downcast_ref() {
            return Some(Self::of_rustls(error));
        }
        None
    }

    #[cfg(feature = "rustls")]
    fn of_rustls(error: &rustls::Error) -> Self {
        use rustls::CertificateError as Certificate;
        match error {
            rustls::Error::InvalidCertificate(why) => match why {
                Certificate::UnknownIssuer => Self::UnknownIssuer,
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => Self::WrongName,
                Certificate::Expired
                | Certificate::ExpiredContext { .. }
                | Certificate::NotValidYet
                | Certificate::NotValidYetContext { .. } => Self::WrongTime,
                _ => Self::Tls,
            },
            _ => Self::Tls,
        }
    }
}

/// Returns the cause of an error. An `io::Error` that wraps another error skips it in its own `source`.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
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
