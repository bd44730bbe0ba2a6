//! Somebody interferes with a rotation whose process died, and an operator finds a way out.

use std::time::Duration;

use api_keyring::{KeyId, Mark, NewKey, Provider as _, Regeneration, Secret};
use api_keyring_emulator::{Fault, KeyStatus, Revision, SparteraShape};
use api_keyring_rotation::{Journal as _, Record, RotateError, Rotator, Sink as _, Slot, Store as _, Strategy};
use chrono::TimeDelta;

use crate::crashes::{Cut, Tally, cut_points, setting};
use crate::cut_points::Event;
use crate::scenario::{LEASE, Scenario, Service, Vendor};

/// What somebody does to a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interference {
    /// Puts the working secret of another key into the current slot.
    ForeignSecret,
    /// Empties the pending slots.
    EmptyPending,
    /// Puts a foreign secret into the current slot, and empties the pending slots.
    ForeignSecretInstead,
    /// Ends the new secret.
    EndNew,
    /// Deletes the old key. In place, this is the key itself.
    EndOld,
    /// Deletes both keys.
    EndBoth,
    /// Deletes the old key, and puts a foreign secret into the current slot.
    ForeignSecretAndEndOld,
    /// Makes the old key outlive its retirement for a long time.
    OldLingers,
}

const INTERFERENCES: [Interference; 8] = [
    Interference::ForeignSecret,
    Interference::EmptyPending,
    Interference::ForeignSecretInstead,
    Interference::EndNew,
    Interference::EndOld,
    Interference::EndBoth,
    Interference::ForeignSecretAndEndOld,
    Interference::OldLingers,
];

/// What the operator tries first when the rotation needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// Restores the sink, and resumes.
    PutRight,
    Abort,
    AbortLeavingSink,
    Waive,
}

const RESPONSES: [Response; 4] = [Response::PutRight, Response::Abort, Response::AbortLeavingSink, Response::Waive];

/// The content of the sink before an interference.
pub(crate) struct SinkBefore {
    current: Option<Secret>,
    pending: Vec<(Mark, Secret)>,
}

impl Scenario<'_> {
    pub(crate) async fn record(&self) -> Option<Record> {
        let id = self.begun.lock().unwrap().clone()?;
        self.journal.load(&id).await.unwrap()
    }

    /// Aborts the rotation in a process that dies at this cut point.
    async fn crash_while_aborting(&self, number: usize) {
        let Some(record) = self.record().await else { return };
        self.vendor.clock.advance(LEASE + Duration::from_secs(1));
        let cut_points = self.cut_points(Some((number, Event::Crash)));
        let rotator = self.process(&cut_points);
        tokio::select! {
            aborted = rotator.abort(&record.id, "an operator aborts it") => drop(aborted),
            () = cut_points.reached() => {}
        }
    }

    /// Interferes, and returns what the sink held before.
    pub(crate) async fn interfere(&self, interference: Interference) -> SinkBefore {
        let record = self.record().await;
        let sink = &self.lineage.sink;
        let mut before = SinkBefore { current: sink.current().await.unwrap(), pending: Vec::new() };
        for mark in record.iter().flat_map(|record| &record.marks) {
            if let Some(secret) = sink.pending(mark).await.unwrap() {
                before.pending.push((mark.clone(), secret));
            }
        }
        let new = record.as_ref().and_then(|record| record.state.new_key());
        match interference {
            Interference::ForeignSecret => self.put_foreign_secret().await,
            Interference::EmptyPending => self.empty_pending(&before).await,
            Interference::ForeignSecretInstead => {
                self.put_foreign_secret().await;
                self.empty_pending(&before).await;
            }
            Interference::EndNew => self.end_new(new).await,
            Interference::EndOld => self.delete(&self.old).await,
            Interference::EndBoth => {
                self.end_new(new).await;
                self.delete(&self.old).await;
            }
            Interference::ForeignSecretAndEndOld => {
                self.put_foreign_secret().await;
                self.delete(&self.old).await;
            }
            Interference::OldLingers => {
                for fault in ["delete:linger=400:1", "spartera.revoke:linger=400:1", "regenerate:linger=400:1"] {
                    self.vendor.emulator.inject(fault.parse::<Fault>().unwrap());
                }
            }
        }
        before
    }

    async fn put_foreign_secret(&self) {
        let role = if self.vendor.is_spartera() { "3" } else { "role-reader" };
        let new = NewKey::new("foreign").role(role).expires_in(TimeDelta::days(90));
        let foreign = self.vendor.provider.create(&new).await.unwrap();
        self.lineage.sink.write(&Slot::Current, foreign.secret()).await.unwrap();
    }

    async fn empty_pending(&self, before: &SinkBefore) {
        for (mark, _) in &before.pending {
            self.lineage.sink.remove(&Slot::Pending(mark.clone())).await.unwrap();
        }
    }

    async fn end_new(&self, new: Option<&KeyId>) {
        match (self.vendor.strategy, new) {
            (Strategy::Overlap, Some(new)) => self.delete(new).await,
            // Somebody else requests a secret, and loses it.
            (_, Some(new)) => drop(self.vendor.provider.regenerate(new, &Regeneration::new()).await),
            (_, None) => {}
        }
    }

    async fn delete(&self, key: &KeyId) {
        drop(self.vendor.provider.delete(key).await);
    }

    async fn restore(&self, before: &SinkBefore) {
        if let Some(current) = &before.current {
            self.lineage.sink.write(&Slot::Current, current).await.unwrap();
        }
        for (mark, secret) in &before.pending {
            self.lineage.sink.put(mark, secret).await.unwrap();
        }
    }

    /// Resumes until the rotation is finished. If it needs attention, tries the response first, then every other way out.
    pub(crate) async fn find_way_out(&self, response: Response, before: &SinkBefore) -> Option<Record> {
        let mut ways = vec![response];
        ways.extend(RESPONSES.into_iter().filter(|other| *other != response));
        let mut ways = ways.into_iter();
        for _ in 0..60 {
            let Ok(record) = self.resume_or_begin().await else {
                self.vendor.clock.advance(Duration::from_secs(60));
                continue;
            };
            if record.state.is_finished() {
                return Some(record);
            }
            let way = ways.next()?;
            let rotator = self.process(&self.unchecked_cut_points());
            // A refusal leads to the next way out.
            drop(self.try_way_out(&rotator, way, &record, before).await);
        }
        None
    }

    async fn try_way_out(
        &self,
        rotator: &Rotator,
        way: Response,
        record: &Record,
        before: &SinkBefore,
    ) -> Result<Record, RotateError> {
        match way {
            Response::PutRight => {
                self.restore(before).await;
                rotator.resume(&record.id).await
            }
            Response::Abort => rotator.abort(&record.id, "an operator aborts it").await,
            Response::AbortLeavingSink => rotator.abort_leaving_sink(&record.id, "an operator aborts it").await,
            Response::Waive => rotator.waive_evidence(&record.id, "an operator knows better").await,
        }
    }

    /// Checks that the interference left at most one living key of the lineage, and no other key behind.
    pub(crate) async fn judge_interference(&self, record: Option<&Record>) -> Vec<String> {
        let Some(record) = record else {
            let state = self.record().await.map(|record| record.state);
            self.lineage.violate(format!("there is no way out of {state:?}"));
            return self.violations();
        };
        let history = self.journal.history(&record.id).await.unwrap();
        self.judge_transitions(&history);
        self.judge_leaks();
        let keys = self.vendor.emulator.keys();
        let ours = keys.iter().filter(|key| !self.others.contains(&key.id) && key.name.as_deref() != Some("foreign"));
        // The secret of a revoked key may linger: a fault does that, and a waiver accepts it.
        let alive: Vec<_> = ours.filter(|key| key.status == KeyStatus::Active && key.live_secrets > 0).collect();
        if alive.len() > 1 {
            self.lineage.violate(format!("{alive:?} are alive after {:?}", record.state));
        }
        let all: Vec<_> = keys.iter().filter(|key| !self.others.contains(&key.id)).map(|key| key.id.clone()).collect();
        self.clean_up(&all).await;
        self.violations()
    }
}

