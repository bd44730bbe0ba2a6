//! Scenarios of the crash search: a vendor, a key to rotate, and the judgement of the result.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{Clock, Expiry, KeyId, KeyUpdate, ManualClock, Provider, ProviderExt as _, Sleep, Spartera};
use api_keyring_emulator::{self as emulator, Emulator, Fault, ReuseIds, Revision, SparteraShape};
use api_keyring_rotation::{
    Journal as _, MemoryJournal, MemorySink, Record, RotateError, RotateKey, RotationId, Rotator, State, StateKind,
    Store as _, Strategy,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::cut_points::{CutJournal, CutPoints, CutStore, Event};
use crate::fixture::monad;
use crate::leaks;
use crate::lineage::Lineage;
use crate::strangers::Strangers;
use crate::users::{UNUSED_FOR, Users};

/// A service, in one of its revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Spartera(Revision, SparteraShape),
    Monad(Revision),
}

/// Which ids new keys get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Ids that no key had before.
    Never,
    /// Ids of deleted keys. The rotation's own new keys get them.
    OwnKeys(ReuseIds),
    /// Ids of deleted keys. A stranger takes each of them at once.
    Strangers(ReuseIds),
}

/// How long a lease lasts in these scenarios.
pub(crate) const LEASE: Duration = Duration::from_secs(300);

/// Makes the emulator read the rotators' clock.
#[derive(Debug)]
struct SameClock(ManualClock);

impl emulator::Clock for SameClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }
}

/// The rotators' clock, set wrong by a difference. Whenever a rotator waits, the users work.
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

/// A running service, at which many keys are rotated.
pub(crate) struct Vendor {
    pub(crate) service: Service,
    pub(crate) strategy: Strategy,
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) clock: ManualClock,
    /// Whether a rotation must wait until the key's users have the new secret.
    pub(crate) has_users: bool,
    /// Which ids new keys get, and whether somebody else takes each freed id.
    pub(crate) reuse: Reuse,
    /// The changes of state that its rotations have made.
    pub(crate) transitions: Mutex<BTreeSet<(StateKind, StateKind)>>,
}

impl Vendor {
    /// Starts a service whose keys have users. Rotations wait until the users use the new key.
    pub(crate) async fn with_users(service: Service) -> Self {
        Self { has_users: true, ..Self::start(service, Strategy::Overlap).await }
    }

    /// Starts a service.
    pub(crate) async fn start(service: Service, strategy: Strategy) -> Self {
        Self::reusing(service, strategy, Reuse::Never).await
    }

    /// Starts a service that may give the ids of deleted keys to new ones.
    pub(crate) async fn reusing(service: Service, strategy: Strategy, reuse: Reuse) -> Self {
        let clock = ManualClock::new(Utc::now());
        let builder = Emulator::builder().clock(SameClock(clock.clone())).seed(7);
        let builder = match service {
            Service::Spartera(revision, shape) => builder.revision(revision).spartera_shape(shape),
            Service::Monad(revision) => builder.revision(revision),
        };
        let builder = match reuse {
            Reuse::Never => builder,
            Reuse::OwnKeys(reuse) | Reuse::Strangers(reuse) => builder.reuse_ids(reuse),
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
        let transitions = Mutex::default();
        Self { service, strategy, emulator, provider, clock, has_users: false, reuse, transitions }
    }

    pub(crate) fn is_spartera(&self) -> bool {
        matches!(self.service, Service::Spartera(..))
    }

    /// Creates a key to rotate, whose secret is in a sink, and injects these faults.
    pub(crate) fn key(&self, faults: &[&str]) -> Scenario<'_> {
        let add = |count| match self.service {
            Service::Spartera(..) => self.emulator.spartera().add_keys(count),
            Service::Monad(_) => self.emulator.monad().add_keys(count),
        };
        let seeded = add(1);
        let old = seeded[0].id.clone();
        let old_serial = self.emulator.keys().into_iter().find(|key| key.id == old).unwrap().serial;
        // Vendors show times in seconds.
        self.clock.advance(Duration::from_secs(1));
        self.emulator.clear_changes();
        self.emulator.clear_requests();
        self.emulator.clear_faults();
        leaks::begin();
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
            old_serial,
            old_secret: seeded[0].secret.clone(),
            marks: Arc::default(),
            violations: Arc::default(),
        };
        let begun = Arc::clone(&lineage.begun);
        let new_users = || Users::new(Arc::clone(&self.provider), lineage.clone(), self.clock.clone());
        let users = self.has_users.then(new_users);
        let (old, wrong_by) = (old.parse().unwrap(), TimeDelta::zero());
        let strangers = match self.reuse {
            Reuse::Strangers(reuse) => {
                Some(Strangers::new(Arc::clone(&self.emulator), Arc::clone(&self.provider), self.service, reuse))
            }
            _ => None,
        };
        let successor = Successor::Resumes;
        Scenario {
            vendor: self,
            journal,
            lineage,
            users,
            old,
            others,
            begun,
            wrong_by,
            successor,
            strangers,
            elsewhere: Mutex::default(),
            is_unwritable: AtomicBool::new(false),
            access: Arc::new(Mutex::new("the service".to_owned())),
        }
    }
}

