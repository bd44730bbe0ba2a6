//! Fleets: many keys of one provider, rotated in waves.

use std::future::ready;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api_keyring::{ApiKey, KeyId, Provider};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::Peekable;
use futures_util::{Stream, StreamExt as _};

use super::{Journal, JournalError, OwnCredential, RotateError, RotateKey, RotationId, Rotator, Sink, SinkSet, State};

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
        let is_named =
            |pattern: &glob::Pattern| pattern.matches(api_keyring::Mark::unmarked(key.name().unwrap_or_default()));
        let is_old = |age: TimeDelta| key.created_at().and_then(|time| time.utc()).is_none_or(|time| now - time >= age);
        let expires =
            |within: TimeDelta| key.expires_at().and_then(|time| time.utc()).is_some_and(|time| time - now <= within);
        !key.status().is_dead()
            && self.name.as_ref().is_none_or(is_named)
            && self.older_than.is_none_or(is_old)
            && self.expiring_within.is_none_or(expires)
    }
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
    /// How many keys were not rotated, or have a rotation that stopped.
    pub failed: usize,
    /// Why the fleet halted and left the remaining keys alone. `None` if it did not halt.
    pub halted: Option<String>,
}

/// Rotates many keys of one provider, several at a time.
///
/// A fleet begins with waves of a limited size, the canaries, and then rotates all other keys. A failure among the
/// canaries halts the fleet: it starts no further rotations. Later, only a rejected credential, an unusable journal or
/// a cancellation halts it. Rotations that have started are finished, or can be resumed from the journal.
///
/// Your own credential comes last, if the rotator knows [its secret](Rotator::own_credential). So does every key that
/// may be your own credential.
#[derive(Clone, Debug)]
pub struct Fleet {
    rotator: Rotator,
    concurrency: usize,
    waves: Vec<usize>,
}

impl Fleet {
    /// Returns a fleet for this provider. It rotates one canary and then eight keys at a time, and does not wait for
    /// the end of a grace.
    pub fn new(provider: impl Provider + 'static, journal: impl Journal + 'static) -> Self {
        let rotator = Rotator::new(provider, SinkSet::new([]), journal).patience(std::time::Duration::ZERO);
        Self { rotator, concurrency: 8, waves: vec![1] }
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

    /// Rotates these keys, and calls `observe` with the result of each as soon as its rotation stops.
    ///
    /// Apart from the keys that it leaves to the end, it holds only as many in memory as it rotates at a time.
    pub async fn rotate(
        &self,
        keys: impl Stream<Item = FleetKey>,
        observe: impl FnMut(&KeyId, &KeyResult),
    ) -> FleetSummary {
        let mut keys = pin!(keys.peekable());
        let mut run = Run { fleet: self, observe, summary: FleetSummary::default(), deferred: Vec::new() };
        for size in self.waves.iter().copied().chain([usize::MAX]) {
            let stage = if size < usize::MAX { Stage::Canary } else { Stage::Rest };
            run.wave(keys.as_mut(), size, stage).await;
        }
        run.deferred().await;
        run.summary
    }

    /// Rotates one key. If it may be your own credential and `own` defers that, gives the key back.
    async fn rotate_key(&self, key: FleetKey, own: OwnKey) -> Result<(KeyId, KeyResult), FleetKey> {
        let rotator = self.rotator.with_sink(Arc::clone(&key.sink));
        let record = match rotator.plan(&key.rotate).await {
            Ok(plan) if own == OwnKey::Defer && plan.own_credential != OwnCredential::No => return Err(key),
            Ok(plan) => rotator.carry_out(plan).await,
            Err(error) => Err(error),
        };
        let result = match record {
            Ok(record) => match record.state {
                State::Done { .. } => KeyResult::Done,
                State::Aborted { why } | State::NeedsAttention { why, .. } => KeyResult::NotRotated(why),
                _ => KeyResult::Waiting,
            },
            Err(RotateError::Provider(error)) if error.is_not_found() && error.key() == Some(&key.rotate.key) => {
                KeyResult::NotFound
            }
            Err(RotateError::Journal(JournalError::UnderWay(rotation))) => KeyResult::UnderWay(rotation),
            Err(RotateError::Journal(JournalError::Replaced(rotation))) => KeyResult::Replaced(rotation),
            Err(error) => KeyResult::Failed(error),
        };
        Ok((key.rotate.key, result))
    }
}

/// What to do with a key that may be your own credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnKey {
    /// Give it back, so that it comes last.
    Defer,
    /// Rotate it.
    Rotate,
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
    /// Keys that may be your own credential. They come last.
    deferred: Vec<FleetKey>,
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
        let results = keys.map(|key| fleet.rotate_key(key, OwnKey::Defer)).buffer_unordered(fleet.concurrency);
        let mut results = pin!(results);
        let mut deferred = 0;
        while let Some(result) = results.next().await {
            match result {
                Ok((key, result)) => self.record(&key, &result, stage),
                Err(key) => {
                    self.deferred.push(key);
                    deferred += 1;
                }
            }
            halted.store(self.summary.halted.is_some(), Ordering::Relaxed);
        }
        deferred
    }

    /// Rotates the deferred keys, one after the other.
    async fn deferred(&mut self) {
        for key in mem::take(&mut self.deferred) {
            if self.summary.halted.is_some() {
                return;
            }
            if let Ok((key, result)) = self.fleet.rotate_key(key, OwnKey::Rotate).await {
                self.record(&key, &result, Stage::Rest);
            }
        }
    }

    fn record(&mut self, key: &KeyId, result: &KeyResult, stage: Stage) {
        if let Some(why) = self.summary.count(key, result, stage) {
            self.summary.halted.get_or_insert(why);
        }
        (self.observe)(key, result);
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
            KeyResult::NotRotated(why) => why.clone(),
            KeyResult::Failed(error) => error.to_string(),
        };
        self.failed += 1;
        let concerns_all_keys = match result {
            KeyResult::Failed(RotateError::Provider(error)) => error.is_unauthenticated(),
            KeyResult::Failed(RotateError::Journal(JournalError::Unavailable(_)) | RotateError::Cancelled) => true,
            _ => false,
        };
        (concerns_all_keys || stage == Stage::Canary).then(|| format!("key {key}: {why}"))
    }
}
