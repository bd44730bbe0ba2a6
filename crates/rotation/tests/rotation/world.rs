//! A vendor, a key to rotate, and what has to hold of them at every moment.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{Clock, Expiry, KeyId, KeyUpdate, ManualClock, Provider, ProviderExt as _, Sleep, Spartera};
use api_keyring_emulator::{
    self as emulator, ChangeKind, Emulator, ExistingKey, Fault, KeyStatus, Revision, SparteraShape,
};
use api_keyring_rotation::{
    Journal as _, MemoryJournal, MemorySink, Record, RotateError, RotateKey, RotationId, Rotator, Sink as _, State,
    Strategy,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::bench::monad;
use crate::gate::{Event, Gate, GatedJournal, GatedStore};
use crate::heard;
use crate::lineage::Lineage;
use crate::users::{UNUSED_FOR, Users};

/// Which service, in which revision.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Spartera(Revision, SparteraShape),
    Monad(Revision),
}

/// How long a lease lasts here.
const LEASE: Duration = Duration::from_secs(300);

/// The emulator reads the rotators' clock.
#[derive(Debug)]
struct SameClock(ManualClock);

impl emulator::Clock for SameClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }
}

/// The same clock, set wrong. While somebody waits for it, users go on.
#[derive(Debug)]
struct WrongClock(ManualClock, TimeDelta, Option<Users>);

impl Clock for WrongClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let (clock, users) = (self.0.clone(), self.2.clone());
        Box::pin(async move {
            if let Some(users) = users {
                users.work().await;
            }
            clock.sleep(duration).await;
        })
    }
}

/// A running service, which many keys are rotated at.
pub(crate) struct Vendor {
    pub(crate) service: Service,
    pub(crate) strategy: Strategy,
    pub(crate) emulator: Arc<Emulator>,
    provider: Arc<dyn Provider>,
    clock: ManualClock,
    /// Whether there are users whom a rotation has to wait for.
    pub(crate) has_users: bool,
}

impl Vendor {
    /// A service whose keys have users, and whose rotations wait until they use the new one.
    pub(crate) async fn with_users(service: Service) -> Self {
        Self { has_users: true, ..Self::start(service, Strategy::Overlap).await }
    }

    pub(crate) async fn start(service: Service, strategy: Strategy) -> Self {
        let clock = ManualClock::new(Utc::now());
        let builder = Emulator::builder().clock(SameClock(clock.clone())).seed(7);
        let builder = match service {
            Service::Spartera(revision, shape) => builder.revision(revision).spartera_shape(shape),
            Service::Monad(revision) => builder.revision(revision),
        };
        let emulator = Arc::new(builder.start().await.unwrap());
        let provider: Arc<dyn Provider> = match service {
            Service::Spartera(..) => {
                let service = emulator.spartera();
                let builder = Spartera::builder().company_id(service.company_id()).api_key(service.admin_key());
                Arc::new(builder.base_url(service.base_url()).build().unwrap())
            }
            Service::Monad(_) => Arc::new(monad(&emulator)),
        };
        Self { service, strategy, emulator, provider, clock, has_users: false }
    }

    /// A key to rotate, whose secret is in a sink, while these faults are in force.
    pub(crate) fn key(&self, faults: &[&str]) -> World<'_> {
        let add = |count| match self.service {
            Service::Spartera(..) => self.emulator.spartera().add_keys(count),
            Service::Monad(_) => self.emulator.monad().add_keys(count),
        };
        let seeded = add(1);
        let old = seeded[0].id.clone();
        self.emulator.clear_changes();
        self.emulator.clear_requests();
        self.emulator.clear_faults();
        heard::begin();
        faults.iter().for_each(|fault| self.emulator.inject(fault.parse::<Fault>().unwrap()));
        let others = self.emulator.keys().into_iter().map(|key| key.id).filter(|id| *id != old).collect();
        let journal = MemoryJournal::new().clock(self.clock.clone());
        let lineage = Lineage {
            journal: journal.clone(),
            begun: Arc::default(),
            emulator: Arc::clone(&self.emulator),
            sink: MemorySink::holding(seeded[0].secret.clone()),
            strategy: self.strategy,
            old: old.clone(),
            old_secret: seeded[0].secret.clone(),
            marks: Arc::default(),
            violations: Arc::default(),
        };
        let begun = Arc::clone(&lineage.begun);
        let new_users = || Users::new(Arc::clone(&self.provider), lineage.clone(), self.clock.clone());
        let users = self.has_users.then(new_users);
        let (old, wrong_by) = (old.parse().unwrap(), TimeDelta::zero());
        World { vendor: self, journal, lineage, users, old, others, begun, wrong_by, undo: false }
    }
}