/// What a process does with a rotation that another one began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// It resumes the rotation.
    Resumes,
    /// It aborts the rotation, if there is a way back.
    Aborts,
}

/// One key's rotation.
pub(crate) struct Scenario<'a> {
    pub(crate) vendor: &'a Vendor,
    pub(crate) journal: MemoryJournal,
    pub(crate) lineage: Lineage,
    pub(crate) users: Option<Users>,
    pub(crate) old: KeyId,
    /// The ids of all other keys.
    pub(crate) others: BTreeSet<String>,
    pub(crate) begun: Arc<Mutex<Option<RotationId>>>,
    /// How wrong the clock of the next process is.
    pub(crate) wrong_by: TimeDelta,
    /// What the next process does with the rotation.
    pub(crate) successor: Successor,
    /// Somebody who takes each freed id.
    pub(crate) strangers: Option<Strangers>,
    /// The sink under the same name that the next process finds, if it runs on another host.
    pub(crate) elsewhere: Mutex<Option<MemorySink>>,
    /// Whether the next process cannot write to the sink.
    pub(crate) is_unwritable: AtomicBool,
    /// Who may use the sink.
    pub(crate) access: Arc<Mutex<String>>,
}

impl Scenario<'_> {
    /// Creates a process that rotates.
    pub(crate) fn process(&self, cut_points: &CutPoints) -> Rotator {
        let provider: Arc<dyn Provider> = match &self.strangers {
            Some(strangers) => Arc::new(Arc::clone(&self.vendor.provider).layered(strangers.clone())),
            None => Arc::clone(&self.vendor.provider),
        };
        let provider = provider.layered(cut_points.clone()).traced();
        let journal = CutJournal {
            journal: self.journal.clone(),
            cut_points: cut_points.clone(),
            begun: Arc::clone(&self.begun),
        };
        let sink = CutStore {
            address: self.lineage.sink.address(),
            sink: self.elsewhere.lock().unwrap().clone().unwrap_or_else(|| self.lineage.sink.clone()),
            is_unwritable: self.is_unwritable.load(Ordering::Relaxed),
            access: Arc::clone(&self.access),
            expected_access: None,
            cut_points: cut_points.clone(),
            marks: Arc::clone(&self.lineage.marks),
        };
        Rotator::new(provider, sink, journal)
            .clock(WrongClock(self.vendor.clock.clone(), self.wrong_by, self.users.clone()))
            .lease(LEASE)
            .patience(Duration::from_secs(36_000))
    }

    /// Creates cut points at which this event happens, and which check the invariants.
    pub(crate) fn cut_points(&self, event: Option<(usize, Event)>) -> CutPoints {
        let lineage = self.lineage.clone();
        CutPoints::new(event, move |point| {
            if let Err(violation) = lineage.check(point) {
                lineage.violate(format!("{point}: {violation}"));
            }
        })
    }

    /// Creates cut points that check nothing, for scenarios in which somebody breaks the invariants on purpose.
    pub(crate) fn unchecked_cut_points(&self) -> CutPoints {
        self.unchecked(None)
    }

    /// Creates cut points that check nothing, at which this event happens.
    pub(crate) fn unchecked(&self, event: Option<(usize, Event)>) -> CutPoints {
        CutPoints::new(event, |_| {})
    }

    /// Resumes without checks until the rotation is finished or needs attention.
    pub(crate) async fn finish_unchecked(&self) -> Record {
        for _ in 0..60 {
            match self.resume_or_begin().await {
                Ok(record) if record.state.is_finished() => return record,
                Ok(record) if matches!(record.state, State::NeedsAttention { .. }) => return record,
                _ => self.vendor.clock.advance(Duration::from_secs(60)),
            }
        }
        panic!("the rotation never ends: {:?}", self.resume_or_begin().await)
    }

    /// Resumes the rotation, or begins it, without events and checks.
    pub(crate) async fn resume_or_begin(&self) -> Result<Record, RotateError> {
        self.rotate(&self.unchecked_cut_points()).await
    }

    /// Returns the violations so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lineage.violations.lock().unwrap().iter().cloned().collect()
    }

    /// Runs one process, and collects everything that it shows.
    async fn rotate(&self, cut_points: &CutPoints) -> Result<Record, RotateError> {
        let rotator = self.process(cut_points);
        leaks::observe(&rotator);
        let ended = self.rotate_or_resume(rotator).await;
        match &ended {
            Ok(record) => leaks::observe(record),
            Err(error) => leaks::observe_error(error),
        }
        ended
    }

    /// Resumes the rotation, or begins it.
    async fn rotate_or_resume(&self, rotator: Rotator) -> Result<Record, RotateError> {
        let begun = self.begun.lock().unwrap().clone();
        let written = match begun {
            Some(id) => self.journal.load(&id).await?,
            None => None,
        };
        let id = match written {
            Some(record) if record.state.is_finished() => return Ok(record),
            Some(record) if self.successor == Successor::Aborts => {
                match rotator.abort(&record.id, "a test aborts it").await {
                    Err(RotateError::Refused(_)) => record.id,
                    aborted => return aborted,
                }
            }
            Some(record) => record.id,
            None => {
                let rotate = self.request().await?;
                let plan = rotator.plan(&rotate).await?;
                leaks::observe(&(&plan, plan.steps(), serde_json::to_string(&plan)));
                rotator.start(plan).await?.id
            }
        };
        rotator.resume(&id).await
    }

    /// Begins the rotation with this rotator, and works on it for as long as the rotator has patience.
    pub(crate) async fn begin(&self, rotator: Rotator) {
        let plan = rotator.plan(&self.request().await.unwrap()).await.unwrap();
        let id = rotator.start(plan).await.unwrap().id;
        rotator.resume(&id).await.unwrap();
    }

    /// Returns the request for the rotation.
    async fn request(&self) -> Result<RotateKey, RotateError> {
        let mut rotate = RotateKey::new(self.old.clone()).role(self.role());
        rotate.strategy = self.vendor.strategy;
        // Only one of the services can change the expiry, and only for keys that have one.
        rotate.expire_old = matches!(self.vendor.service, Service::Spartera(_, SparteraShape::Guide));
        let provider = &self.vendor.provider;
        if rotate.expire_old && provider.get(&self.old).await?.expires_at().is_none() {
            // Later than any schedule moves this clock, because new keys' expiries follow the machine's clock.
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
        Ok(rotate)
    }

    fn role(&self) -> &'static str {
        match self.vendor.service {
            Service::Spartera(..) => "3",
            Service::Monad(_) => "role-reader",
        }
    }

    /// Runs a process until it ends or dies. If it pauses, another process overtakes it, and it continues after that.
    pub(crate) async fn run(&self, cut_points: &CutPoints) -> Option<Result<Record, RotateError>> {
        self.run_overtaken_by(cut_points, &self.cut_points(None)).await
    }

    /// Runs a process as [`run`](Self::run) does, and chooses what happens to the one that overtakes it.
    pub(crate) async fn run_overtaken_by(
        &self,
        cut_points: &CutPoints,
        overtaker: &CutPoints,
    ) -> Option<Result<Record, RotateError>> {
        let mut process = pin!(self.rotate(cut_points));
        tokio::select! {
            ended = &mut process => return Some(ended),
            () = cut_points.reached() => {}
        }
        match cut_points.event() {
            Some(Event::Pause) => {}
            Some(Event::PauseBeyondLease) => self.vendor.clock.advance(LEASE + Duration::from_secs(1)),
            _ => return None,
        }
        let overtaken = tokio::select! {
            ended = self.rotate(overtaker) => Some(ended),
            () = overtaker.reached() => None,
        };
        if let (Some(Event::Pause), Some(Ok(_))) = (cut_points.event(), overtaken) {
            self.judge_lease(&cut_points.passed());
        }
        cut_points.release();
        Some(process.await)
    }

    /// Checks that a second rotator did not succeed while the first, which passed these points, held the lease.
    fn judge_lease(&self, passed: &[String]) {
        let has_passed = |what: &str| passed.iter().any(|point| point == what);
        // Any process may read a finished rotation.
        let ends = ["after journal done", "after journal aborted", "after journal release"];
        if has_passed("after journal take") && !ends.into_iter().any(has_passed) {
            self.lineage.violate("a second rotator worked on the rotation while the first held the lease".to_owned());
        }
    }

    /// Returns whether a rotation in place needs attention, has requested nothing, and finds another key under the id, or
    /// another secret in the sink.
    fn is_replaced(&self, record: &Record) -> bool {
        let State::NeedsAttention { why, .. } = &record.state else { return false };
        let has_another_key = self.vendor.reuse != Reuse::Never && why.contains("is gone");
        let has_another_secret = why.contains("another rotation has replaced the secret");
        self.vendor.strategy == Strategy::InPlace && record.marks.is_empty() && (has_another_key || has_another_secret)
    }

    /// Resumes with new processes until the rotation is finished.
    pub(crate) async fn finish(&self) -> Record {
        for _ in 0..60 {
            match self.rotate(&self.cut_points(None)).await {
                Ok(record) if record.state.is_finished() => return record,
                // Another rotation has replaced the key since the plan was made.
                Ok(record) if self.is_replaced(&record) => {
                    let rotator = self.process(&self.cut_points(None));
                    drop(rotator.abort(&record.id, "the key was replaced").await);
                }
                Ok(record) => {
                    self.lineage.violate(format!("the rotation does not continue: {:?}", record.state));
                    return record;
                }
                // The holder of the lease may be dead.
                Err(_) => self.vendor.clock.advance(Duration::from_secs(60)),
            }
        }
        panic!("the rotation never ends: {:?}", self.rotate(&self.cut_points(None)).await)
    }
}
