//! The crash search: every schedule of one or two events.

use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::Strategy;
use chrono::TimeDelta;

use crate::cut_points::Event;
use crate::scenario::{Reuse, Scenario, Service, Successor, Vendor};

/// Counts schedules, and keeps their violations.
#[derive(Default)]
pub(crate) struct Tally {
    schedules: usize,
    violations: Vec<String>,
}

impl Tally {
    /// Finishes a scenario, and judges it.
    pub(crate) async fn judge(&mut self, schedule: String, scenario: Scenario<'_>) {
        let record = scenario.finish().await;
        self.add(&schedule, scenario.judge(&record).await);
    }

    /// Counts a schedule with its violations.
    pub(crate) fn add(&mut self, schedule: &str, violations: Vec<String>) {
        self.schedules += 1;
        self.violations.extend(violations.into_iter().map(|violation| format!("{schedule}: {violation}")));
    }

    #[track_caller]
    pub(crate) fn report(&self, what: &str) {
        println!("{what}: {} schedules, {} violations", self.schedules, self.violations.len());
        assert!(self.violations.is_empty(), "{what}: {:#?}", &self.violations[..self.violations.len().min(10)]);
    }
}

/// Returns the cut points that an undisturbed rotation passes.
pub(crate) async fn cut_points(vendor: &Vendor, faults: &[&str], tally: &mut Tally) -> Vec<String> {
    let scenario = vendor.key(faults);
    let cut_points = scenario.cut_points(None);
    drop(scenario.run(&cut_points).await);
    tally.judge("no event".to_owned(), scenario).await;
    cut_points.passed()
}

/// The events at a cut point.
const EVENTS: [Event; 4] = [Event::Crash, Event::Lose, Event::Pause, Event::PauseBeyondLease];

/// The faults that are in force during a schedule.
pub(crate) const FAULTS: [&[&str]; 11] = [
    &[],
    // The new key becomes valid late, or only on some servers at first, or is missing from the list for a while.
    &["create:late=2:1"],
    &["create:flaky:1"],
    &["create:stale-list=5"],
    // The old key works for a while after its retirement.
    &["delete:linger=3:1", "spartera.revoke:linger=3:1"],
    &["create:status=429,retry-after=1:2", "delete:status=429:1", "spartera.revoke:status=429:1"],
    // The vendor acts, and answers with a failure.
    &["create:status-after=503:1", "delete:status-after=502:1", "spartera.revoke:status-after=504:1"],
    &["get:status=500:1@2", "list:status=503:2@2"],
    &["create:reset-after:2", "list:reset-before:1"],
    // The vendor's quota is used up.
    &["create:quota=1:1"],
    // The vendor acts, and a gateway answers with a refusal.
    &["create:html=404:1", "create:stale-list=5"],
];

/// The same for rotations in place.
pub(crate) const IN_PLACE_FAULTS: [&[&str]; 10] = [
    &[],
    &["regenerate:late=2:1"],
    &["regenerate:flaky:1"],
    &["regenerate:stale-list=5"],
    &["regenerate:linger=3:1"],
    &["regenerate:status=429,retry-after=1:1"],
    &["regenerate:status-after=503:1", "get:status=500:1@2"],
    &["regenerate:reset-after:2", "list:reset-before:1"],
    &["regenerate:html=403:1"],
    &["regenerate:status-after=409:1"],
];

pub(crate) fn faults_of(strategy: Strategy) -> &'static [&'static [&'static str]] {
    if strategy == Strategy::InPlace { &IN_PLACE_FAULTS } else { &FAULTS }
}

pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// An event at the cut point with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) number: usize,
    pub(crate) event: Event,
}

impl Cut {
    /// Runs a process to which the event happens.
    pub(crate) async fn apply(self, scenario: &Scenario<'_>) {
        drop(scenario.run(&scenario.cut_points(Some((self.number, self.event)))).await);
    }
}

