//! A bound on the memory that slow bodies hold together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::lock;

/// How many bytes all bodies may hold that wait for a client, for a delay or for a time.
pub(crate) const BODIES_LIMIT: usize = 32 << 20;

/// Bounds what all bodies in progress hold together. Beyond the bound, it gives up the oldest.
///
/// Each connection is bounded by itself, but many slow ones at once could fill the memory.
#[derive(Default)]
pub(crate) struct Budget(Mutex<Shares>);

#[derive(Default)]
struct Shares {
    held: usize,
    /// The number of the next share. Numbers are in the order of age.
    next: u64,
    shares: BTreeMap<u64, Held>,
}

struct Held {
    size: usize,
    /// Ends the body; `None` if it cannot be given up any more.
    give_up: Option<Box<dyn FnOnce() + Send>>,
}

/// The part of the budget that one body holds. Dropping it frees the part.
pub(crate) struct Share {
    budget: Arc<Budget>,
    number: u64,
}

impl Budget {
    /// Creates an empty share. If the budget needs its bytes, it calls `give_up`, which must free them soon.
    pub(crate) fn share(self: &Arc<Self>, give_up: impl FnOnce() + Send + 'static) -> Share {
        let mut shares = lock(&self.0);
        let number = shares.next;
        shares.next += 1;
        shares.shares.insert(number, Held { size: 0, give_up: Some(Box::new(give_up)) });
        Share { budget: Arc::clone(self), number }
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        lock(&self.0).held
    }
}

impl Shares {
    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.shares.remove(&number)?;
        self.held -= held.size;
        Some(held)
    }
}

impl Share {
    /// Adds bytes. Returns whether the body may hold them; if not, the budget has given it up.
    pub(crate) fn grow(&self, by: usize) -> bool {
        let mut given_up = Vec::new();
        let mut shares = lock(&self.budget.0);
        let Some(own) = shares.shares.get_mut(&self.number) else { return false };
        own.size += by;
        shares.held += by;
        while shares.held > BODIES_LIMIT {
            let oldest = shares.shares.iter().find(|(_, held)| held.give_up.is_some() && held.size > 0);
            let number = oldest.map_or(self.number, |(number, _)| *number);
            match shares.remove(number) {
                Some(held) => given_up.extend(held.give_up),
                None => break,
            }
        }
        let remains = shares.shares.contains_key(&self.number);
        drop(shares);
        given_up.into_iter().for_each(|give_up| give_up());
        remains
    }

    /// Keeps the bytes until the share is dropped: the body is complete, and the service will act on it.
    pub(crate) fn keep(&self) {
        if let Some(own) = lock(&self.budget.0).shares.get_mut(&self.number) {
            own.give_up = None;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let removed = lock(&self.budget.0).remove(self.number);
        drop(removed);
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(budget: &Arc<Budget>, count: &Arc<AtomicUsize>) -> Share {
        let count = Arc::clone(count);
        budget.share(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn the_oldest_body_is_given_up_and_what_is_held_stays_bounded() {
        let budget = Arc::new(Budget::default());
        let given_up = Arc::new(AtomicUsize::new(0));
        let shares: Vec<_> = (0..100).map(|_| counted(&budget, &given_up)).collect();
        let part = BODIES_LIMIT / 10;
        let held: Vec<_> = shares.iter().map(|share| share.grow(part)).collect();
        assert!(held.iter().all(|held| *held), "the newest always fits");
        assert!(budget.held() <= BODIES_LIMIT);
        assert_eq!(given_up.load(Ordering::Relaxed), 90);
        assert_eq!(shares.iter().map(|share| share.grow(0)).collect::<Vec<_>>()[89..91], [false, true]);
        drop(shares);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_kept_body_is_not_given_up() {
        let budget = Arc::new(Budget::default());
        let given_up = Arc::new(AtomicUsize::new(0));
        let [kept, other] = [counted(&budget, &given_up), counted(&budget, &given_up)];
        assert!(kept.grow(BODIES_LIMIT));
        kept.keep();
        assert!(!other.grow(1), "there is no room");
        assert!(kept.grow(0));
        assert_eq!((given_up.load(Ordering::Relaxed), budget.held()), (1, BODIES_LIMIT));
        drop(kept);
        assert!(counted(&budget, &given_up).grow(BODIES_LIMIT));
        let all = counted(&budget, &given_up);
        assert!(!all.grow(BODIES_LIMIT + 1), "a body that is larger than everything gives up itself");
        assert_eq!(budget.held(), 0);
    }
}
