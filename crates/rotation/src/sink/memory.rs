//! A sink that is gone with its process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring::Secret;
use async_trait::async_trait;

use super::SinkError;
use super::store::{Slot, Store, StoreLock};

/// A sink in memory: for tests, and for a program that hands secrets on itself.
///
/// Clones share it.
#[derive(Clone, Debug)]
pub struct MemorySink(Arc<Inner>);

/// How many there were in this process.
static COUNT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Inner {
    /// Tells it from the others of this process.
    number: u64,
    slots: Mutex<BTreeMap<Slot, Secret>>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        Self(Arc::new(Inner { number, slots: Mutex::default(), lock: Arc::default() }))
    }

    /// A sink that holds the old key's secret.
    pub fn holding(secret: impl Into<Secret>) -> Self {
        let sink = Self::new();
        sink.slots().insert(Slot::Current, secret.into());
        sink
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Slot, Secret>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemorySink {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemorySink {
    fn address(&self) -> String {
        format!("memory:{}", self.0.number)
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        Ok(self.slots().get(slot).cloned())
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        self.slots().insert(slot.clone(), secret.clone());
        Ok(())
    }

    async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
        self.slots().remove(slot);
        Ok(())
    }

    async fn lock(&self) -> Result<StoreLock, SinkError> {
        match Arc::clone(&self.0.lock).try_lock_owned() {
            Ok(lock) => Ok(Box::new(lock)),
            Err(_) => Err(SinkError::new("somebody else is writing there")),
        }
    }
}
