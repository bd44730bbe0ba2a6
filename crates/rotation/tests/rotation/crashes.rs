//! Every schedule of one or two cuts.

use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::Strategy;
use chrono::TimeDelta;

use crate::gate::Event;
use crate::world::{Service, Vendor, World};

/// How many schedules there were, and what went wrong in which.
#[derive(Default)]
struct Tally {
    schedules: usize,
    violations: Vec<String>,
}

impl Tally {
    async fn judge(&mut self, schedule: String, world: World<'_>) {
        let record = world.finish().await;
        self.schedules += 1;
        for violation in world.judge(&record).await {
            self.violations.push(format!("{schedule}: {violation}"));
        }
    }

    #[track_caller]
    fn report(&self, what: &str) {
        println!("{what}: {} schedules, {} violations", self.schedules, self.violations.len());
        assert!(self.violations.is_empty(), "{what}: {:#?}", &self.violations[..self.violations.len().min(10)]);
    }
}

/// The places that a rotation passes when nothing happens.
async fn places(vendor: &Vendor, faults: &[&str], tally: &mut Tally) -> Vec<String> {
    let world = vendor.key(faults);
    let gate = world.gate(None);
    drop(world.run(&gate, false).await);
    tally.judge("nothing happens".to_owned(), world).await;
    gate.passed()
}

/// What may happen at a place, and whether the lease is over when another process comes.
const EVENTS: [(Event, bool); 4] =
    [(Event::Crash, false), (Event::Lose, false), (Event::Pause, false), (Event::Pause, true)];

/// The faults that go with every schedule, and what tells whether a service has them.
const FAULTS: [&[&str]; 11] = [
    &[],
    // The new key is valid late, here and there, or not in the list for a while.
    &["create:late=2:1"],
    &["create:flaky:1"],
    &["create:stale-list=5"],
    // The old one lingers.
    &["delete:linger=3:1", "spartera.revoke:linger=3:1"],
    &["create:status=429,retry-after=1:1", "delete:status=429:1", "spartera.revoke:status=429:1"],
    // Done, and not answered so.
    &["create:status-after=503:1", "delete:status-after=502:1", "spartera.revoke:status-after=504:1"],
    &["get:status=500:1@2", "list:status=503:2@2"],
    &["create:reset-after:2", "list:reset-before:1"],
    // There may be no more keys.
    &["create:quota=1:1"],
    // Done, and refused by somebody between here and there.
    &["create:html=404:1", "create:stale-list=5"],
];

