//! Tests both services over real HTTP, with a client that is only a socket.

// A panic fails the test, which is the right result.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod changes;
mod client;
mod control;
mod faults;
mod http;
mod ids;
mod life;
mod monad;
mod pages;
mod record;
mod spartera;
mod state;
mod statuses;
