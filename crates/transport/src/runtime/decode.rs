//! Turns the HTTP client's answer into a decoded value or into an error.

use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use super::body;
use super::error::Error;
use super::response::ResponseValue;
use super::undecoded::{UndecodedReason, UndecodedResponse};
use crate::json::FromJson;

impl<T: FromJson> ResponseValue<T> {
    /// Reads and decodes an answer whose status is documented.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Undecoded`] if the body is incomplete, too large, encoded, not declared as JSON, or does not
    /// match the specification. The error keeps the status and the body, and prints no part of the body.
    pub async fn from_response<E>(mut response: Response) -> Result<Self, Error<E>> {
        let body = body::read(&mut response).await;
        let reason = match body.incomplete.or_else(|| undecodable(response.headers())) {
            Some(reason) => reason,
            None => match crate::json::decode::from_slice(without_mark(body.bytes.as_slice())) {
                Ok(inner) => {
                    let answer = Self::new(inner, response.status(), std::mem::take(response.headers_mut()));
                    return Ok(answer.with_body_len(body.bytes.as_slice().len()));
                }
                Err(error) => UndecodedReason::unexpected_body(&error),
            },
        };
        Err(Error::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes.into_wiped(), reason))))
    }
}

impl<E> Error<E> {
    /// Reads an answer whose status is not documented, and returns it as [`Error::Undecoded`].
    pub async fn undocumented_status(mut response: Response) -> Self {
        let body = body::read(&mut response).await;
        let reason = body.incomplete.or_else(|| encoded(response.headers()));
        let reason = reason.unwrap_or(UndecodedReason::UndocumentedStatus);
        Self::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes.into_wiped(), reason)))
    }
}

/// Returns a text without the byte-order mark with which some servers begin it.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// Returns why an answer with these headers cannot hold the documented body.
fn undecodable(headers: &HeaderMap) -> Option<UndecodedReason> {
    encoded(headers).or_else(|| (!is_declared_as_json(headers)).then_some(UndecodedReason::UnexpectedMediaType))
}

/// Returns the reason for an answer with a content encoding. Requests ask for none, so nothing here decodes one.
fn encoded(headers: &HeaderMap) -> Option<UndecodedReason> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let is_plain = encodings.all(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    (!is_plain).then_some(UndecodedReason::Encoded)
}

/// Returns whether the headers declare the media type that the specifications document for every body.
pub(super) fn is_declared_as_json(headers: &HeaderMap) -> bool {
    header_text(headers, &CONTENT_TYPE).is_some_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("application/json")
    })
}

/// Returns the value of a header that occurs once.
fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
