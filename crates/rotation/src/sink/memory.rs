//! A sink in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring::Secret;
use async_trait::async_trait;

use super::SinkError;
use super::store::{Slot, Store, StoreLock};

/// Stores secrets in memory, for tests and for programs that pass secrets on themselves. They are lost with the
/// process.
///
/// Clones share the same secrets.
#[derive(Clone, Debug)]
pub struct MemorySink(Arc<Inner>);

/// How many of these sinks this process has created.
static COUNT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Inner {
    /// Distinguishes this sink from the others of the process.
    number: u64,
    slots: Mutex<BTreeMap<Slot, Secret>>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl MemorySink {
    /// Returns an empty sink.
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        Self(Arc::new(Inner { number, slots: Mutex::default(), lock: Arc::default() }))
    }

    /// Returns a sink whose current secret is this one, such as the old key's.
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
            Err(_) => Err(SinkError::new("another writer has locked the sink. Try again")),
        }
    }
}
