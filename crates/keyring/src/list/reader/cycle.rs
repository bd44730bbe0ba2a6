//! Detects pages that repeat in a cycle.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::Page;

/// The number of pages before detection starts. Reading again from further back may well repeat the first pages.
const GRACE_PAGES: u64 = 16;

/// Detects a cycle of any length. It compares each page with one that it replaces ever more rarely (Brent's algorithm).
#[derive(Default)]
pub(super) struct Cycle {
    compared_with: u64,
    steps: u64,
    next_replacement: u64,
}

impl Cycle {
    /// Returns whether the page closes a cycle. Pages without keys do not count.
    pub(super) fn closes_with(&mut self, page: &Page) -> bool {
        let Some(hash) = hash_keys(page) else { return false };
        self.steps += 1;
        let closes = self.steps > GRACE_PAGES && hash == self.compared_with;
        if self.steps >= self.next_replacement.max(GRACE_PAGES) {
            self.compared_with = hash;
            self.next_replacement = self.steps * 2;
        }
        closes
    }
}

/// Hashes the ids of a page's keys. Returns `None` if the page has no keys.
fn hash_keys(page: &Page) -> Option<u64> {
    let mut keys = page.keys.iter().flatten().peekable();
    keys.peek()?;
    let mut hasher = DefaultHasher::new();
    keys.for_each(|key| key.id().hash(&mut hasher));
    Some(hasher.finish())
}
