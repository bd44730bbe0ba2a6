//! Tests the client over real HTTP, against typed mocks of the service and against servers that misbehave.
//!
//! The tests of `api-keyring-transport` cover redirects, response limits and broken connections for every vendor.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod failures;
mod hostile;
mod requests;
mod secrets;
mod support;
