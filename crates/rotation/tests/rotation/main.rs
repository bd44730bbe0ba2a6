//! Rotation: every place where it can be cut off, every answer that can be lost, and a second rotator in between.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod bench;
mod course;
mod crashes;
mod evidence;
mod fleet;
mod gate;
mod heard;
mod in_place;
mod journals;
mod lineage;
mod preflight;
mod recorded;
mod retire;
mod sinks;
mod sweep;
mod undo;
mod users;
mod world;
