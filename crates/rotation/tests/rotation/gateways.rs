//! A lying gateway: each answer of a rotation is replaced by a page of something between the rotator and the service.

use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::Strategy;

use crate::crashes::{Tally, setting};
use crate::scenario::{Service, Successor, Vendor};

/// What the gateway answers, before the service acts or after that.
const ANSWERS: [&str; 10] = [
    "gateway-404",
    "gateway-403",
    "gateway-502",
    "gateway-200",
    "gateway-404-after",
    "gateway-403-after",
    "gateway-502-after",
    "gateway-200-after",
    // In JSON, as the vendors answer as well.
    "gateway-404=json",
    "gateway-403-after=json",
];

/// What else goes wrong: nothing, or the answer to the first request for a secret is lost, so that there are discards.
const LOST: [&[&str]; 2] = [&[], &["create:reset-after:1", "regenerate:reset-after:1"]];

/// Returns how many requests a rotation sends.
async fn count_requests(vendor: &Vendor, faults: &[&str], tally: &mut Tally) -> usize {
    let scenario = vendor.key(faults);
    drop(scenario.run(&scenario.cut_points(None)).await);
    let count = vendor.emulator.requests().len();
    tally.judge("no gateway".to_owned(), scenario).await;
    count
}

/// Replaces each answer of a rotation, alone and together with the ones after it.
async fn replace_each(vendor: &Vendor, faults: &[&str], stride: usize, tally: &mut Tally) {
    let count = count_requests(vendor, faults, tally).await;
    for number in (1..=count).filter(|number| number % stride == count % stride) {
        for answer in ANSWERS {
            for times in [1, 4] {
                let gateway = format!("*:{answer}:{times}@{number}");
                let scenario = vendor.key(&[faults, &[&gateway]].concat());
                drop(scenario.run(&scenario.cut_points(None)).await);
                tally.judge(format!("{:?} {faults:?} {gateway}", vendor.service), scenario).await;
            }
        }
    }
}

/// Replaces each answer of an abort.
async fn replace_each_of_abort(vendor: &Vendor, stride: usize, tally: &mut Tally) {
    let promoted = async || {
        let mut scenario = vendor.key(&[]);
        let rotator = scenario.process(&scenario.cut_points(None)).patience(std::time::Duration::ZERO);
        scenario.begin(rotator).await;
        scenario.successor = Successor::Aborts;
        vendor.emulator.clear_requests();
        scenario
    };
    let scenario = promoted().await;
    drop(scenario.run(&scenario.cut_points(None)).await);
    let count = vendor.emulator.requests().len();
    tally.judge("an abort without a gateway".to_owned(), scenario).await;
    for number in (1..=count).filter(|number| number % stride == count % stride) {
        for answer in ANSWERS {
            let gateway = format!("*:{answer}:1@{number}");
            let scenario = promoted().await;
            vendor.emulator.inject(gateway.parse::<api_keyring_emulator::Fault>().unwrap());
            drop(scenario.run(&scenario.cut_points(None)).await);
            tally.judge(format!("{:?} abort {gateway}", vendor.service), scenario).await;
        }
    }
}

async fn search(service: Service, strategy: Strategy) {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let stride = usize::try_from(setting("ROTATION_STRIDE").unwrap_or(17)).unwrap();
    for faults in LOST {
        replace_each(&vendor, faults, stride, &mut tally).await;
    }
    if strategy == Strategy::Overlap {
        replace_each_of_abort(&vendor, stride.min(4), &mut tally).await;
    }
    tally.report(&format!("gateways, {service:?}, {strategy:?}"));
}

#[tokio::test]
async fn before_documented_spartera() {
    search(Service::Spartera(Revision::Documented, SparteraShape::Documented), Strategy::Overlap).await;
}

#[tokio::test]
async fn before_current_spartera_of_the_guide() {
    search(Service::Spartera(Revision::Current, SparteraShape::Guide), Strategy::Overlap).await;
}

#[tokio::test]
async fn before_current_monad() {
    search(Service::Monad(Revision::Current), Strategy::Overlap).await;
}

#[tokio::test]
async fn before_current_monad_in_place() {
    search(Service::Monad(Revision::Current), Strategy::InPlace).await;
}

#[tokio::test]
async fn before_documented_monad_in_place() {
    search(Service::Monad(Revision::Documented), Strategy::InPlace).await;
}
