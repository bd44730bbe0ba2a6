//! The facade over real HTTP, against the emulator and against a server that answers whatever a test wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod credentials;
mod ending;
mod failures;
mod hostile;
mod life;
mod lists;
mod odd_rows;
mod properties;
mod requests;
mod retries;
mod secrets;
mod stub;
mod support;
