//! A key in memory, to rotate.

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

/// A sink that can be broken.
#[derive(Clone, Debug)]
pub(crate) struct Brittle {
    pub(crate) sink: MemorySink,
    /// Nothing can be written.
    pub(crate) broken: Arc<AtomicBool>,
    /// Nothing can be removed.
    pub(crate) sticky: Arc<AtomicBool>,
    /// What was current before cannot be read.
    pub(crate) forgetful: Arc<AtomicBool>,
}

impl Brittle {
    pub(crate) fn over(sink: &MemorySink) -> Self {
        Self { sink: sink.clone(), broken: Arc::default(), sticky: Arc::default(), forgetful: Arc::default() }
    }
}

#[async_trait]
impl Store for Brittle {
    fn address(&self) -> String {
        "brittle".to_owned()
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn read(&self, place: &Slot) -> Result<Option<Secret>, SinkError> {
        if self.forgetful.load(Ordering::Relaxed) && matches!(place, Slot::Previous(_)) {
            return Err(SinkError::new("it has forgotten"));
        }
        self.sink.read(place).await
    }

    async fn write(&self, place: &Slot, secret: &Secret) -> Result<(), SinkError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(SinkError::new("it is broken"));
        }
        self.sink.write(place, secret).await
    }

    async fn remove(&self, place: &Slot) -> Result<(), SinkError> {
        if self.sticky.load(Ordering::Relaxed) {
            return Err(SinkError::new("it sticks"));
        }
        self.sink.remove(place).await
    }
}

/// A key in memory, and all that it takes to rotate it.
pub(crate) struct Bench {
    pub(crate) provider: Memory,
    /// What goes wrong between the rotator and the provider.
    pub(crate) inject: Inject,
    pub(crate) sink: MemorySink,
    pub(crate) journal: MemoryJournal,
    pub(crate) clock: ManualClock,
    pub(crate) old: IssuedKey,
    pub(crate) rotator: Rotator,
}

pub(crate) async fn bench() -> Bench {
    bench_of(Memory::new()).await
}

pub(crate) async fn bench_of(provider: Memory) -> Bench {
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
    Bench { provider, inject, sink, journal, clock, old, rotator }
}

impl Bench {
    pub(crate) fn rotate(&self) -> RotateKey {
        RotateKey::new(self.old.id().clone())
    }

    /// A rotation that waits for the end of an hour of grace.
    pub(crate) async fn promoted(&self) -> Record {
        let record = self.rotator.rotate(&self.rotate()).await.unwrap();
        assert_eq!(record.state.name(), "promoted");
        record
    }

    pub(crate) async fn works(&self, secret: &Secret) -> bool {
        self.provider.accepts(secret).await.unwrap()
    }

    pub(crate) async fn current(&self) -> Secret {
        self.sink.current().await.unwrap().unwrap()
    }
}

/// The emulated Monad, with its administrator's key.
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
