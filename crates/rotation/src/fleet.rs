//! Fleets: many keys of one provider, rotated in waves.

use std::collections::HashSet;
use std::future::ready;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use api_keyring::{ApiKey, KeyId, Provider, SharedSecret};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::FutureExt as _;
use futures_util::stream::Peekable;
use futures_util::{Stream, StreamExt as _};

use super::{
    Journal, JournalError, OwnCredential, RotateError, RotateKey, RotationId, Rotator, Sink, SinkSet, State,
    own_credential,
};

/// Selects the keys to rotate. A key must meet every condition that you set.
///
/// ```
/// use api_keyring_rotation::Selector;
/// use chrono::TimeDelta;
///
/// let selector = Selector::new().named("ci-*")?.older_than(TimeDelta::days(90));
/// # Ok::<(), api_keyring_rotation::InvalidPattern>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Selector {
    name: Option<glob::Pattern>,
    older_than: Option<TimeDelta>,
    expiring_within: Option<TimeDelta>,
}

/// The error for a malformed name pattern.
#[derive(Clone, Debug)]
pub struct InvalidPattern(String);

impl std::fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPattern {}

impl Selector {
    /// Returns a selector for all keys that may still work.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only keys whose name matches this pattern. The mark of an earlier rotation is not part of the name.
    ///
    /// In a pattern, `*` stands for any text, `?` for any character, and `[ab]` for one of the characters in the
    /// brackets.
    ///
    /// # Errors
    ///
    /// If the pattern is malformed.
    pub fn named(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        let pattern = glob::Pattern::new(pattern);
        self.name = Some(pattern.map_err(|error| {
            InvalidPattern(format!("the name pattern is malformed: {error}. Change the pattern (`--named`)"))
        })?);
        Ok(self)
    }

    /// Selects only keys that were issued at least this long ago. Also selects keys whose age the vendor does not show.
    #[must_use]
    pub fn older_than(mut self, age: TimeDelta) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Selects only keys that expire within this time. A key without an expiry is not selected.
    #[must_use]
    pub fn expiring_within(mut self, time: TimeDelta) -> Self {
        self.expiring_within = Some(time);
        self
    }

    /// Returns whether the selector selects this key. It never selects a key that no longer works.
    pub fn matches(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
        self.exclusion(key, now).is_none()
    }

    /// Returns the first condition that excludes this key, or `None` if the selector selects it.
    pub fn exclusion(&self, key: &ApiKey, now: DateTime<Utc>) -> Option<Exclusion> {
        let is_named =
            |pattern: &glob::Pattern| pattern.matches(api_keyring::Mark::unmarked(key.name().unwrap_or_default()));
        let is_old = |age: TimeDelta| key.created_at().and_then(|time| time.utc()).is_none_or(|time| now - time >= age);
        let expires =
            |within: TimeDelta| key.expires_at().and_then(|time| time.utc()).is_some_and(|time| time - now <= within);
        let conditions = [
            (!key.status().is_dead(), Exclusion::Dead),
            (self.name.as_ref().is_none_or(is_named), Exclusion::Name),
            (self.older_than.is_none_or(is_old), Exclusion::Age),
            (self.expiring_within.is_none_or(expires), Exclusion::Expiry),
        ];
        conditions.into_iter().find(|(is_met, _)| !is_met).map(|(_, exclusion)| exclusion)
    }
}

/// Why a [`Selector`] does not select a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exclusion {
    /// The key no longer works.
    Dead,
    /// Its name does not match the pattern.
    Name,
    /// It was issued too recently.
    Age,
    /// It does not expire, or not soon enough.
    Expiry,
}

/// A key of a fleet.
#[derive(Clone, Debug)]
pub struct FleetKey {
    /// Which key to rotate, and how.
    pub rotate: RotateKey,
    /// The sink that holds the key's secret.
    pub sink: Arc<dyn Sink>,
}

/// The result for one key of a fleet.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyResult {
    /// A new key or a new secret has replaced the old one, which no longer works.
    Done,
    /// The rotation waits for the end of the grace, or for evidence of use.
    Waiting,
    /// Another rotation of the key is not finished.
    UnderWay(RotationId),
    /// The key no longer exists.
    NotFound,
    /// Another rotation has already replaced the key.
    Replaced(RotationId),
    /// The rotation was aborted or needs attention, for this reason.
    NotRotated(String),
    /// The rotation was cancelled between two steps. You can resume it.
    Unfinished,
    /// The key is your own credential, and the request does not [allow that](RotateKey::even_own). The fleet left the
    /// key alone.
    OwnCredential,
    /// The rotation stopped with an error. If it had started, you can resume it.
    Failed(RotateError),
}

