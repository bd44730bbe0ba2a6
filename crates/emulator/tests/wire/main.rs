//! Both services over real HTTP, by a client that is nothing but a socket.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod changes;
mod client;
mod control;
mod faults;
mod http;
mod life;
mod monad;
mod pages;
mod record;
mod spartera;
mod state;
mod statuses;
