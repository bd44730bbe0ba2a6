//! Why a call failed. No error prints any part of a body that was not decoded.

use std::fmt;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, InvalidHeaderValue};

use super::communication::CommunicationError;
use super::response::ResponseValue;
use super::undecoded::UndecodedResponse;

/// Why a call through a generated client failed. `E` is the operation's documented error body.
///
/// Neither `Debug` nor `Display` nor a source shows a body that was not decoded, because the answer to a create holds
/// the new key. [`UndecodedResponse::body`] returns that body as a [`Secret`](crate::Secret).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E = ()> {
    /// An argument does not match the specification. Nothing was sent.
    InvalidRequest(String),
    /// No answer arrived. If [`CommunicationError::was_surely_not_sent`] returns `false`, the service may have acted.
    Communication(CommunicationError),
    /// The service answered with a documented failure.
    ErrorResponse(ResponseValue<E>),
    /// The service answered, and the answer does not match the specification.
    Undecoded(Box<UndecodedResponse>),
}

impl<E> Error<E> {
    /// Returns the answer's status, or `None` if no answer arrived.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::InvalidRequest(_) | Self::Communication(_) => None,
            Self::ErrorResponse(response) => Some(response.status()),
            Self::Undecoded(response) => Some(response.status()),
        }
    }

    /// Returns the answer's headers, or `None` if no answer arrived.
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
