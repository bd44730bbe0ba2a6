//! Rotating many keys.

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

/// Which keys to rotate.
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

/// A pattern that no name can match, and why.
#[derive(Clone, Debug)]
pub struct InvalidPattern(String);

impl std::fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPattern {}

impl Selector {
    /// Every key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only keys with such a name, where `*` stands for any text, `?` for any character and `[ab]` for one of some. The mark of an
    /// earlier rotation does not count.
    ///
    /// # Errors
    ///
    /// When the pattern is none.
    pub fn named(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        let pattern = glob::Pattern::new(pattern);
        self.name = Some(pattern.map_err(|error| InvalidPattern(format!("a name's pattern is odd: {error}")))?);
        Ok(self)
    }

    /// Only keys that were issued at least so long ago. One whose age is not told is taken.
    #[must_use]
    pub fn older_than(mut self, age: TimeDelta) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Only keys that expire within such a time. One that never does is not taken.
    #[must_use]
    pub fn expiring_within(mut self, time: TimeDelta) -> Self {
        self.expiring_within = Some(time);
        self
    }

    /// Whether a key is to be rotated. One that works no more is not.
    pub fn takes(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
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

/// A key of a fleet, and where its secret is.
#[derive(Clone, Debug)]
pub struct FleetKey {
    /// The key, and how to rotate it.
    pub rotate: RotateKey,
    /// Where its secret is kept.
    pub sink: Arc<dyn Sink>,
}

/// What became of a key of a fleet.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyResult {
    /// The new key is in the old one's place, and the old one is gone.
    Done,
    /// It waits for the end of the grace.
    Waiting,
    /// Another rotation is at work on it, or waits.
    UnderWay(RotationId),
    /// There is no such key any more.
    NotFound,
    /// Another rotation has replaced it meanwhile.
    Replaced(RotationId),
    /// It was undone, or waits for a person: why.
    NotRotated(String),
    /// It stands still after an error, and can be resumed if it was begun.
    Failed(RotateError),
}

/// What became of a fleet.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FleetSummary {
    /// How many keys were replaced.
    pub done: usize,
    /// How many wait for the end of their grace, or for another rotation.
    pub waiting: usize,
    /// How many were gone or replaced already.
    pub not_found: usize,
    /// How many were not rotated, or stand still.
    pub failed: usize,
    /// Why the keys after these were left alone, if they were.
    pub halted: Option<String>,
}

/// Rotates many keys of one provider, many at a time.
///
/// First a few, the canaries, then more, then all: while a wave lasts that has a size, a failure stops everything that has not
/// begun. A credential that is refused, and a journal that cannot be written, stop it at any time. What was begun is
/// finished, or found in the journal.
///
/// The key that the provider itself authenticates with comes last, where the rotator knows [its
/// secret](Rotator::own_credential), and so does every key of which nobody can tell whether it is that one.
#[derive(Clone, Debug)]
pub struct Fleet {
    rotator: Rotator,
    concurrency: usize,
    waves: Vec<usize>,
}

impl Fleet {
    /// Rotates keys of this provider, eight at a time and one first, and waits for no grace.
    pub fn new(provider: impl Provider + 'static, journal: impl Journal + 'static) -> Self {
        let rotator = Rotator::new(provider, SinkSet::new([]), journal).patience(std::time::Duration::ZERO);
        Self { rotator, concurrency: 8, waves: vec![1] }
    }

    /// Sets the rotator up that each key is rotated by.
    #[must_use]
    pub fn with(mut self, set_up: impl FnOnce(Rotator) -> Rotator) -> Self {
        self.rotator = set_up(self.rotator);
        self
    }

    /// How many keys are rotated at a time.
    #[must_use]
    pub fn concurrency(mut self, keys: usize) -> Self {
        self.concurrency = keys.max(1);
        self
    }

    /// How many keys are rotated first, and then, before all others.
    #[must_use]
    pub fn waves(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.waves = sizes.into_iter().collect();
        self
    }

    /// Rotates these keys, and calls `observe` as soon as each of them ends.
    ///
    /// It holds only as many keys in memory as it rotates at a time.
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
