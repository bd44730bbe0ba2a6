//! The client over real HTTP, against typed mocks of the service and against servers that misbehave.
//!
//! What redirects, response limits and broken connections do is the same for every vendor, and tested where it is done:
//! in `api-keyring-transport`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod failures;
mod hostile;
mod requests;
mod secrets;
mod support;
