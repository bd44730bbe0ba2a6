//! Strangers: somebody else's keys, which get the id of every key that is deleted.

use std::sync::{Arc, Mutex};

use api_keyring::{CallInfo, Layer, Mark, NewKey, Provider, Result, SendCall};
use api_keyring_emulator::{ChangeKind, Emulator, KeyStatus, ReuseIds};
use async_trait::async_trait;
use chrono::TimeDelta;

use crate::scenario::Service;

/// Somebody who takes each freed id at once.
#[derive(Clone, Debug)]
pub(crate) struct Strangers {
    emulator: Arc<Emulator>,
    provider: Arc<dyn Provider>,
    service: Service,
    reuse: ReuseIds,
    /// How many changes of the service were seen.
    seen: Arc<tokio::sync::Mutex<usize>>,
    /// The serial numbers of the strangers' keys.
    serials: Arc<Mutex<Vec<u64>>>,
}

impl Strangers {
    pub(crate) fn new(emulator: Arc<Emulator>, provider: Arc<dyn Provider>, service: Service, reuse: ReuseIds) -> Self {
        Self { emulator, provider, service, reuse, seen: Arc::default(), serials: Arc::default() }
    }

    /// Takes the ids of all keys that were deleted since the last call.
    pub(crate) async fn take_freed(&self) {
        let mut seen = self.seen.lock().await;
        loop {
            let changes = self.emulator.changes();
            let Some(change) = changes.get(*seen) else { return };
            *seen += 1;
            let freed = match change.kind {
                ChangeKind::Deleted => change.key_id.clone(),
                ChangeKind::Regenerated => match &change.replaces {
                    Some(id) => id.clone(),
                    None => continue,
                },
                _ => continue,
            };
            if self.emulator.keys().iter().any(|key| key.id == freed) {
                continue;
            }
            self.take(change.name.as_deref()).await;
        }
    }

    async fn take(&self, freed: Option<&str>) {
        let before = self.serials();
        if self.reuse == ReuseIds::Name {
            // An id that is made of a name with a mark is never free for others.
            let Some(name) = freed.filter(|name| Mark::from_name(name).is_none()) else { return };
            let role = if matches!(self.service, Service::Spartera(..)) { "3" } else { "role-reader" };
            let new = NewKey::new(name).role(role).expires_in(TimeDelta::days(90));
            drop(self.provider.create(&new).await.unwrap());
        } else {
            match self.service {
                Service::Spartera(..) => drop(self.emulator.spartera().add_keys(1)),
                Service::Monad(_) => drop(self.emulator.monad().add_keys(1)),
            }
        }
        let taken = self.serials().into_iter().filter(|serial| !before.contains(serial));
        self.serials.lock().unwrap().extend(taken);
    }

    fn serials(&self) -> Vec<u64> {
        self.emulator.keys().iter().map(|key| key.serial).collect()
    }

    /// Returns whether a key is a stranger's.
    pub(crate) fn own(&self, serial: u64) -> bool {
        self.serials.lock().unwrap().contains(&serial)
    }

    /// Returns what somebody has done to the strangers' keys.
    pub(crate) fn judge(&self) -> Vec<String> {
        let keys = self.emulator.keys();
        let serials = self.serials.lock().unwrap();
        let ended = serials.iter().filter(|serial| {
            let works = |key: &&api_keyring_emulator::ExistingKey| {
                key.serial == **serial && key.status == KeyStatus::Active && key.live_secrets > 0
            };
            keys.iter().find(works).is_none()
        });
        let mut violations: Vec<_> = ended.map(|serial| format!("the stranger's key {serial} was ended")).collect();
        let touched = self.emulator.changes().into_iter().filter(|change| {
            let is_new = matches!(change.kind, ChangeKind::Created | ChangeKind::Seeded);
            serials.contains(&change.serial) && !is_new
        });
        violations.extend(touched.map(|change| format!("a stranger's key was changed: {change:?}")));
        violations
    }

    /// Deletes the strangers' keys.
    pub(crate) async fn clean_up(&self) {
        for key in self.emulator.keys().into_iter().filter(|key| self.own(key.serial)) {
            drop(self.provider.delete(&key.id.parse().unwrap()).await);
        }
    }
}

/// A layer behind which a stranger takes each id that a call frees.
#[async_trait]
impl Layer for Strangers {
    async fn around<T: Send>(&self, _: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        self.take_freed().await;
        let answer = send().await;
        self.take_freed().await;
        answer
    }
}
