//! The record of requests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::fault::FaultKind;
use crate::route::{Operation, Provider};
use crate::secret;
use crate::timestamp::rfc3339;

/// One request, as the emulator saw and answered it.
///
/// It contains no secret. The emulator masks the credential and all text in the URL that looks like a secret. It keeps
/// neither bodies nor the values of headers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// When the emulator answered, by its clock.
    pub time: DateTime<Utc>,
    /// The service, if the path belongs to one.
    pub provider: Option<Provider>,
    /// The operation, if path and method belong to one.
    pub operation: Option<Operation>,
    /// The HTTP method, cut to 32 characters.
    pub method: String,
    /// The path and query, cut to 1024 characters.
    pub target: String,
    /// The status of the answer as sent; 0 if a fault reset the connection before the emulator sent anything.
    pub status: u16,
    /// The credential of the request, masked: `sk_****1234`.
    pub credential: Option<String>,
    /// The id of the credential's key, if the service accepted the credential.
    pub authenticated_as: Option<String>,
    /// The names of the request's headers, in lower case, each once. The list is cut to 32 names of 64 characters.
    pub headers: Vec<String>,
    /// How many bytes of a body the emulator received.
    pub body_size: usize,
    /// The faults that hit the request, in the order of their injection.
    pub faults: Vec<FaultKind>,
}

/// Writes one line without a line break: the time, the request, the answer, the authenticated key and the faults.
///
/// `2026-01-01T00:00:00Z spartera create POST /companies/c/api-keys -> 200 by 1001 (late=2)`
impl fmt::Display for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.provider.map_or("-", Provider::as_str);
        let operation = self.operation.map_or("-", Operation::short_name);
        write!(f, "{} {provider} {operation} {} {} -> ", rfc3339(self.time), self.method, self.target)?;
        match self.status {
            0 => f.write_str("reset")?,
            status => write!(f, "{status}")?,
        }
        match (&self.authenticated_as, &self.credential) {
            (Some(id), _) => write!(f, " by {id}")?,
            (None, Some(masked)) => write!(f, " with {masked}")?,
            (None, None) => {}
        }
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.faults.is_empty() { "" } else { ")" })
    }
}

/// A function that is called with every request.
#[derive(Clone)]
pub(crate) struct Observer(Arc<dyn Fn(&SeenRequest) + Send + Sync>);

impl Observer {
    pub(crate) fn new(observe: impl Fn(&SeenRequest) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    /// Calls the function with the request, and returns the request in the form that the function saw.
    pub(crate) fn notify(&self, request: SeenRequest) -> SeenRequest {
        let request = request.bounded();
        (self.0)(&request);
        request
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// How many characters of a request's target, and how many names of its headers, the record keeps.
const MAX_TARGET: usize = 1024;
const MAX_HEADERS: usize = 32;

impl SeenRequest {
    /// Cuts the request to a bounded size, so that the record cannot fill the memory.
    fn bounded(mut self) -> Self {
        if let Some((end, _)) = self.target.char_indices().nth(MAX_TARGET) {
            self.target.truncate(end);
            self.target.shrink_to_fit();
        }
        // Methods and header names are ASCII, so any byte is a valid place to cut.
        self.method.truncate(32);
        self.method.shrink_to_fit();
        self.headers.truncate(MAX_HEADERS);
        for name in &mut self.headers {
            name.truncate(64);
            name.shrink_to_fit();
        }
        self
    }
}

/// The latest requests.
pub(crate) struct Record {
    requests: VecDeque<SeenRequest>,
    limit: usize,
}

impl Record {
    pub(crate) fn new(limit: usize) -> Self {
        Self { requests: VecDeque::new(), limit }
    }

    /// Records a request. It does not build the request if the limit is 0.
    pub(crate) fn push(&mut self, request: impl FnOnce() -> SeenRequest) {
        if self.limit == 0 {
            return;
        }
        while self.requests.len() >= self.limit {
            self.requests.pop_front();
        }
        self.requests.push_back(request().bounded());
    }

    pub(crate) fn to_vec(&self) -> Vec<SeenRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }
}

/// Returns the masked credential of a request to either service, whether it works or not.
pub(crate) fn masked_credential(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-api-key").or_else(|| headers.get(AUTHORIZATION))?;
    let credential = value.to_str().ok().and_then(|text| text.split_whitespace().last());
    Some(secret::mask(credential.unwrap_or_default()))
}
