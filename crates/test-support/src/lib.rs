//! What the tests of several crates share: [taking down requests](Recorder), and [seeing that no secret is printed](hidden).

// These are assertions: they are meant to panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod hidden;
mod recorder;

pub use recorder::{Recorder, Sent};
