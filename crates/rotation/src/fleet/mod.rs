//! Fleets: many keys of one provider, rotated in waves.

mod blips;
mod result;
mod run;
mod selector;

use std::collections::HashSet;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_keyring::{KeyId, Provider, SharedSecret};
use futures_util::future::FutureExt as _;
use futures_util::{Stream, StreamExt as _};

use self::blips::Blips;
pub use self::result::{FleetSummary, KeyResult};
use self::run::{Run, Stage};
pub use self::selector::{Exclusion, InvalidPattern, Selector};
use super::{
    Journal, JournalError, OwnCredential, RotateError, RotateKey, Rotator, Sink, SinkSet, State, own_credential,
};

/// A key of a fleet.
#[derive(Clone, Debug)]
pub struct FleetKey {
    /// Which key to rotate, and how.
    pub rotate: RotateKey,
    /// The sink that holds the key's secret.
    pub sink: Arc<dyn Sink>,
}

/// Rotates many keys of one provider, several at a time.
///
/// A fleet begins with waves of a limited size, the canaries, and then rotates all other keys. A failure among the
/// canaries halts the fleet: it starts no further rotations. Only an [unreadable record](crate::UnreadableRecord) does
/// not, because it says nothing of other keys. Later, only a rejected credential, an unusable journal, a
/// cancellation, or [many keys in a row](Self::give_up_after) for which the vendor cannot be reached halts it.
/// Rotations that have started are finished, or can be resumed from the journal. If the journal fails only
/// [for the moment](JournalError::is_transient), the fleet waits for up to a minute, and continues.
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
        let mut run = Run::new(self, observe);
        for size in self.waves.iter().copied().chain([usize::MAX]) {
            let stage = if size < usize::MAX { Stage::Canary } else { Stage::Rest };
            run.wave(keys.as_mut(), size, stage).await;
        }
        run.rotate_deferred().await;
        let repeated = repeated.load(Ordering::Relaxed);
        FleetSummary { repeated, ..run.into_summary() }
    }

    /// Rotates one key, unless it is, or may be, your own credential and it is not yet time for that.
    async fn rotate_key(&self, key: FleetKey, turn: Turn) -> Step {
        let rotator = self.rotator.with_sink(Arc::clone(&key.sink));
        let mut blips = Blips::new(&rotator);
        let planned = blips.outlast(async || rotator.plan(&key.rotate).await).await;
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
            Ok(plan) => blips.carry_out(plan).await,
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
