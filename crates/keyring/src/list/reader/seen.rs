//! What the reader remembers of the ids that it has seen.

use std::hash::{BuildHasher as _, RandomState};

use crate::KeyId;

/// A hash of an id. It has 128 bits, so two ids of a list never share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The ids of a page. They are sorted, because a set of hashes needs twice as much memory.
#[derive(Clone, Default)]
pub(super) struct SeenIds(Vec<Fingerprint>);

impl SeenIds {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, id: Fingerprint) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    pub(super) fn add(&mut self, ids: impl ExactSizeIterator<Item = Fingerprint>) {
        self.0.reserve_exact(ids.len());
        self.0.extend(ids);
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Holds other ids, in the same memory.
    pub(super) fn replace(&mut self, ids: impl ExactSizeIterator<Item = Fingerprint>) {
        self.0.clear();
        self.add(ids);
    }
}
