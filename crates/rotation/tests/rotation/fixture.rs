//! A key in memory, and everything that a test needs to rotate it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api_keyring::{
    Capability, Inject, IssuedKey, ManualClock, Memory, Monad, NewKey, Provider as _, ProviderExt as _, Secret,
};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{
    MemoryJournal, MemorySink, Record, RotateError, RotateKey, Rotator, Sink as _, SinkError, Slot, Store,
};
use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta, Utc};

/// A sink that fails on request.
#[derive(Clone, Debug)]
pub(crate) struct FaultySink {
    pub(crate) sink: MemorySink,
    /// Every write fails.
    pub(crate) is_unwritable: Arc<AtomicBool>,
    /// Every removal fails.
    pub(crate) keeps_everything: Arc<AtomicBool>,
    /// Every read fails.
    pub(crate) is_unreadable: Arc<AtomicBool>,
    /// Reading a previous slot fails.
    pub(crate) hides_previous: Arc<AtomicBool>,
}

impl FaultySink {
    pub(crate) fn over(sink: &MemorySink) -> Self {
        Self {
            sink: sink.clone(),
            is_unwritable: Arc::default(),
            keeps_everything: Arc::default(),
            is_unreadable: Arc::default(),
            hides_previous: Arc::default(),
        }
    }
}

#[async_trait]
impl Store for FaultySink {
    fn address(&self) -> String {
        "faulty".to_owned()
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        if self.is_unreadable.load(Ordering::Relaxed) {
            return Err(SinkError::new("the sink cannot be read"));
        }
        if self.hides_previous.load(Ordering::Relaxed) && matches!(slot, Slot::Previous(_)) {
            return Err(SinkError::new("the previous slot cannot be read"));
        }
        self.sink.read(slot).await
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        if self.is_unwritable.load(Ordering::Relaxed) {
            return Err(SinkError::new("the sink cannot be written"));
        }
        self.sink.write(slot, secret).await
    }

    async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
        if self.keeps_everything.load(Ordering::Relaxed) {
            return Err(SinkError::new("the slot cannot be emptied"));
        }
        self.sink.remove(slot).await
    }
}

/// A key in memory, with a rotator, a sink and a journal.
pub(crate) struct Fixture {
    pub(crate) provider: Memory,
    /// The faults between the rotator and the provider.
    pub(crate) inject: Inject,
    pub(crate) sink: MemorySink,
    pub(crate) journal: MemoryJournal,
    pub(crate) clock: ManualClock,
    pub(crate) old: IssuedKey,
    pub(crate) rotator: Rotator,
}

impl Fixture {
    /// Creates a key at a vendor that offers everything.
    pub(crate) async fn new() -> Self {
        Self::with_provider(Memory::new()).await
    }

    /// Creates a key at this vendor.
    pub(crate) async fn with_provider(provider: Memory) -> Self {
        let clock = ManualClock::new(Utc::now().trunc_subsecs(0));
        let provider = provider.clock(clock.clone());
        let mut new = NewKey::new("ci").role("reader").description("builds").expires_in(TimeDelta::days(90));
        if provider.capabilities().support(Capability::CreateWithOwner).is_supported() {
            new = new.owner("user-7");
        }
        let old = provider.create(&new).await.unwrap();
        let sink = MemorySink::holding(old.secret().clone());
        let journal = MemoryJournal::new().clock(clock.clone());
        let inject = Inject::new();
        let faulty = provider.clone().layered(inject.clone());
        let rotator = Rotator::new(faulty, sink.clone(), journal.clone()).clock(clock.clone());
        Fixture { provider, inject, sink, journal, clock, old, rotator }
    }

    pub(crate) fn rotate(&self) -> RotateKey {
        RotateKey::new(self.old.id().clone())
    }

    /// Starts a rotation, which then waits for the end of an hour of grace.
    pub(crate) async fn promoted(&self) -> Record {
        let record = self.rotator.rotate(&self.rotate()).await.unwrap();
        assert_eq!(record.state.name(), "promoted");
        record
    }

    pub(crate) async fn works(&self, secret: &Secret) -> bool {
        self.provider.accepts(secret).await.unwrap().is_accepted()
    }

    pub(crate) async fn current(&self) -> Secret {
        self.sink.current().await.unwrap().unwrap()
    }
}

/// Returns a provider for the emulated Monad, with the administrator's key.
pub(crate) fn monad(emulator: &Emulator) -> Monad {
    let monad = emulator.monad();
    let builder = Monad::builder().organization_id(monad.organization_id()).api_key(monad.admin_key());
    builder.base_url(monad.base_url()).build().unwrap()
}

pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, RotateError>) -> String {
    match result.unwrap_err() {
        RotateError::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}
