//! The transition table, asserted both ways: the crash search sees every row, and the documentation draws every row.

use std::collections::BTreeSet;

use api_keyring_emulator::{Revision, SparteraShape};
use api_keyring_rotation::{StateKind, Strategy, TRANSITIONS};

use crate::crashes::{Cut, Tally, cut_points, explore, faults_of, overtaken_at};
use crate::cut_points::Event;
use crate::interference::{Interference, Response, abort_and_interfere, crash_and_interfere};
use crate::scenario::{LEASE, Service, Successor, Vendor};

type Changes = BTreeSet<(StateKind, StateKind)>;

fn table(strategy: Strategy) -> Changes {
    let rows = TRANSITIONS.iter().filter(|row| row.strategy() == strategy);
    rows.map(|row| (row.from(), row.to())).collect()
}

/// Faults that lead to rare rows.
const RARE: [&[&str]; 3] = [
    // Too many creates fail.
    &["create:reset-after:5"],
    // The vendor's list shows a key only after the settle time.
    &["create:reset-after:2", "create:stale-list=18:1"],
    // The vendor refuses to create.
    &["create:status=409:1"],
];

const RARE_IN_PLACE: [&[&str]; 3] = [
    // Too many regenerates fail.
    &["regenerate:reset-after:5"],
    // The vendor refuses the first regenerate.
    &["regenerate:status=409:1"],
    // The first request may have ended the old secret, and the vendor refuses the next one.
    &["regenerate:reset-before:1", "regenerate:status=409:1@2"],
];

/// Searches until every row must have been seen, and returns what was.
async fn search(service: Service, strategy: Strategy) -> Changes {
    let vendor = Vendor::start(service, strategy).await;
    let mut tally = Tally::default();
    let points = cut_points(&vendor, &[], &mut tally).await;
    let rare: &[&[&str]] = if strategy == Strategy::InPlace { &RARE_IN_PLACE } else { &RARE };
    explore(&vendor, &[], 1, &mut tally).await;
    for faults in faults_of(strategy) {
        explore(&vendor, faults, 11, &mut tally).await;
    }
    for number in 0..points.len() {
        let mut scenario = vendor.key(&[]);
        Cut { number, event: Event::Crash }.apply(&scenario).await;
        scenario.successor = Successor::Aborts;
        tally.judge(format!("crash at {number}, then an abort"), scenario).await;
    }
    let recorded = (0..points.len()).filter(|number| points[*number].starts_with("after journal"));
    crash_and_interfere(&vendor, recorded, &mut tally).await;
    match strategy {
        Strategy::InPlace => {
            // Once a rotator is about to send its request, nothing stops it.
            let number = points.iter().position(|point| point == "before regenerate").unwrap();
            overtaken_at(&vendor, &[], (number, "before regenerate"), 1, &mut tally).await;
            // The rotator that overtakes another one needs attention. Then the other's late request succeeds.
            let scenario = vendor.key(RARE_IN_PLACE[0]);
            drop(scenario.run(&scenario.cut_points(Some((number, Event::PauseBeyondLease)))).await);
            tally.judge("a late request".to_owned(), scenario).await;
        }
        _ => {
            abort_and_interfere(&vendor, (0..16).step_by(3), &mut tally).await;
            // Somebody gives the new key up while the old one is being retired.
            let number = points.iter().position(|point| point == "after journal retiring").unwrap();
            let scenario = vendor.key(&[]);
            Cut { number, event: Event::Crash }.apply(&scenario).await;
            scenario.interfere(Interference::ForeignSecret).await;
            vendor.clock.advance(LEASE);
            let (rotator, record) =
                (scenario.process(&scenario.unchecked_cut_points()), scenario.record().await.unwrap());
            let aborted = rotator.abort_leaving_sink(&record.id, "an operator aborts it").await.unwrap();
            tally.add("given up while retiring", scenario.judge_interference(Some(&aborted)).await);
        }
    }
    for faults in rare {
        let scenario = vendor.key(faults);
        let before = scenario.interfere(Interference::EmptyPending).await;
        let record = scenario.find_way_out(Response::PutRight, &before).await;
        tally.add(&format!("{faults:?}"), scenario.judge_interference(record.as_ref()).await);
    }
    tally.report(&format!("transitions, {service:?}, {strategy:?}"));
    vendor.transitions.into_inner().unwrap()
}

#[track_caller]
fn assert_all_seen(seen: &Changes, strategy: Strategy) {
    let unseen: Vec<_> = table(strategy).difference(seen).map(|(from, to)| format!("{from} → {to}")).collect();
    assert!(unseen.is_empty(), "the search never saw {unseen:#?}");
}

#[tokio::test]
async fn every_row_of_the_overlap_table_is_seen() {
    let mut seen = search(Service::Spartera(Revision::Current, SparteraShape::Guide), Strategy::Overlap).await;
    seen.extend(search(Service::Monad(Revision::Current), Strategy::Overlap).await);
    assert_all_seen(&seen, Strategy::Overlap);
}

#[tokio::test]
async fn every_row_of_the_in_place_table_is_seen() {
    let mut seen = search(Service::Monad(Revision::Current), Strategy::InPlace).await;
    seen.extend(search(Service::Monad(Revision::Documented), Strategy::InPlace).await);
    assert_all_seen(&seen, Strategy::InPlace);
}

/// Reads the arrows of a diagram in the documentation: the one after this heading.
fn drawn(heading: &str) -> BTreeSet<(String, String)> {
    let page = include_str!("../../docs/rotation.md");
    let section = page.split_once(heading).unwrap().1;
    let diagram = section.split_once("```mermaid").unwrap().1.split_once("```").unwrap().0;
    let arrows = diagram.lines().filter_map(|line| line.trim().split_once(" --> "));
    arrows.map(|(from, to)| (from.to_owned(), to.split(':').next().unwrap().trim().to_owned())).collect()
}

#[test]
fn the_diagrams_show_the_tables() {
    for (heading, strategy) in [("# The states", Strategy::Overlap), ("# In place", Strategy::InPlace)] {
        let rows = table(strategy).into_iter().map(|(from, to)| (from.as_str().to_owned(), to.as_str().to_owned()));
        let rows: BTreeSet<_> = rows.collect();
        let drawn = drawn(heading);
        let missing: Vec<_> = rows.difference(&drawn).collect();
        let surplus: Vec<_> = drawn.difference(&rows).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "{heading}: missing {missing:#?}, surplus {surplus:#?}");
    }
}