/// The same, for keys that are given a new secret.
const IN_PLACE_FAULTS: [&[&str]; 10] = [
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

fn faults_of(strategy: Strategy) -> &'static [&'static [&'static str]] {
    if strategy == Strategy::InPlace { &IN_PLACE_FAULTS } else { &FAULTS }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Something that happens at a place, by its number.
#[derive(Clone, Copy, Debug)]
struct Cut {
    number: usize,
    event: Event,
    later: bool,
}

impl Cut {
    async fn befall(self, world: &World<'_>) {
        drop(world.run(&world.gate(Some((self.number, self.event))), self.later).await);
    }
}

/// Each event at each of these places, or at every so manyth.
fn cuts(places: &[String], stride: usize) -> impl Iterator<Item = Cut> {
    let numbers = (0..places.len()).filter(move |number| number % stride == places.len() / 2 % stride);
    let cuts = numbers.flat_map(|number| EVENTS.map(|(event, later)| Cut { number, event, later }));
    cuts.filter(|cut| cut.event != Event::Lose || places[cut.number].starts_with("after"))
}

/// Each event at each place, or at every so manyth.
async fn explore(vendor: &Vendor, faults: &[&str], stride: usize, tally: &mut Tally) {
    let places = places(vendor, faults, tally).await;
    for cut in cuts(&places, stride) {
        let world = vendor.key(faults);
        cut.befall(&world).await;
        tally.judge(format!("{:?} {faults:?} {cut:?}, {}", vendor.service, places[cut.number]), world).await;
    }
}

/// One event. With faults of the service, or with users, not at every place, unless `ROTATION_STRIDE=1` asks for it.
async fn one_event(vendor: Vendor) {
    let Vendor { service, strategy, has_users, .. } = vendor;
    let mut tally = Tally::default();
    for faults in faults_of(strategy) {
        // Users take their time.
        let stride = if faults.is_empty() { 1 } else { 7 } * if has_users { 3 } else { 1 };
        let stride = setting("ROTATION_STRIDE").unwrap_or(stride);
        explore(&vendor, faults, usize::try_from(stride).unwrap(), &mut tally).await;
    }
    tally.report(&format!("one event, {service:?}, {strategy:?}{}", if has_users { ", with users" } else { "" }));
}

/// A crash, after which somebody goes on whose clock is an hour ahead or behind.
async fn wrong_clocks(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let lag: &[&str] =
        if strategy == Strategy::InPlace { &["regenerate:stale-list=2"] } else { &["create:stale-list=2"] };
    for faults in [&[], lag] {
        for number in 0..places(&vendor, faults, &mut tally).await.len() {
            for hours in [-1, 1] {
                let mut world = vendor.key(faults);
                Cut { number, event: Event::Crash, later: false }.befall(&world).await;
                world.wrong_by = TimeDelta::hours(hours);
                tally.judge(format!("{faults:?} crash at {number}, then {hours} h off"), world).await;
            }
        }
    }
    tally.report(&format!("wrong clocks, {service:?}, {strategy:?}"));
}

/// Two events, the second of which befalls whoever goes on after the first. A seed chooses them, and repeats them.
async fn two_events(service: Service, strategy: Strategy) {
    let seed = setting("ROTATION_SEED").unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    for _ in 0..setting("ROTATION_SCHEDULES").unwrap_or(50) {
        let faults = faults_of(strategy)[random.usize(..faults_of(strategy).len())];
        let cuts = [0; 2].map(|_| {
            let (event, later) = EVENTS[random.usize(..EVENTS.len())];
            Cut { number: random.usize(..60), event, later }
        });
        let world = vendor.key(faults);
        for cut in cuts {
            cut.befall(&world).await;
        }
        tally.judge(format!("{faults:?} {cuts:?}"), world).await;
    }
    tally.report(&format!("two events, seed {seed}, {service:?}, {strategy:?}"));
}

/// How many places of a pair are passed over, so that it does not take long.
fn pair_stride() -> usize {
    usize::try_from(setting("ROTATION_PAIR_STRIDE").unwrap_or(40)).unwrap()
}

/// Each of these, and after it each event at each place that whoever goes on then passes, who may turn back.
async fn then_each(vendor: &Vendor, firsts: impl Iterator<Item = Cut>, undo: bool, tally: &mut Tally) {
    let befallen = async |first: Cut| {
        let mut world = vendor.key(&[]);
        first.befall(&world).await;
        world.undo = undo;
        world
    };
    for first in firsts {
        let world = befallen(first).await;
        let gate = world.gate(None);
        drop(world.run(&gate, false).await);
        tally.judge(format!("{first:?}"), world).await;
        for second in cuts(&gate.passed(), pair_stride()) {
            let world = befallen(first).await;
            second.befall(&world).await;
            tally.judge(format!("{first:?}, {second:?}"), world).await;
        }
    }
}

/// Each event at each place, and each after it. All of them, about forty thousand, with `ROTATION_PAIR_STRIDE=1`.
async fn every_two_events(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let places = places(&vendor, &[], &mut tally).await;
    then_each(&vendor, cuts(&places, pair_stride()), false, &mut tally).await;
    tally.report(&format!("every two events, {service:?}, {strategy:?}"));
}

/// A crash at each place, after which somebody turns back, to whom each event happens in turn.
async fn turned_back(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let count = places(&vendor, &[], &mut tally).await.len();
    let crashes = (0..count).step_by(pair_stride().min(4));
    let crashes = crashes.map(|number| Cut { number, event: Event::Crash, later: false });
    then_each(&vendor, crashes, true, &mut tally).await;
    tally.report(&format!("turned back, {service:?}, {strategy:?}"));
}

/// Whatever happens, one key is left, and it is in the sink.
macro_rules! at {
    ($($name:ident $strategy:ident $service:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn whatever_happens_once() {
                one_event(Vendor::start($service, Strategy::$strategy).await).await;
            }

            #[tokio::test]
            async fn whatever_the_clock_says() {
                wrong_clocks($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn whatever_happens_twice() {
                two_events($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn wherever_it_is_turned_back() {
                turned_back($service, Strategy::$strategy).await;
            }

            #[tokio::test]
            async fn whatever_happens_after_whatever_happened() {
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

/// The same where the key is in use, at the services that show it.
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