/// One key's rotation.
pub(crate) struct World<'a> {
    vendor: &'a Vendor,
    pub(crate) journal: MemoryJournal,
    lineage: Lineage,
    users: Option<Users>,
    old: KeyId,
    /// The ids of all other keys.
    others: BTreeSet<String>,
    begun: Arc<Mutex<Option<RotationId>>>,
    /// How wrong the clock is of whoever goes on from now.
    pub(crate) wrong_by: TimeDelta,
    /// Whether whoever goes on from now turns back where there is a way back.
    pub(crate) undo: bool,
}

impl World<'_> {
    /// A process that rotates.
    fn process(&self, gate: &Gate) -> Rotator {
        let provider = Arc::clone(&self.vendor.provider).layered(gate.clone()).traced();
        let journal =
            GatedJournal { journal: self.journal.clone(), gate: gate.clone(), begun: Arc::clone(&self.begun) };
        let sink =
            GatedStore { sink: self.lineage.sink.clone(), gate: gate.clone(), marks: Arc::clone(&self.lineage.marks) };
        Rotator::new(provider, sink, journal)
            .clock(WrongClock(self.vendor.clock.clone(), self.wrong_by, self.users.clone()))
            .lease(LEASE)
            .patience(Duration::from_secs(36_000))
    }

    /// A gate at which this happens, and at which what has to hold always is looked at.
    pub(crate) fn gate(&self, event: Option<(usize, Event)>) -> Gate {
        let lineage = self.lineage.clone();
        Gate::new(event, move |place| {
            if let Err(violation) = lineage.check(place) {
                lineage.violate(format!("{place}: {violation}"));
            }
        })
    }

    /// What one process does, while others listen.
    async fn rotate(&self, gate: &Gate) -> Result<Record, RotateError> {
        let rotator = self.process(gate);
        heard::add(&rotator);
        let ended = self.go_on(rotator).await;
        match &ended {
            Ok(record) => heard::add(record),
            Err(error) => heard::add_error(error),
        }
        ended
    }

    /// It goes on with what is under way, or else begins.
    async fn go_on(&self, rotator: Rotator) -> Result<Record, RotateError> {
        let begun = self.begun.lock().unwrap().clone();
        let written = match begun {
            Some(id) => self.journal.load(&id).await?,
            None => None,
        };
        let id = match written {
            Some(record) if record.state.is_finished() => return Ok(record),
            Some(record) if self.undo => match rotator.abort(&record.id, "it is turned back").await {
                Err(RotateError::Refused(_)) => record.id,
                aborted => return aborted,
            },
            Some(record) => record.id,
            None => {
                let mut rotate = RotateKey::new(self.old.clone()).role(self.role());
                rotate.strategy = self.vendor.strategy;
                // Where that is offered, in one of the services, and of keys that expire.
                rotate.expire_old = matches!(self.vendor.service, Service::Spartera(_, SparteraShape::Guide));
                let provider = &self.vendor.provider;
                if rotate.expire_old && provider.get(&self.old).await?.expires_at().is_none() {
                    // Longer than this clock is moved in all schedules together: new keys' expiries go by the machine's own.
                    let expiry = self.vendor.clock.now() + TimeDelta::days(3650);
                    provider.update(&self.old, &KeyUpdate::new().expiry(Expiry::At(expiry))).await?;
                }
                if let Some(users) = &self.users {
                    users.work().await;
                    rotate = rotate.unused_for(UNUSED_FOR).grace(Duration::from_secs(300));
                    rotate.expire_old = false;
                }
                rotate.timing.settle_seconds = 30;
                rotate.timing.clock_seconds = self.wrong_by.num_seconds().unsigned_abs() + 300;
                rotate.timing.verify_seconds = 20;
                rotate.timing.confirm_seconds = 20;
                let plan = rotator.plan(&rotate).await?;
                heard::add(&(&plan, plan.steps(), serde_json::to_string(&plan)));
                rotator.start(plan).await?.id
            }
        };
        rotator.resume(&id).await
    }

    fn role(&self) -> &'static str {
        match self.vendor.service {
            Service::Spartera(..) => "3",
            Service::Monad(_) => "role-reader",
        }
    }

    /// Runs a process until it ends, or something happens to it. A process that stands still is overtaken by another,
    /// which finds the lease as it is or, with `later`, at its end; then it goes on.
    pub(crate) async fn run(&self, gate: &Gate, later: bool) -> Option<Result<Record, RotateError>> {
        let mut process = pin!(self.rotate(gate));
        let stands_still = async {
            gate.reached().await;
            gate.event() == Some(Event::Pause)
        };
        tokio::select! {
            ended = &mut process => return Some(ended),
            is_alive = stands_still => {
                if !is_alive {
                    return None;
                }
            }
        }
        if later {
            self.vendor.clock.advance(LEASE + Duration::from_secs(1));
        }
        let overtaken = self.rotate(&self.gate(None)).await;
        let passed = gate.passed();
        let has_passed = |what: &str| passed.iter().any(|place| place == what);
        // Of one that is finished, anybody may be told.
        if let (false, Ok(_)) = (later, &overtaken)
            && has_passed("after journal take")
            && !["after journal done", "after journal aborted", "after journal release"]
                .iter()
                .any(|place| has_passed(place))
        {
            self.lineage.violate("a second rotator went on while the first had the lease".to_owned());
        }
        gate.release();
        Some(process.await)
    }

    /// Goes on with new processes until the rotation is finished.
    pub(crate) async fn finish(&self) -> Record {
        for _ in 0..60 {
            match self.rotate(&self.gate(None)).await {
                Ok(record) if record.state.is_finished() => return record,
                Ok(record) => {
                    self.lineage.violate(format!("it does not go on: {:?}", record.state));
                    return record;
                }
                // Whoever had the lease may be gone.
                Err(_) => self.vendor.clock.advance(Duration::from_secs(60)),
            }
        }
        panic!("there is no end to it: {:?}", self.rotate(&self.gate(None)).await)
    }

    /// What has to hold in the end. Returns all that ever did not.
    pub(crate) async fn judge(&self, record: &Record) -> Vec<String> {
        let emulator = &self.vendor.emulator;
        let violate = |violation: String| self.lineage.violate(violation);
        let keys = emulator.keys();
        self.judge_what_was_told();
        if self.vendor.strategy == Strategy::InPlace {
            return self.judge_in_place(record).await;
        }
        let history = self.journal.history(&record.id).await.unwrap();
        // Not those that were given up before anything was sent with them: all that ever were.
        let marks: BTreeSet<_> = history.iter().flat_map(|record| record.marks.iter().cloned()).collect();
        let is_ours = |key: &&ExistingKey| {
            let name = key.name.as_deref().unwrap_or_default();
            key.id == self.lineage.old || marks.iter().any(|mark| name.ends_with(mark.as_str()))
        };
        let alive: Vec<_> = keys.iter().filter(is_ours).filter(|key| key.live_secrets > 0).collect();
        if alive.len() != 1 {
            violate(format!("{} keys of the lineage are alive: {alive:?}", alive.len()));
        }
        let owner = self.lineage.current().and_then(|secret| self.lineage.owner(&secret));
        if owner.as_ref().map(|key| &key.id) != alive.first().map(|key| &key.id) {
            violate(format!("the sink holds the secret of {owner:?}, and {alive:?} is alive"));
        }
        match &record.state {
            State::Done { key, .. } if alive.first().is_some_and(|alive| alive.id == key.as_str()) => {}
            State::Aborted { .. } if alive.first().is_some_and(|alive| alive.id == self.lineage.old) => {
                emulator.clear_faults();
                let old = self.vendor.provider.get(&self.old).await.unwrap();
                if old.expires_at().map(ToString::to_string) != record.plan.old.expires_at {
                    violate(format!("the old key was left to expire at {:?}", old.expires_at()));
                }
            }
            state => violate(format!("it ended as {state:?}, and {alive:?} is alive")),
        }
        for mark in &marks {
            // Whoever was held up before it put one there, and overtaken, leaves that of a key which is gone.
            let pending = self.lineage.sink.pending(mark).await.unwrap();
            if pending.is_some_and(|secret| self.lineage.owner(secret.expose()).is_some()) {
                violate("the secret of a key still waits in the sink".to_owned());
            }
            if self.lineage.sink.previous(mark).await.unwrap().is_some() {
                violate("the old secret is still in the sink".to_owned());
            }
        }
        if record.discards.iter().any(|discard| discard.confirmed.is_none()) {
            violate(format!("a key that has to go is not known to be gone: {:?}", record.discards));
        }
        for id in &self.others {
            if !keys.iter().any(|key| key.id == *id && key.status == KeyStatus::Active) {
                violate(format!("key {id} is gone, which is none of the rotation's"));
            }
        }
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
        self.lineage.violations.lock().unwrap().iter().cloned().collect()
    }

    /// That no secret was said, logged or planned: neither of the lineage's, nor the one that is used here.
    fn judge_what_was_told(&self) {
        let (spartera, monad) = (self.vendor.emulator.spartera(), self.vendor.emulator.monad());
        let mut secrets: Vec<_> = self.lineage.marks.lock().unwrap().keys().cloned().collect();
        secrets.extend([
            self.lineage.old_secret.clone(),
            spartera.admin_key().to_owned(),
            monad.admin_key().to_owned(),
        ]);
        if secrets.iter().any(|secret| heard::has(secret)) {
            self.lineage.violate("a secret was told".to_owned());
        }
        if !heard::has("api_keyring.provider=") {
            self.lineage.violate("nobody listened".to_owned());
        }
    }

    /// The same in place: the one key of the name has one secret, which is the sink's.
    async fn judge_in_place(&self, record: &Record) -> Vec<String> {
        let violate = |violation: String| self.lineage.violate(violation);
        self.vendor.emulator.clear_faults();
        let keys: Vec<_> =
            self.vendor.emulator.keys().into_iter().filter(|key| !self.others.contains(&key.id)).collect();
        match &keys[..] {
            [key] if key.live_secrets == 1 => match &record.state {
                State::Done { key: new, .. } if key.id == new.as_str() => {}
                State::Aborted { .. } if key.id == self.lineage.old && record.marks.is_empty() => {}
                state => violate(format!("it ended as {state:?}, and {key:?} is alive")),
            },
            keys => violate(format!("not one secret works: {keys:?}")),
        }
        let current = self.lineage.sink.current().await.unwrap().unwrap();
        if !self.vendor.provider.accepts(&current).await.unwrap() {
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
        self.lineage.violations.lock().unwrap().iter().cloned().collect()
    }

    /// Whether the old key was left alone until the grace was over and the new one had been seen to work once more.
    fn judge_retirement(&self, history: &[Record]) {
        let emulator = &self.vendor.emulator;
        let ends = [ChangeKind::Revoked, ChangeKind::Deleted];
        let changes = emulator.changes();
        let ended = changes.iter().find(|change| change.key_id == self.lineage.old && ends.contains(&change.kind));
        let Some(ended) = ended else { return };
        let promoted = history.iter().rev().find_map(|record| match &record.state {
            State::Promoted { new, until } => Some((new.key.to_string(), *until, record.time - self.wrong_by)),
            _ => None,
        });
        let Some((key, until, promoted_at)) = promoted else {
            return self.lineage.violate("the old key was retired before anything was promoted".to_owned());
        };
        // Whoever's clock is wrong has the grace end at a wrong time.
        if ended.time < until && self.wrong_by.is_zero() {
            self.lineage.violate(format!("the old key was retired at {}, before {until}", ended.time));
        }
        let works = |seen: &emulator::SeenRequest| {
            let begun = if self.wrong_by.is_zero() { until } else { promoted_at };
            seen.authenticated_as.as_deref() == Some(&*key) && seen.time >= begun && seen.time <= ended.time
        };
        if !emulator.requests().iter().any(works) {
            self.lineage.violate("the old key was retired without a look at the new one".to_owned());
        }
        if let Some(violation) = self.users.as_ref().and_then(|users| users.judge(ended.time, promoted_at)) {
            self.lineage.violate(violation);
        }
    }

    /// Takes the lineage away, so that the next rotation's lists are no longer.
    async fn clean_up(&self, ids: &[String]) {
        self.vendor.emulator.clear_faults();
        for id in ids {
            drop(self.vendor.provider.delete(&id.parse().unwrap()).await);
        }
    }
}
