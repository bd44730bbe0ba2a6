//! A decoded answer.

use std::fmt;
use std::ops::{Deref, DerefMut};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// A decoded answer with its status and headers. Dereferences to the decoded value.
pub struct ResponseValue<T> {
    inner: T,
    status: StatusCode,
    headers: HeaderMap,
    body_len: usize,
}

impl<T> ResponseValue<T> {
    /// Makes an answer from its parts.
    pub fn new(inner: T, status: StatusCode, headers: HeaderMap) -> Self {
        Self { inner, status, headers, body_len: 0 }
    }

    pub(super) fn with_body_len(self, body_len: usize) -> Self {
        Self { body_len, ..self }
    }

    /// Returns the decoded value and drops the status and the headers.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Returns the answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the length of the body in bytes. 0 for an answer that no service sent.
    pub fn body_len(&self) -> usize {
        self.body_len
    }

    /// Returns the answer's headers.
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
        // The headers stay out of logs, because they may hold a cookie.
        f.debug_struct("ResponseValue")
            .field("status", &self.status)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
