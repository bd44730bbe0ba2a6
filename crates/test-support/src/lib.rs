//! Shares code between the tests of several crates.
//!
//! - [`Recorder`] and [`Stub`] work on mock servers.
//! - [`UnansweredListener`] detects unwanted connections.
//! - [`redaction`] checks that nothing prints a secret.
//! - [`samples`] holds data that several crates test with.
//!
//! This crate depends on no raw crate, because the raw crates' tests depend on it.

// Failed checks panic: this code runs only in tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod listener;
mod recorder;
pub mod redaction;
pub mod samples;
mod stub;

pub use listener::UnansweredListener;
pub use recorder::{Recorder, Sent};
pub use stub::Stub;
