//! Why a call failed, without a word of what a body held.

use std::fmt;

use reqwest::header::{CONTENT_TYPE, HeaderMap, InvalidHeaderValue};
use reqwest::{Response, StatusCode};
use zeroize::{Zeroize, Zeroizing};

use super::body;
use super::response::ResponseValue;
use crate::{REDACTED, Secret};

/// Why a call through a generated client failed. `E` is the operation's documented error body.
///
/// Neither `Debug` nor `Display` nor a source shows a body that was not decoded, since the body of a create holds the new
/// key: [`UndecodedResponse::body`] hands it over as a [`Secret`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E = ()> {
    /// An argument does not fit the specification. Nothing was sent.
    InvalidRequest(String),
    /// No answer arrived. Whether the request did is for [`CommunicationError::was_surely_not_sent`] to say.
    Communication(CommunicationError),
    /// The service answered with a documented failure.
    ErrorResponse(ResponseValue<E>),
    /// The service answered, with something that is not documented.
    Undecoded(Box<UndecodedResponse>),
}

impl<E> Error<E> {
    /// Reads an answer whose status is not documented.
    pub async fn undocumented_status(mut response: Response) -> Self {
        let body = body::read(&mut response).await;
        let reason = body.cut.unwrap_or(UndecodedReason::UndocumentedStatus);
        Self::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes, reason)))
    }

    /// The answer's status, where there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::InvalidRequest(_) | Self::Communication(_) => None,
            Self::ErrorResponse(response) => Some(response.status()),
            Self::Undecoded(response) => Some(response.status()),
        }
    }

    /// The answer's headers, where there was an answer.
    pub fn headers(&self) -> Option<&HeaderMap> {
        match self {
            Self::InvalidRequest(_) | Self::Communication(_) => None,
            Self::ErrorResponse(response) => Some(response.headers()),
            Self::Undecoded(response) => Some(response.headers()),
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest(why) => write!(f, "the request is not valid and was not sent: {why}"),
            Self::Communication(error) => error.fmt(f),
            Self::ErrorResponse(response) => write!(f, "the service answered {}", response.status()),
            Self::Undecoded(response) => response.fmt(f),
        }
    }
}

impl<E: fmt::Debug> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Communication(error) => error.source(),
            _ => None,
        }
    }
}

impl<E> From<reqwest::Error> for Error<E> {
    fn from(error: reqwest::Error) -> Self {
        Self::Communication(CommunicationError::new(error))
    }
}

impl<E> From<InvalidHeaderValue> for Error<E> {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::InvalidRequest("an argument cannot be sent in a header".to_owned())
    }
}

/// No answer arrived: the name was not found, the connection failed or was cut, or the time was up.
#[derive(Debug)]
pub struct CommunicationError(reqwest::Error);

impl CommunicationError {
    fn new(error: reqwest::Error) -> Self {
        // The URL says nothing new to the caller, and a query may say too much to a log.
        Self(error.without_url())
    }

    /// Whether the request certainly did not reach the service, because no connection came about or the request could
    /// not be put together. When this is `false`, the service may have acted.
    pub fn was_surely_not_sent(&self) -> bool {
        self.0.is_connect() || self.0.is_builder()
    }

    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        self.0.is_timeout()
    }

    /// The HTTP client's own error, without the URL.
    pub fn into_inner(self) -> reqwest::Error {
        self.0
    }
}

impl fmt::Display for CommunicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.was_surely_not_sent(), self.is_timeout()) {
            (true, true) => "connecting took too long; nothing was sent",
            (true, false) if self.0.is_builder() => "the request could not be put together; nothing was sent",
            (true, false) => "no connection came about; nothing was sent",
            (false, true) => "no answer came in time; the service may have acted",
            (false, false) => "the connection failed before an answer came; the service may have acted",
        })
    }
}

impl std::error::Error for CommunicationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

const CUSTOMARY_MEDIA_TYPES: [&str; 6] =
    ["application/json", "application/problem+json", "application/xml", "text/html", "text/plain", "text/xml"];

/// An answer that is not what is documented, with everything of it that arrived.
pub struct UndecodedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Secret,
    reason: UndecodedReason,
}

impl UndecodedResponse {
    pub(super) fn new(response: &mut Response, bytes: Zeroizing<Vec<u8>>, reason: UndecodedReason) -> Self {
        let mut bytes = bytes;
        let body = String::from_utf8(std::mem::take(&mut *bytes)).unwrap_or_else(|error| {
            let mut bytes = error.into_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            bytes.zeroize();
            text
        });
        Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Secret::new(body),
            reason,
        }
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as far as it arrived. It may hold a new key's secret, which is shown nowhere else.
    pub fn body(&self) -> &Secret {
        &self.body
    }

    /// What is wrong with the answer.
    pub fn reason(&self) -> UndecodedReason {
        self.reason
    }

    /// The body's media type, where it is a customary one: a header can say anything, and is not repeated.
    fn media_type(&self) -> Option<&'static str> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next()?.trim();
        CUSTOMARY_MEDIA_TYPES.into_iter().find(|customary| customary.eq_ignore_ascii_case(media_type))
    }
}

impl fmt::Debug for UndecodedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No headers: a cookie, say, is nobody's to log.
        f.debug_struct("UndecodedResponse")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("body", &REDACTED)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for UndecodedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service answered {}, ", self.status)?;
        match self.reason {
            UndecodedReason::UndocumentedStatus if self.status.is_redirection() => {
                f.write_str("a redirect, which is not followed because the credential would go along")
            }
            UndecodedReason::UndocumentedStatus => f.write_str("which is not documented for this operation"),
            UndecodedReason::UnexpectedBody { line, column } => {
                write!(f, "with a body that is not what is documented (at line {line}, column {column}")?;
                match self.media_type() {
                    Some(media_type) => write!(f, ", {media_type})"),
                    None => f.write_str(")"),
                }
            }
            UndecodedReason::Interrupted { timeout: true } => f.write_str("but its body did not arrive in time"),
            UndecodedReason::Interrupted { timeout: false } => f.write_str("but its body was cut off"),
            UndecodedReason::TooLarge { max_bytes } => {
                write!(f, "but its body is larger than the limit of {max_bytes} bytes")
            }
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndecodedReason {
    /// The specification does not list the answer's status. A redirect is of this kind.
    UndocumentedStatus,
    /// The body does not have the documented shape. The place is where reading it stopped.
    UnexpectedBody {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1; 0 at the end of the body.
        column: usize,
    },
    /// The body was cut off.
    Interrupted {
        /// Whether the time was up.
        timeout: bool,
    },
    /// The body is larger than the transport's limit.
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
}

impl UndecodedReason {
    // The error itself is not kept: its text repeats the value that it did not like.
    pub(super) fn unexpected_body(error: &serde_json::Error) -> Self {
        Self::UnexpectedBody { line: error.line(), column: error.column() }
    }
}
