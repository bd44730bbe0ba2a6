//! Turns the HTTP client's answer into a decoded value or into an error.

use reqwest::Response;
use serde::de::DeserializeOwned;

use super::body;
use super::error::Error;
use super::response::ResponseValue;
use super::undecoded::{UndecodedReason, UndecodedResponse};

impl<T: DeserializeOwned> ResponseValue<T> {
    /// Reads and decodes an answer whose status is documented.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Undecoded`] if the body is incomplete, too large, or does not match the specification. The
    /// error keeps the status and the body, and prints no part of the body.
    pub async fn from_response<E>(mut response: Response) -> Result<Self, Error<E>> {
        let body = body::read(&mut response).await;
        let reason = match body.incomplete {
            Some(reason) => reason,
            None => match serde_json::from_slice(&body.bytes) {
                Ok(inner) => {
                    return Ok(Self::new(inner, response.status(), std::mem::take(response.headers_mut())));
                }
                Err(error) => UndecodedReason::unexpected_body(&error),
            },
        };
        Err(Error::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes, reason))))
    }
}

impl<E> Error<E> {
    /// Reads an answer whose status is not documented, and returns it as [`Error::Undecoded`].
    pub async fn undocumented_status(mut response: Response) -> Self {
        let body = body::read(&mut response).await;
        let reason = body.incomplete.unwrap_or(UndecodedReason::UndocumentedStatus);
        Self::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes, reason)))
    }
}
