//! Shares code between the tests of several crates.
//!
//! - [`Stub`] gives every request the same answer. [`Expectation`] and [`Recorder`] check what a client sends.
//! - [`UnansweredListener`] detects unwanted connections.
//! - [`redaction`] checks that nothing prints a secret.
//! - [`samples`] holds data that several crates test with.
//!
//! This crate depends on no raw crate, because the raw crates' tests depend on it.

// Failed checks panic: this code runs only in tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod expectation;
mod listener;
mod recorder;
pub mod redaction;
pub mod samples;
mod stub;

pub use expectation::Expectation;
pub use listener::UnansweredListener;
pub use recorder::{Recorder, Sent};
pub use stub::Stub;