/// Crashes a rotation at these cut points, interferes in every way, and responds in every way.
pub(crate) async fn crash_and_interfere(vendor: &Vendor, points: impl Iterator<Item = usize>, tally: &mut Tally) {
    for number in points {
        let crash = async |scenario: &Scenario<'_>| Cut { number, event: Event::Crash }.apply(scenario).await;
        interfere_after(vendor, crash, &format!("crash at {number}"), tally).await;
    }
}

/// Crashes a process that aborts a promoted rotation at these cut points, then interferes and responds in every way.
pub(crate) async fn abort_and_interfere(vendor: &Vendor, points: impl Iterator<Item = usize>, tally: &mut Tally) {
    let number =
        cut_points(vendor, &[], tally).await.iter().position(|point| point == "after journal promoted").unwrap();
    for second in points {
        let crash = async |scenario: &Scenario<'_>| {
            Cut { number, event: Event::Crash }.apply(scenario).await;
            scenario.crash_while_aborting(second).await;
        };
        interfere_after(vendor, crash, &format!("abort crashes at {second}"), tally).await;
    }
}

async fn interfere_after(vendor: &Vendor, crash: impl AsyncFn(&Scenario<'_>), what: &str, tally: &mut Tally) {
    for interference in INTERFERENCES {
        for response in RESPONSES {
            let scenario = vendor.key(&[]);
            crash(&scenario).await;
            if scenario.record().await.is_none() {
                continue; // The process died before the rotation began.
            }
            let before = scenario.interfere(interference).await;
            let record = scenario.find_way_out(response, &before).await;
            let violations = scenario.judge_interference(record.as_ref()).await;
            tally.add(&format!("{:?}, {what}, {interference:?}, {response:?}", vendor.service), violations);
        }
    }
}

async fn interferences(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let count = cut_points(&vendor, &[], &mut tally).await.len();
    let stride = usize::try_from(setting("ROTATION_STRIDE").unwrap_or(8)).unwrap();
    crash_and_interfere(&vendor, (0..count).step_by(stride), &mut tally).await;
    if strategy == Strategy::Overlap {
        abort_and_interfere(&vendor, (0..16).step_by(stride), &mut tally).await;
    }
    tally.report(&format!("interferences, {service:?}, {strategy:?}"));
}

#[tokio::test]
async fn every_rotation_at_spartera_has_a_way_out() {
    interferences(Service::Spartera(Revision::Current, SparteraShape::Documented), Strategy::Overlap).await;
}

#[tokio::test]
async fn every_rotation_at_monad_has_a_way_out() {
    interferences(Service::Monad(Revision::Current), Strategy::Overlap).await;
}

#[tokio::test]
async fn every_rotation_in_place_with_a_new_id_has_a_way_out() {
    interferences(Service::Monad(Revision::Documented), Strategy::InPlace).await;
}

#[tokio::test]
async fn every_rotation_in_place_has_a_way_out() {
    interferences(Service::Monad(Revision::Current), Strategy::InPlace).await;
}
