//! An answer that does not match the specification.

use std::fmt;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};

use super::{body, decode};
use crate::credential::start;
use crate::json::DecodeError;
use crate::json::decode::Undecodable;
use crate::wiped::WipedBytes;
use crate::{Credential, REDACTED, Secret};

const COMMON_MEDIA_TYPES: [&str; 6] =
    ["application/json", "application/problem+json", "application/xml", "text/html", "text/plain", "text/xml"];

const COMMON_ENCODINGS: [&str; 6] = ["br", "compress", "deflate", "gzip", "x-gzip", "zstd"];

/// An answer that does not match the specification, with every part of it that arrived.
pub struct UndecodedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Secret,
    /// The body, if it is not valid UTF-8.
    raw: Option<WipedBytes>,
    reason: UndecodedReason,
    /// The credential that the request sent, if it is known.
    credential: Option<Credential>,
}

impl UndecodedResponse {
    pub(super) fn new(response: &mut Response, bytes: WipedBytes, reason: UndecodedReason) -> Self {
        let (body, raw) = match String::from_utf8(bytes.into_inner()) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = WipedBytes::from(error.into_bytes());
                (crate::json::repair::lossy(&bytes), Some(bytes))
            }
        };
        Self {
            credential: body::credential_of(response),
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Secret::new(body),
            raw,
            reason,
        }
    }

    /// Returns the answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the answer's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the part of the body that arrived. It may hold a new key's secret, which no other answer shows.
    pub fn body(&self) -> &Secret {
        &self.body
    }

    /// Returns the part of the body that arrived, byte for byte. It differs from [`body`](Self::body) only if it is not
    /// valid UTF-8, such as an encoded body.
    pub fn bytes(&self) -> &[u8] {
        self.raw.as_ref().map_or(self.body.expose().as_bytes(), |bytes| bytes)
    }

    /// Returns the start of the body, at most `length` bytes of it, without the credential that the request sent. It may
    /// still hold a new key's secret.
    pub fn start_without_credential(&self, length: usize) -> String {
        match &self.credential {
            Some(credential) => credential.redact_in_start(self.body.expose(), length),
            None => start(self.body.expose(), length).to_owned(),
        }
    }

    /// Returns whether the answer declares the media type `application/json` and no content encoding.
    pub fn is_declared_as_json(&self) -> bool {
        self.reason != UndecodedReason::Encoded && decode::is_declared_as_json(&self.headers)
    }

    /// Returns how the answer differs from the specification.
    pub fn reason(&self) -> UndecodedReason {
        self.reason
    }

    /// Returns the body's media type if it is a common one. The header may hold any text, so others are not repeated.
    fn media_type(&self) -> Option<&'static str> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next()?.trim();
        COMMON_MEDIA_TYPES.into_iter().find(|common| common.eq_ignore_ascii_case(media_type))
    }

    /// Returns the body's encoding if it is a common one.
    fn encoding(&self) -> Option<&'static str> {
        let value = self.headers.get(CONTENT_ENCODING)?.to_str().ok()?;
        COMMON_ENCODINGS.into_iter().find(|common| common.eq_ignore_ascii_case(value.trim()))
    }
}

impl fmt::Debug for UndecodedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers stay out of logs, because they may hold a cookie.
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
                f.write_str("a redirect, which this client does not follow because it would send the credential along")
            }
            UndecodedReason::UndocumentedStatus => {
                f.write_str("a status that the specification does not list for this operation")
            }
            UndecodedReason::UnexpectedForm(error) => {
                write!(f, "with a body that does not match the specification: {error}")
            }
            UndecodedReason::UnexpectedBody { line, column } => {
                write!(f, "with a body that does not match the specification (line {line}, column {column}")?;
                match self.media_type() {
                    Some(media_type) => write!(f, ", {media_type})"),
                    None => f.write_str(")"),
                }
            }
            UndecodedReason::UnexpectedMediaType => match self.media_type() {
                Some(media_type) => write!(f, "with {media_type} instead of application/json"),
                None if self.headers.contains_key(CONTENT_TYPE) => {
                    f.write_str("with another media type than application/json")
                }
                None => f.write_str("without a media type"),
            },
            UndecodedReason::Encoded => match self.encoding() {
                Some(encoding) => write!(f, "with a body in the encoding {encoding}, which the request did not accept"),
                None => f.write_str("with a body in an encoding that the request did not accept"),
            },
            UndecodedReason::Interrupted { timeout: true } => f.write_str("but its body did not arrive in time"),
            UndecodedReason::Interrupted { timeout: false } => {
                f.write_str("but the connection failed before the whole body arrived")
            }
            UndecodedReason::TooLarge { max_bytes } => {
                write!(f, "but its body is larger than the limit of {max_bytes} bytes")
            }
        }
    }
}

/// How an answer differs from the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndecodedReason {
    /// The specification does not list the answer's status. Every redirect is of this kind.
    UndocumentedStatus,
    /// The body does not have the documented shape. The position is where decoding stopped.
    UnexpectedBody {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1; 0 at the end of the body.
        column: usize,
    },
    /// The answer does not declare the media type `application/json`.
    UnexpectedMediaType,
    /// The answer declares a content encoding, such as gzip. Every request asks for an answer without one.
    Encoded,
    /// The body is valid JSON, and something in it does not have the documented form.
    UnexpectedForm(DecodeError),
    /// The connection failed before the whole body arrived.
    Interrupted {
        /// Whether the time limit caused it.
        timeout: bool,
    },
    /// The body is larger than the transport's limit.
    TooLarge {
        /// The limit in bytes.
        max_bytes: usize,
    },
}

impl UndecodedReason {
    // Keeps only the position: the error's text repeats the value that it rejects.
    pub(super) fn unexpected_body(error: &Undecodable) -> Self {
        match error {
            Undecodable::Form(error) => Self::UnexpectedForm(*error),
            Undecodable::Json(error) => Self::UnexpectedBody { line: error.line(), column: error.column() },
        }
    }
}
