//! The lineage of a rotated key, and the invariants that must hold at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use api_keyring::Mark;
use api_keyring_emulator::{Emulator, ExistingKey, KeyStatus};
use api_keyring_rotation::{Journal as _, MemoryJournal, MemorySink, RotationId, Sink as _, State, Strategy};
use futures_util::FutureExt as _;

/// The old key and the keys issued for it, as the service and the sink know them.
#[derive(Clone, Debug)]
pub(crate) struct Lineage {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) sink: MemorySink,
    pub(crate) strategy: Strategy,
    pub(crate) old: String,
    /// The emulator's number of the old key. Another key may have its id.
    pub(crate) old_serial: u64,
    pub(crate) old_secret: String,
    pub(crate) journal: MemoryJournal,
    pub(crate) begun: Arc<Mutex<Option<RotationId>>>,
    /// The mark under which each secret was put into the sink.
    pub(crate) marks: Arc<Mutex<BTreeMap<String, Mark>>>,
    pub(crate) violations: Arc<Mutex<BTreeSet<String>>>,
}

impl Lineage {
    /// Checks the invariants at a cut point.
    pub(crate) fn check(&self, point: &str) -> Result<(), String> {
        if self.strategy == Strategy::InPlace {
            // In place, no secret works between the end of the old one and the delivery of the new one.
            return self.current().map(drop).ok_or_else(|| "the sink is empty".to_owned());
        }
        let secret = self.current().ok_or("the sink is empty")?;
        let key = self.owner(&secret).ok_or("the sink holds the secret of no key that exists")?;
        if key.status != KeyStatus::Active || key.live_secrets == 0 {
            return Err(format!("the sink holds the secret of key {}, which no longer works", key.id));
        }
        if point == "before create" {
            self.check_orphans()?;
        }
        if point == "before sink write current" {
            let marks = self.marks.lock().unwrap().clone();
            // A repeated promotion has nothing pending. The pending secret of a deleted key is removed later.
            let pending = marks.iter().find_map(|(secret, mark)| {
                let pending = self.sink.pending(mark).now_or_never().unwrap().unwrap();
                self.owner(secret).filter(|_| pending.is_some_and(|pending| pending.expose() == secret))
            });
            if let Some(key) = pending {
                let id = key.id;
                let requests = self.emulator.requests();
                let seen = requests.iter().filter(|seen| seen.authenticated_as.as_ref() == Some(&id)).count();
                if seen < 3 {
                    return Err(format!("the rotation promotes a new key that it saw work only {seen} times"));
                }
            }
        }
        Ok(())
    }

    /// Checks that no other key is issued while an orphan exists.
    pub(crate) fn check_orphans(&self) -> Result<(), String> {
        let begun = self.begun.lock().unwrap().clone();
        let load = |id| self.journal.load(&id).now_or_never().unwrap().unwrap();
        let Some(record) = begun.and_then(load) else { return Err("the rotation has no record".to_owned()) };
        let wanted = match &record.state {
            State::Issuing { mark } => vec![mark],
            // Another process has continued the rotation meanwhile, and the one that was held up right before its
            // create cannot know that.
            State::Issued(new) => vec![&new.mark],
            _ => {
                record.marks.iter().filter(|mark| self.marks.lock().unwrap().values().any(|put| put == *mark)).collect()
            }
        };
        // Such a key has to exist until the next one is issued.
        let holds_id = |mark: &Mark| record.discards.iter().any(|discard| discard.holds_id && discard.mark == *mark);
        let lost: Vec<_> = record.marks.iter().filter(|mark| !wanted.contains(mark) && !holds_id(mark)).collect();
        let is_lost = |key: &ExistingKey| {
            let name = key.name.as_deref().unwrap_or_default();
            lost.iter().any(|mark| name.ends_with(mark.as_str()))
        };
        match self.emulator.keys().into_iter().find(is_lost) {
            Some(key) => Err(format!("key {} is an orphan", key.id)),
            None => Ok(()),
        }
    }

    pub(crate) fn current(&self) -> Option<String> {
        let current = self.sink.current().now_or_never().unwrap().unwrap();
        current.map(|secret| secret.expose().to_owned())
    }

    /// Returns the key that a secret belongs to, if the key exists.
    pub(crate) fn owner(&self, secret: &str) -> Option<ExistingKey> {
        let mut keys = self.emulator.keys().into_iter();
        if secret == self.old_secret {
            return keys.find(|key| key.serial == self.old_serial);
        }
        let mark = self.marks.lock().unwrap().get(secret)?.clone();
        keys.find(|key| key.name.as_deref().is_some_and(|name| name.ends_with(mark.as_str())))
    }

    pub(crate) fn violate(&self, violation: String) {
        self.violations.lock().unwrap().insert(violation);
    }
}
