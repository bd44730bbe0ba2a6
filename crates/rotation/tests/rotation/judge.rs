//! The judgement of a finished scenario: what must hold at the end of every rotation.

use std::collections::BTreeSet;

use api_keyring::{Provider as _, ProviderExt as _};
use api_keyring_emulator::{ChangeKind, ExistingKey, KeyStatus, SeenRequest};
use api_keyring_rotation::{Journal as _, Record, Sink as _, State, Strategy, TRANSITIONS, Transition};

use crate::leaks;
use crate::scenario::Scenario;

impl Scenario<'_> {
    /// Checks what must hold at the end. Returns every violation of the whole schedule.
    pub(crate) async fn judge(&self, record: &Record) -> Vec<String> {
        let emulator = &self.vendor.emulator;
        let violate = |violation: String| self.lineage.violate(violation);
        let keys = emulator.keys();
        self.judge_leaks();
        self.judge_transitions(&self.journal.history(&record.id).await.unwrap());
        if self.vendor.strategy == Strategy::InPlace {
            return self.judge_in_place(record).await;
        }
        let history = self.journal.history(&record.id).await.unwrap();
        // The history has every mark, including those that the record no longer has.
        let marks: BTreeSet<_> = history.iter().flat_map(|record| record.marks.iter().cloned()).collect();
        let is_ours = |key: &&ExistingKey| {
            let name = key.name.as_deref().unwrap_or_default();
            key.serial == self.lineage.old_serial || marks.iter().any(|mark| name.ends_with(mark.as_str()))
        };
        let alive: Vec<_> = keys.iter().filter(is_ours).filter(|key| key.live_secrets > 0).collect();
        if alive.len() != 1 {
            violate(format!("{} keys of the lineage are alive: {alive:?}", alive.len()));
        }
        let owner = self.lineage.current().and_then(|secret| self.lineage.owner(&secret));
        if owner.as_ref().map(|key| key.serial) != alive.first().map(|key| key.serial) {
            violate(format!("the sink holds the secret of {owner:?}, and {alive:?} is alive"));
        }
        match &record.state {
            State::Done { key, .. } if alive.first().is_some_and(|alive| alive.id == key.as_str()) => {}
            State::Aborted { .. } if alive.first().is_some_and(|alive| alive.serial == self.lineage.old_serial) => {
                emulator.clear_faults();
                let old = self.vendor.provider.get(&self.old).await.unwrap();
                if old.expires_at().map(ToString::to_string) != record.plan.old.expires_at {
                    violate(format!("the old key was left to expire at {:?}", old.expires_at()));
                }
            }
            state => violate(format!("it ended as {state:?}, and {alive:?} is alive")),
        }
        for mark in &marks {
            // A process that was overtaken before it delivered leaves the secret of a deleted key.
            let pending = self.lineage.sink.pending(mark).await.unwrap();
            if pending.is_some_and(|secret| self.lineage.owner(secret.expose()).is_some()) {
                violate("the secret of a key is still pending in the sink".to_owned());
            }
            if self.lineage.sink.previous(mark).await.unwrap().is_some() {
                violate("the old secret is still in the sink".to_owned());
            }
        }
        if record.discards.iter().any(|discard| discard.confirmed.is_none()) {
            violate(format!("a discarded key is not confirmed to be gone: {:?}", record.discards));
        }
        for id in &self.others {
            if !keys.iter().any(|key| key.id == *id && key.status == KeyStatus::Active) {
                violate(format!("key {id} is gone, and it does not belong to the rotation"));
            }
        }
        self.judge_strangers().await;
        self.judge_retirement(&history);
        let mut names = BTreeSet::new();
        for change in emulator.changes() {
            if change.kind == ChangeKind::Created && !names.insert(change.name.clone()) {
                violate(format!("a create arrived twice: {:?}", change.name));
            }
        }
        let written = serde_json::to_string(&history).unwrap() + &format!("{history:?}");
        let secrets = self.lineage.marks.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        for secret in secrets.iter().chain([&self.lineage.old_secret]) {
            if written.contains(secret.as_str()) {
                violate("a secret is in the journal".to_owned());
            }
        }
        self.clean_up(&keys.iter().filter(is_ours).map(|key| key.id.clone()).collect::<Vec<_>>()).await;
        self.violations()
    }

    /// Checks that nobody touched a stranger's key.
    pub(crate) async fn judge_strangers(&self) {
        let Some(strangers) = &self.strangers else { return };
        strangers.judge().into_iter().for_each(|violation| self.lineage.violate(violation));
        self.vendor.emulator.clear_faults();
        strangers.clean_up().await;
    }

    /// Checks that the transition table has every change of state, and notes the change as seen.
    pub(crate) fn judge_transitions(&self, history: &[Record]) {
        let mut seen = self.vendor.transitions.lock().unwrap();
        let changes = history.windows(2).map(|versions| (versions[0].state.kind(), versions[1].state.kind()));
        for change in changes.filter(|(from, to)| from != to) {
            let is_listed =
                |row: &&Transition| (row.from(), row.to()) == change && row.strategy() == self.vendor.strategy;
            if !TRANSITIONS.iter().any(|row| is_listed(&row)) {
                self.lineage.violate(format!("{} → {} is not in the table", change.0, change.1));
            }
            seen.insert(change);
        }
    }

    /// Checks that no secret was logged or shown, neither of the lineage nor the rotator's own credential.
    pub(crate) fn judge_leaks(&self) {
        let (spartera, monad) = (self.vendor.emulator.spartera(), self.vendor.emulator.monad());
        let mut secrets: Vec<_> = self.lineage.marks.lock().unwrap().keys().cloned().collect();
        secrets.extend([
            self.lineage.old_secret.clone(),
            spartera.admin_key().to_owned(),
            monad.admin_key().to_owned(),
        ]);
        if secrets.iter().any(|secret| leaks::contains(secret)) {
            self.lineage.violate("a secret was shown".to_owned());
        }
        if !leaks::contains("api_keyring.provider=") {
            self.lineage.violate("nothing was collected".to_owned());
        }
    }

    /// Checks a rotation in point: the key has one secret, and it is the sink's.
    async fn judge_in_place(&self, record: &Record) -> Vec<String> {
        let violate = |violation: String| self.lineage.violate(violation);
        self.vendor.emulator.clear_faults();
        self.judge_strangers().await;
        let keys: Vec<_> =
            self.vendor.emulator.keys().into_iter().filter(|key| !self.others.contains(&key.id)).collect();
        match &keys[..] {
            [key] if key.live_secrets == 1 => match &record.state {
                State::Done { key: new, .. } if key.id == new.as_str() => {}
                State::Aborted { .. } if key.id == self.lineage.old && record.marks.is_empty() => {}
                state => violate(format!("it ended as {state:?}, and {key:?} is alive")),
            },
            keys => violate(format!("there is not exactly one working secret: {keys:?}")),
        }
        let current = self.lineage.sink.current().await.unwrap().unwrap();
        if self.vendor.provider.accepts(&current).await.unwrap().is_refused() {
            violate("the sink's secret does not work".to_owned());
        }
        for mark in &record.marks {
            if self.lineage.sink.previous(mark).await.unwrap().is_some() {
                violate("the old secret is still in the sink".to_owned());
            }
        }
        let written = serde_json::to_string(&self.journal.history(&record.id).await.unwrap()).unwrap();
        let secrets = self.lineage.marks.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        if secrets.iter().chain([&self.lineage.old_secret]).any(|secret| written.contains(secret.as_str())) {
            violate("a secret is in the journal".to_owned());
        }
        self.clean_up(&keys.into_iter().map(|key| key.id).collect::<Vec<_>>()).await;
        self.violations()
    }

    /// Checks that the old key was retired only after the grace, and after the new one was seen to work once more.
    fn judge_retirement(&self, history: &[Record]) {
        let emulator = &self.vendor.emulator;
        let ends = [ChangeKind::Revoked, ChangeKind::Deleted];
        let changes = emulator.changes();
        let ended =
            changes.iter().find(|change| change.serial == self.lineage.old_serial && ends.contains(&change.kind));
        let Some(ended) = ended else { return };
        let promoted = history.iter().rev().find_map(|record| match &record.state {
            State::Promoted { new, until } => Some((new.key.to_string(), *until, record.time - self.wrong_by)),
            _ => None,
        });
        let Some((key, until, promoted_at)) = promoted else {
            return self.lineage.violate("the old key was retired before anything was promoted".to_owned());
        };
        // With a wrong clock the grace ends at a wrong time.
        if ended.time < until && self.wrong_by.is_zero() {
            self.lineage.violate(format!("the old key was retired at {}, before {until}", ended.time));
        }
        let works = |seen: &SeenRequest| {
            let begun = if self.wrong_by.is_zero() { until } else { promoted_at };
            seen.authenticated_as.as_deref() == Some(&*key) && seen.time >= begun && seen.time <= ended.time
        };
        if !emulator.requests().iter().any(works) {
            self.lineage.violate("the old key was retired without a check of the new one".to_owned());
        }
        if let Some(violation) = self.users.as_ref().and_then(|users| users.judge(ended.time, promoted_at)) {
            self.lineage.violate(violation);
        }
    }

    /// Deletes the lineage, so that the next rotation's lists stay short.
    pub(crate) async fn clean_up(&self, ids: &[String]) {
        self.vendor.emulator.clear_faults();
        for id in ids {
            drop(self.vendor.provider.delete(&id.parse().unwrap()).await);
        }
    }
}
