//! Rotation: cut off at every point, with every answer lost, and with a second rotator in between.

// A test that cannot continue has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod abort;
mod attention;
mod blips;
mod crashes;
mod cut_points;
mod destinations;
mod evidence;
mod fixture;
mod fleet;
mod found;
mod gateways;
mod in_place;
mod interference;
mod journals;
mod judge;
mod leaks;
mod leases;
mod lifecycle;
mod lineage;
mod orphans;
mod preflight;
mod pruned;
#[cfg(unix)]
mod races;
mod recorded;
mod retire;
mod reused_ids;
mod scenario;
mod sinks;
mod strangers;
mod transitions;
mod unreadable;
mod users;
mod wiped;
mod words;