/// Returns each event at each of these cut points, or at one of every `stride`.
fn cuts(cut_points: &[String], stride: usize) -> impl Iterator<Item = Cut> {
    // The points before and after an effect come in pairs, and an even stride must not leave out one kind.
    let numbers = (0..cut_points.len()).filter(move |number| number / 2 % stride == cut_points.len() / 4 % stride);
    let cuts = numbers.flat_map(|number| EVENTS.map(|event| Cut { number, event }));
    cuts.filter(|cut| cut.event != Event::Lose || cut_points[cut.number].starts_with("after"))
}

/// Returns whether an event is the race that a vendor without conditional requests cannot exclude: a process looks at a
/// key, and is held up right before the request that ends it, while the key's id goes to a stranger.
///
/// `docs/rotation.md` tells users of it.
fn is_unavoidable(vendor: &Vendor, point: &str, event: Event) -> bool {
    let is_paused = matches!(event, Event::Pause | Event::PauseBeyondLease);
    let ends_a_key = ["before delete", "before revoke", "before update", "before regenerate"].contains(&point);
    matches!(vendor.reuse, Reuse::Strangers(_)) && is_paused && ends_a_key
}

/// Runs each event at each cut point, or at one of every `stride`.
pub(crate) async fn explore(vendor: &Vendor, faults: &[&str], stride: usize, tally: &mut Tally) {
    let cut_points = cut_points(vendor, faults, tally).await;
    for cut in cuts(&cut_points, stride) {
        if is_unavoidable(vendor, &cut_points[cut.number], cut.event) {
            continue;
        }
        let scenario = vendor.key(faults);
        cut.apply(&scenario).await;
        let Vendor { service, reuse, .. } = vendor;
        let point = &cut_points[cut.number];
        tally.judge(format!("{service:?} {reuse:?} {faults:?} {cut:?}, {point}"), scenario).await;
    }
}

/// One event. With faults, or with users, `ROTATION_STRIDE=1` runs it at every cut point; otherwise a sample.
async fn one_event(vendor: Vendor) {
    let Vendor { service, strategy, has_users, .. } = vendor;
    let mut tally = Tally::default();
    for faults in faults_of(strategy) {
        // Schedules with users take long.
        let stride = if faults.is_empty() { 1 } else { 13 } * if has_users { 3 } else { 1 };
        let stride = setting("ROTATION_STRIDE").unwrap_or(stride);
        explore(&vendor, faults, usize::try_from(stride).unwrap(), &mut tally).await;
    }
    tally.report(&format!("one event, {service:?}, {strategy:?}{}", if has_users { ", with users" } else { "" }));
}

/// Creates that the service carries out after the settle time, before the rotation ends.
const LATE_CREATES: [&[&str]; 3] =
    [&["create:held-up=31s:1"], &["create:held-up=50m:1"], &["create:held-up=31s:2", "create:held-up=20m:1"]];

/// One event in a rotation whose first creates arrive late.
async fn late_creates(service: Service) {
    let vendor = Vendor::start(service, Strategy::Overlap).await;
    let mut tally = Tally::default();
    let stride = usize::try_from(setting("ROTATION_STRIDE").unwrap_or(23)).unwrap();
    for faults in LATE_CREATES {
        explore(&vendor, faults, stride, &mut tally).await;
    }
    tally.report(&format!("late creates, {service:?}"));
}

/// A crash, after which a process resumes whose clock is an hour ahead or behind.
async fn wrong_clocks(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let lag: &[&str] =
        if strategy == Strategy::InPlace { &["regenerate:stale-list=2"] } else { &["create:stale-list=2"] };
    for faults in [&[], lag] {
        for number in 0..cut_points(&vendor, faults, &mut tally).await.len() {
            for hours in [-1, 1] {
                let mut scenario = vendor.key(faults);
                Cut { number, event: Event::Crash }.apply(&scenario).await;
                scenario.wrong_by = TimeDelta::hours(hours);
                tally.judge(format!("{faults:?} crash at {number}, then {hours} h off"), scenario).await;
            }
        }
    }
    tally.report(&format!("wrong clocks, {service:?}, {strategy:?}"));
}

