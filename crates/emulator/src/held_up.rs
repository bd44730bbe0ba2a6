//! Writes that are stuck between the client and the service.

use std::sync::Mutex;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::http::request::Parts;

use crate::budget::Share;
use crate::fault::Effects;
use crate::lock;
use crate::refusal::Refusal;
use crate::route::Route;

/// A write that the service has not received yet.
pub(crate) struct HeldUpWrite {
    pub(crate) due: DateTime<Utc>,
    pub(crate) route: Route,
    pub(crate) head: Parts,
    pub(crate) body: Result<Bytes, Refusal>,
    pub(crate) effects: Effects,
    /// What the body holds of the budget for all bodies.
    pub(crate) _share: Option<Share>,
}

/// The writes that are on their way, in the order in which the service receives them.
#[derive(Default)]
pub(crate) struct HeldUpWrites(Mutex<Vec<HeldUpWrite>>);

/// How many writes can be on their way. The service never receives further ones.
const LIMIT: usize = 1000;

impl HeldUpWrites {
    pub(crate) fn push(&self, write: HeldUpWrite) {
        let mut writes = lock(&self.0);
        if writes.len() < LIMIT {
            let at = writes.partition_point(|other| other.due <= write.due);
            writes.insert(at, write);
        }
    }

    /// Calls `perform` with each write that is due at `now`, in order. Concurrent calls wait for each other, so whoever
    /// has called this sees the effect of all of them.
    pub(crate) fn settle(&self, now: DateTime<Utc>, perform: impl FnMut(HeldUpWrite)) {
        let mut writes = lock(&self.0);
        let end = writes.partition_point(|write| write.due <= now);
        writes.drain(..end).for_each(perform);
    }
}
