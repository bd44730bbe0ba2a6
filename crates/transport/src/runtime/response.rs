//! A decoded answer.

use std::fmt;
use std::ops::{Deref, DerefMut};

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::body;
use super::error::{Error, UndecodedReason, UndecodedResponse};

/// A decoded answer with its status and headers. Dereferences to the decoded value.
pub struct ResponseValue<T> {
    inner: T,
    status: StatusCode,
    headers: HeaderMap,
}

impl<T: DeserializeOwned> ResponseValue<T> {
    /// Reads and decodes an answer whose status is documented.
    ///
    /// # Errors
    ///
    /// [`Error::Undecoded`] when the body is cut off, too large, or not what is documented. It keeps the status and the
    /// body, unprinted.
    pub async fn from_response<E>(mut response: Response) -> Result<Self, Error<E>> {
        let body = body::read(&mut response).await;
        let reason = match body.cut {
            Some(reason) => reason,
            None => match serde_json::from_slice(&body.bytes) {
                Ok(inner) => {
                    let status = response.status();
                    return Ok(Self { inner, status, headers: std::mem::take(response.headers_mut()) });
                }
                Err(error) => UndecodedReason::unexpected_body(&error),
            },
        };
        Err(Error::Undecoded(Box::new(UndecodedResponse::new(&mut response, body.bytes, reason))))
    }
}

impl<T> ResponseValue<T> {
    /// Puts an answer together from its parts, for tests.
    pub fn new(inner: T, status: StatusCode, headers: HeaderMap) -> Self {
        Self { inner, status, headers }
    }

    /// The decoded value alone.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl<T> Deref for ResponseValue<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for ResponseValue<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: fmt::Debug> fmt::Debug for ResponseValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseValue")
            .field("status", &self.status)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