/// The result for a fleet.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FleetSummary {
    /// How many keys were replaced.
    pub done: usize,
    /// How many keys wait for the end of their grace, for evidence of use, or for another rotation.
    pub waiting: usize,
    /// How many keys no longer existed or were already replaced.
    pub not_found: usize,
    /// How many keys have a rotation that was cancelled between two steps. You can resume these rotations.
    pub unfinished: usize,
    /// How many keys were not rotated, or have a rotation that stopped with an error.
    pub failed: usize,
    /// How many times a key came again. The fleet rotates a key once, and counts it once.
    pub repeated: usize,
    /// Why the fleet halted and left the remaining keys alone. `None` if it did not halt.
    pub halted: Option<String>,
}

/// Rotates many keys of one provider, several at a time.
///
/// A fleet begins with waves of a limited size, the canaries, and then rotates all other keys. A failure among the
/// canaries halts the fleet: it starts no further rotations. Later, only a rejected credential, an unusable journal, a
/// cancellation, or [many keys in a row](Self::give_up_after) for which the vendor cannot be reached halts it.
/// Rotations that have started are finished, or can be resumed from the journal.
///
/// Your own credential comes last and is never a canary, if the rotator knows [its secret](Rotator::own_credential).
/// The fleet rotates it only if its request [allows that](RotateKey::even_own). A key that may be your own credential
/// comes last, too. If such a key cannot even be planned, nothing happens to it, so it may fail earlier.
#[derive(Clone, Debug)]
pub struct Fleet {
    rotator: Rotator,
    concurrency: usize,
    waves: Vec<usize>,
    give_up_after: Option<usize>,
}

impl Fleet {
    /// Returns a fleet for this provider. It rotates one canary and then eight keys at a time, and does not wait for
    /// the end of a grace.
    pub fn new(provider: impl Provider + 'static, journal: impl Journal + 'static) -> Self {
        let rotator = Rotator::new(provider, SinkSet::new([]), journal).patience(std::time::Duration::ZERO);
        Self { rotator, concurrency: 8, waves: vec![1], give_up_after: None }
    }

    /// Configures the rotator that rotates each key.
    #[must_use]
    pub fn with(mut self, set_up: impl FnOnce(Rotator) -> Rotator) -> Self {
        self.rotator = set_up(self.rotator);
        self
    }

    /// Sets how many keys to rotate at a time.
    #[must_use]
    pub fn concurrency(mut self, keys: usize) -> Self {
        self.concurrency = keys.max(1);
        self
    }

    /// Sets the sizes of the waves that come before all other keys. A failure in one of these waves halts the fleet.
    #[must_use]
    pub fn waves(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.waves = sizes.into_iter().collect();
        self
    }

    /// Sets how many rotations in a row may fail because the vendor cannot be reached, before the fleet halts. The
    /// default is twice the [concurrency](Self::concurrency), but at least three.
    #[must_use]
    pub fn give_up_after(mut self, failures: usize) -> Self {
        self.give_up_after = Some(failures.max(1));
        self
    }

    /// Rotates these keys, and calls `observe` with the result of each as soon as its rotation stops.
    ///
    /// Apart from the keys that it leaves to the end, it holds only as many in memory as it rotates at a time, and the
    /// ids of all others. If a key comes again, it skips the key: the first entry says how to rotate it.
    pub async fn rotate(
        &self,
        keys: impl Stream<Item = FleetKey>,
        observe: impl FnMut(&KeyId, &KeyResult),
    ) -> FleetSummary {
        let (repeated, mut seen) = (AtomicUsize::new(0), HashSet::new());
        let keys = keys.filter(|key| {
            let is_new = seen.insert(key.rotate.key.clone());
            repeated.fetch_add(usize::from(!is_new), Ordering::Relaxed);
            ready(is_new)
        });
        let mut keys = pin!(keys.peekable());
        let summary = FleetSummary::default();
        let mut run = Run { fleet: self, observe, summary, unreachable_in_a_row: 0, deferred: Vec::new() };
        for size in self.waves.iter().copied().chain([usize::MAX]) {
            let stage = if size < usize::MAX { Stage::Canary } else { Stage::Rest };
            run.wave(keys.as_mut(), size, stage).await;
        }
        run.deferred().await;
        let repeated = repeated.load(Ordering::Relaxed);
        FleetSummary { repeated, ..run.summary }
    }

