//! What the reader remembers of the ids that it has seen.

use std::hash::{BuildHasher as _, RandomState};

use crate::KeyId;

/// A hash of an id. It has 128 bits, so two ids of a list never share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u64, u64);

/// Computes the fingerprints of ids.
///
/// An id itself would be a small allocation that outlives the page around it. A few of them in each part of the memory
/// keep the next page from using what this page has freed.
#[derive(Default)]
pub(super) struct Fingerprints(RandomState, RandomState);

impl Fingerprints {
    pub(super) fn of(&self, id: &KeyId) -> Fingerprint {
        Fingerprint(self.0.hash_one(id), self.1.hash_one(id))
    }
}
