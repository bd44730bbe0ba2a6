//! What the emulator has seen.

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
/// It holds no secret: the credential is masked, as is whatever looks like one in the URL, and bodies and the values of
/// headers are not kept at all.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// When it was answered, by the emulator's clock.
    pub time: DateTime<Utc>,
    /// The service, where the path tells.
    pub provider: Option<Provider>,
    /// The operation, where path and method name one.
    pub operation: Option<Operation>,
    /// The HTTP method, no more than 32 characters of it.
    pub method: String,
    /// Path and query, no more than 1024 characters of them.
    pub target: String,
    /// The status of the answer, as it was sent; 0 if a fault reset the connection before anything was sent.
    pub status: u16,
    /// The credential that was presented, masked: `sk_****1234`.
    pub credential: Option<String>,
    /// The id of the key that the credential belongs to, if it was accepted.
    pub authenticated_as: Option<String>,
    /// The names of the request's headers, in lower case, each once: no more than 32 of them, nor than 64 characters of
    /// each.
    pub headers: Vec<String>,
    /// How many bytes of a body were received.
    pub body_size: usize,
    /// The faults that were in force for it, in the order in which they were injected.
    pub faults: Vec<FaultKind>,
}

/// One line for people, without its end: when, what, how it was answered, who asked, and what went wrong on purpose.
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

/// What is told of every request.
#[derive(Clone)]
pub(crate) struct Observer(Arc<dyn Fn(&SeenRequest) + Send + Sync>);

impl Observer {
    pub(crate) fn new(observe: impl Fn(&SeenRequest) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    /// Tells of the request, and returns it as it was told.
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

/// How much of a request's target, and how many of its headers' names, are kept.
const MAX_TARGET: usize = 1024;
const MAX_HEADERS: usize = 32;

impl SeenRequest {
    /// Cut to a size that does not let requests fill the memory.
    fn bounded(mut self) -> Self {
        if let Some((end, _)) = self.target.char_indices().nth(MAX_TARGET) {
            self.target.truncate(end);
            self.target.shrink_to_fit();
        }
        // Methods and names of headers are ASCII, so that they can be cut anywhere.
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

    /// Remembers a request, which is not even looked at where nothing is remembered.
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

/// The credential that a request presents, to whichever service and whether it works or not.
pub(crate) fn masked_credential(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-api-key").or_else(|| headers.get(AUTHORIZATION))?;
    let credential = value.to_str().ok().and_then(|text| text.split_whitespace().last());
    Some(secret::mask(credential.unwrap_or_default()))
}
