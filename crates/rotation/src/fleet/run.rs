//! One pass over the keys of a fleet: its waves, and what halts it.

use std::future::ready;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};

use api_keyring::KeyId;
use futures_util::stream::Peekable;
use futures_util::{Stream, StreamExt as _};

use super::{Fleet, FleetKey, FleetSummary, KeyResult, Step, Turn};
use crate::{OwnCredential, RotateError};

/// The part of a fleet that a key belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A wave with a size: a failure halts the fleet.
    Canary,
    /// All other keys: a failure concerns only its own key.
    Rest,
}

/// One pass over the keys of a fleet.
pub(super) struct Run<'a, F> {
    fleet: &'a Fleet,
    observe: F,
    summary: FleetSummary,
    /// How many rotations, up to the last one, have failed because the vendor could not be reached.
    unreachable_in_a_row: usize,
    /// Keys that are, or may be, your own credential. They come last.
    deferred: Vec<(FleetKey, OwnCredential)>,
}

impl<'a, F: FnMut(&KeyId, &KeyResult)> Run<'a, F> {
    pub(super) fn new(fleet: &'a Fleet, observe: F) -> Self {
        Self { fleet, observe, summary: FleetSummary::default(), unreachable_in_a_row: 0, deferred: Vec::new() }
    }

    pub(super) fn into_summary(self) -> FleetSummary {
        self.summary
    }

    /// Rotates the next `size` keys. For each deferred key, the wave takes another one.
    pub(super) async fn wave(
        &mut self,
        mut keys: Pin<&mut Peekable<impl Stream<Item = FleetKey>>>,
        size: usize,
        stage: Stage,
    ) {
        let mut left = size;
        while left > 0 && self.summary.halted.is_none() && keys.as_mut().peek().await.is_some() {
            left = self.batch(keys.as_mut(), left, stage).await;
        }
    }

    /// Rotates up to `size` keys and returns how many of them it deferred.
    async fn batch(&mut self, keys: impl Stream<Item = FleetKey>, size: usize, stage: Stage) -> usize {
        let fleet = self.fleet;
        let halted = AtomicBool::new(false);
        let keys = keys.take(size).take_while(|_| ready(!halted.load(Ordering::Relaxed)));
        let steps = keys.map(|key| fleet.rotate_key(key, Turn::First)).buffer_unordered(fleet.concurrency);
        let mut steps = pin!(steps);
        let mut deferred = 0;
        while let Some(step) = steps.next().await {
            if let Step::Deferred(key, own) = step {
                self.deferred.push((key, own));
                deferred += 1;
            } else {
                self.record(step, stage);
            }
            halted.store(self.summary.halted.is_some(), Ordering::Relaxed);
        }
        deferred
    }

    /// Rotates the deferred keys, one after the other.
    pub(super) async fn rotate_deferred(&mut self) {
        // A key that is certainly your own credential comes after those that only may be.
        self.deferred.sort_by_key(|(_, own)| *own == OwnCredential::Yes);
        for (key, own) in mem::take(&mut self.deferred) {
            if self.summary.halted.is_some() {
                return;
            }
            let step = self.fleet.rotate_key(key, Turn::Last(own)).await;
            self.record(step, Stage::Rest);
        }
    }

    fn record(&mut self, step: Step, stage: Stage) {
        let Step::Ended(key, result) = step else {
            self.summary.halted.get_or_insert_with(|| "it was cancelled".to_owned());
            return;
        };
        let halts = self.summary.count(&key, &result, stage).or_else(|| self.count_unreachable(&result));
        if let Some(why) = halts {
            self.summary.halted.get_or_insert(why);
        }
        (self.observe)(&key, &result);
    }

    /// Counts the failures in a row that are due to the connection. If there are too many, returns why to halt.
    fn count_unreachable(&mut self, result: &KeyResult) -> Option<String> {
        let KeyResult::Failed(RotateError::Provider(error)) = result else {
            self.unreachable_in_a_row = 0;
            return None;
        };
        self.unreachable_in_a_row = if error.is_transient() { self.unreachable_in_a_row + 1 } else { 0 };
        let limit = self.fleet.give_up_after.unwrap_or((2 * self.fleet.concurrency).max(3));
        let count = self.unreachable_in_a_row;
        (count >= limit).then(|| format!("the vendor could not be reached for {count} keys in a row: {error}"))
    }
}
