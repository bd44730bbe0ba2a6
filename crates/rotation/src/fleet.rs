//! Rotating many keys.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api_keyring::{ApiKey, KeyId, Provider};
use chrono::{DateTime, TimeDelta, Utc};
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

    /// Rotates these keys. `told` hears of each as it ends.
    ///
    /// No more keys are in memory than are rotated at a time.
    pub async fn rotate(
        &self,
        keys: impl Stream<Item = FleetKey>,
        mut told: impl FnMut(&KeyId, &KeyResult),
    ) -> FleetSummary {
        let mut keys = pin!(keys.peekable());
        let mut summary = FleetSummary::default();
        let mut last = Vec::new();
        for size in self.waves.iter().copied().chain([usize::MAX]) {
            let mut left = size;
            while left > 0 && summary.halted.is_none() && keys.as_mut().peek().await.is_some() {
                let stopped = AtomicBool::new(false);
                let wave = keys.as_mut().take(left).take_while(|_| {
                    let goes_on = !stopped.load(Ordering::Relaxed);
                    async move { goes_on }
                });
                left = 0;
                let mut wave = pin!(wave.map(|key| self.one(key, false)).buffer_unordered(self.concurrency));
                while let Some(ended) = wave.next().await {
                    match ended {
                        Ok((key, rotated)) => {
                            if let Some(why) = summary.count(&key, &rotated, size < usize::MAX) {
                                stopped.store(true, Ordering::Relaxed);
                                summary.halted.get_or_insert(why);
                            }
                            told(&key, &rotated);
                        }
                        // Another one takes its place in the wave.
                        Err(key) => {
                            last.push(key);
                            left += 1;
                        }
                    }
                }
            }
            if summary.halted.is_some() {
                return summary;
            }
        }
        for key in last {
            if let Ok((key, rotated)) = self.one(key, true).await {
                summary.halted = summary.count(&key, &rotated, false);
                told(&key, &rotated);
            }
            if summary.halted.is_some() {
                break;
            }
        }
        summary
    }

    /// Rotates a key; gives it back where it has to come last.
    async fn one(&self, key: FleetKey, is_last: bool) -> Result<(KeyId, KeyResult), FleetKey> {
        let rotator = self.rotator.with_sink(Arc::clone(&key.sink));
        let record = match rotator.plan(&key.rotate).await {
            Ok(plan) if !is_last && plan.own_credential != OwnCredential::No => return Err(key),
            Ok(plan) => rotator.carry_out(plan).await,
            Err(error) => Err(error),
        };
        let rotated = match record {
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
        Ok((key.rotate.key, rotated))
    }
}

impl FleetSummary {
    /// Counts a key, and tells why no other may be begun, if none may.
    fn count(&mut self, key: &KeyId, rotated: &KeyResult, is_canary: bool) -> Option<String> {
        let why = match rotated {
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
        let stops_all = match rotated {
            KeyResult::Failed(RotateError::Provider(error)) => error.is_unauthenticated(),
            KeyResult::Failed(RotateError::Journal(JournalError::Unavailable(_)) | RotateError::Cancelled) => true,
            _ => false,
        };
        (stops_all || is_canary).then(|| format!("key {key}: {why}"))
    }
}