/// Two events: the second happens to the process that resumes after the first. A seed chooses them.
async fn two_events(service: Service, strategy: Strategy) {
    let seed = setting("ROTATION_SEED").unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    for _ in 0..setting("ROTATION_SCHEDULES").unwrap_or(50) {
        let faults = faults_of(strategy)[random.usize(..faults_of(strategy).len())];
        let cuts = [0; 2].map(|_| {
            let event = EVENTS[random.usize(..EVENTS.len())];
            Cut { number: random.usize(..60), event }
        });
        let scenario = vendor.key(faults);
        for cut in cuts {
            cut.apply(&scenario).await;
        }
        tally.judge(format!("{faults:?} {cuts:?}"), scenario).await;
    }
    tally.report(&format!("two events, seed {seed}, {service:?}, {strategy:?}"));
}

/// Returns the stride between the cut points of a pair. A plain test run takes a sample.
fn pair_stride() -> usize {
    usize::try_from(setting("ROTATION_PAIR_STRIDE").unwrap_or(80)).unwrap()
}

/// Runs each first event, and after it each event at each cut point of the process that resumes, or aborts, the rotation.
async fn then_each(
    vendor: &Vendor,
    faults: &[&str],
    firsts: impl Iterator<Item = Cut>,
    successor: Successor,
    tally: &mut Tally,
) {
    let after_first = async |first: Cut| {
        let mut scenario = vendor.key(faults);
        first.apply(&scenario).await;
        scenario.successor = successor;
        scenario
    };
    for first in firsts {
        let scenario = after_first(first).await;
        let cut_points = scenario.cut_points(None);
        drop(scenario.run(&cut_points).await);
        tally.judge(format!("{:?} {faults:?} {first:?}", vendor.reuse), scenario).await;
        let points = cut_points.passed();
        for second in cuts(&points, pair_stride().div_ceil(2)) {
            if is_unavoidable(vendor, &points[second.number], second.event) {
                continue;
            }
            let scenario = after_first(first).await;
            second.apply(&scenario).await;
            let point = &points[second.number];
            tally.judge(format!("{:?} {faults:?} {first:?}, {second:?}, {point}", vendor.reuse), scenario).await;
        }
    }
}

/// Every pair of events. `ROTATION_PAIR_STRIDE=1` runs all of them, about forty thousand.
async fn every_two_events(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let cut_points = cut_points(&vendor, &[], &mut tally).await;
    then_each(&vendor, &[], cuts(&cut_points, pair_stride()), Successor::Resumes, &mut tally).await;
    tally.report(&format!("every two events, {service:?}, {strategy:?}"));
}

/// A crash at each cut point, after which a process aborts the rotation, and each event happens to that process.
pub(crate) async fn aborted(vendor: &Vendor, faults: &[&str], stride: usize, tally: &mut Tally) {
    let count = cut_points(vendor, faults, tally).await.len();
    let crashes = (0..count).step_by(stride).map(|number| Cut { number, event: Event::Crash });
    then_each(vendor, faults, crashes, Successor::Aborts, tally).await;
}

async fn aborted_anywhere(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    aborted(&vendor, &[], pair_stride().min(4), &mut tally).await;
    tally.report(&format!("aborted, {service:?}, {strategy:?}"));
}

/// A process pauses beyond its lease, another overtakes it and meets each event, and then the first continues.
pub(crate) async fn overtaken(vendor: &Vendor, faults: &[&str], stride: usize, tally: &mut Tally) {
    let points = cut_points(vendor, faults, tally).await;
    for number in (0..points.len()).filter(|number| number / 2 % stride == 0) {
        if !is_unavoidable(vendor, &points[number], Event::PauseBeyondLease) {
            overtaken_at(vendor, faults, (number, &points[number]), stride, tally).await;
        }
    }
}