    /// Rotates one key, unless it is, or may be, your own credential and it is not yet time for that.
    async fn rotate_key(&self, key: FleetKey, turn: Turn) -> Step {
        let rotator = self.rotator.with_sink(Arc::clone(&key.sink));
        let planned = rotator.plan(&key.rotate).await;
        let (own, defers) = match (&planned, turn) {
            (Ok(plan), _) => (plan.own_credential, plan.own_credential != OwnCredential::No),
            (Err(_), Turn::Last(own)) => (own, false),
            (Err(error), Turn::First) => {
                let own = self.own_despite(error, &key.rotate.key).await;
                (own, own == OwnCredential::Yes)
            }
        };
        if defers && turn == Turn::First {
            return Step::Deferred(key, own);
        }
        if own == OwnCredential::Yes && !key.rotate.even_own {
            return Step::Ended(key.rotate.key, KeyResult::OwnCredential);
        }
        if self.rotator.cancelled.clone().now_or_never().is_some() {
            return Step::Cancelled;
        }
        let record = match planned {
            Ok(plan) => rotator.carry_out(plan).await,
            Err(error) => Err(error),
        };
        let result = match record {
            Ok(record) => match record.state {
                State::Done { .. } => KeyResult::Done,
                State::Aborted { why } | State::NeedsAttention { why, .. } => KeyResult::NotRotated(why),
                _ => KeyResult::Waiting,
            },
            Err(error) if is_gone(&error, &key.rotate.key) => KeyResult::NotFound,
            Err(RotateError::Journal(JournalError::UnderWay(rotation))) => KeyResult::UnderWay(rotation),
            Err(RotateError::Journal(JournalError::Replaced(rotation))) => KeyResult::Replaced(rotation),
            Err(RotateError::Cancelled) => KeyResult::Unfinished,
            Err(error) => KeyResult::Failed(error),
        };
        Step::Ended(key.rotate.key, result)
    }

    /// Returns whether a key is your own credential although it could not be planned.
    async fn own_despite(&self, error: &RotateError, key: &KeyId) -> OwnCredential {
        // These concern every key, or leave the key alone anyway.
        let is_moot = match error {
            RotateError::Provider(error) => error.is_unauthenticated(),
            RotateError::Journal(_) => true,
            _ => false,
        };
        if is_moot || is_gone(error, key) {
            return OwnCredential::Unknown;
        }
        match self.rotator.provider.get(key).await {
            Ok(key) => {
                let secret = self.rotator.own.as_ref().map(SharedSecret::get);
                let own = own_credential(&*self.rotator.provider, &key, secret.as_ref()).await;
                own.unwrap_or(OwnCredential::Unknown)
            }
            Err(_) => OwnCredential::Unknown,
        }
    }
}

/// Returns whether this error says that the key no longer exists.
fn is_gone(error: &RotateError, key: &KeyId) -> bool {
    matches!(error, RotateError::Provider(error) if error.is_not_found() && error.key() == Some(key))
}

/// When a key is rotated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Before the keys that may be your own credential.
    First,
    /// After all others, because this says that it may be your own credential.
    Last(OwnCredential),
}

/// What became of a key at its turn.
enum Step {
    /// The key has a result.
    Ended(KeyId, KeyResult),
    /// It comes last, because this says that it may be your own credential.
    Deferred(FleetKey, OwnCredential),
    /// The fleet was cancelled before the rotation started.
    Cancelled,
}

/// The part of a fleet that a key belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A wave with a size: a failure halts the fleet.
    Canary,
    /// All other keys: a failure concerns only its own key.
    Rest,
}

/// One pass over the keys of a fleet.
struct Run<'a, F> {
    fleet: &'a Fleet,
    observe: F,
    summary: FleetSummary,
    /// How many rotations, up to the last one, have failed because the vendor could not be reached.
    unreachable_in_a_row: usize,
    /// Keys that are, or may be, your own credential. They come last.
    deferred: Vec<(FleetKey, OwnCredential)>,
}

impl<F: FnMut(&KeyId, &KeyResult)> Run<'_, F> {
    /// Rotates the next `size` keys. For each deferred key, the wave takes another one.
    async fn wave(&mut self, mut keys: Pin<&mut Peekable<impl Stream<Item = FleetKey>>>, size: usize, stage: Stage) {
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
    async fn deferred(&mut self) {
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

impl FleetSummary {
    /// Counts a key. If the fleet must halt because of it, returns why.
    fn count(&mut self, key: &KeyId, result: &KeyResult, stage: Stage) -> Option<String> {
        let why = match result {
            KeyResult::Done => {
                self.done += 1;
                return None;
            }
            KeyResult::Waiting | KeyResult::UnderWay(_) => {
                self.waiting += 1;
                return None;
            }
            KeyResult::NotFound | KeyResult::Replaced(_) => {
                self.not_found += 1;
                return None;
            }
            KeyResult::Unfinished => {
                self.unfinished += 1;
                return Some("it was cancelled".to_owned());
            }
            KeyResult::OwnCredential => "it is your own credential".to_owned(),
            KeyResult::NotRotated(why) => why.clone(),
            KeyResult::Failed(error) => error.to_string(),
        };
        self.failed += 1;
        let concerns_all_keys = match result {
            KeyResult::Failed(RotateError::Provider(error)) => error.is_unauthenticated(),
            KeyResult::Failed(RotateError::Journal(JournalError::Unavailable(_))) => true,
            _ => false,
        };
        (concerns_all_keys || stage == Stage::Canary).then(|| format!("key {key}: {why}"))
    }
}