/// A process pauses at this point.
pub(crate) async fn overtaken_at(
    vendor: &Vendor,
    faults: &[&str],
    (number, point): (usize, &str),
    stride: usize,
    tally: &mut Tally,
) {
    let pause = Some((number, Event::PauseBeyondLease));
    let scenario = vendor.key(faults);
    let overtaker = scenario.cut_points(None);
    drop(scenario.run_overtaken_by(&scenario.cut_points(pause), &overtaker).await);
    let overtaken = format!("{:?} {faults:?} overtaken at {number}, {point}", vendor.reuse);
    tally.judge(overtaken.clone(), scenario).await;
    for second in
        cuts(&overtaker.passed(), stride - stride / 4).filter(|cut| matches!(cut.event, Event::Crash | Event::Lose))
    {
        let scenario = vendor.key(faults);
        let overtaker = scenario.cut_points(Some((second.number, second.event)));
        drop(scenario.run_overtaken_by(&scenario.cut_points(pause), &overtaker).await);
        tally.judge(format!("{overtaken}, then {second:?}"), scenario).await;
    }
}

/// A process is overtaken by one that dies or loses an answer.
async fn overtaken_by_a_failing_process(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    overtaken(&vendor, &[], pair_stride().min(9), &mut tally).await;
    tally.report(&format!("overtaken, {service:?}, {strategy:?}"));
}

/// After every schedule one key of the lineage is left, and its secret is in the sink.
macro_rules! at {
    ($($name:ident $strategy:ident $service:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn one_event_anywhere() {
                one_event(Vendor::start($service, Strategy::$strategy).await).await;
            }

            #[tokio::test]
            async fn a_wrong_clock() {
                wrong_clocks($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn two_events_with_faults() {
                two_events($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn an_abort_anywhere() {
                aborted_anywhere($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn an_overtaker_that_fails() {
                overtaken_by_a_failing_process($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn every_pair_of_events() {
                every_two_events($service, Strategy::$strategy).await;
            }
        }
    )*};
}

at! {
    documented_spartera Overlap Service::Spartera(Revision::Documented, SparteraShape::Documented);
    documented_spartera_of_the_guide Overlap Service::Spartera(Revision::Documented, SparteraShape::Guide);
    current_spartera Overlap Service::Spartera(Revision::Current, SparteraShape::Documented);
    current_spartera_of_the_guide Overlap Service::Spartera(Revision::Current, SparteraShape::Guide);
    documented_monad Overlap Service::Monad(Revision::Documented);
    documented_monad_in_place InPlace Service::Monad(Revision::Documented);
    current_monad Overlap Service::Monad(Revision::Current);
    current_monad_in_place InPlace Service::Monad(Revision::Current);
}

/// The same for creates that the service carries out late.
mod with_late_creates {
    use super::*;

    #[tokio::test]
    async fn of_current_spartera() {
        late_creates(Service::Spartera(Revision::Current, SparteraShape::Documented)).await;
    }

    #[tokio::test]
    async fn of_current_spartera_of_the_guide() {
        late_creates(Service::Spartera(Revision::Current, SparteraShape::Guide)).await;
    }

    #[tokio::test]
    async fn of_current_monad() {
        late_creates(Service::Monad(Revision::Current)).await;
    }
}

/// The same for keys in use, at the services that show their use.
mod with_users {
    use super::*;

    #[tokio::test]
    async fn of_current_spartera() {
        let service = Service::Spartera(Revision::Current, SparteraShape::Documented);
        one_event(Vendor::with_users(service).await).await;
    }

    #[tokio::test]
    async fn of_current_spartera_of_the_guide() {
        let service = Service::Spartera(Revision::Current, SparteraShape::Guide);
        one_event(Vendor::with_users(service).await).await;
    }

    #[tokio::test]
    async fn of_current_monad() {
        one_event(Vendor::with_users(Service::Monad(Revision::Current)).await).await;
    }
}
