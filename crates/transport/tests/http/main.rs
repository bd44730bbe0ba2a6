//! The runtime and the transport over real connections, against servers that misbehave.
//!
//! A small hand-written client stands in for the generated ones, which call the runtime the same way.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connections;
mod limits;
mod logs;
mod proxies;
mod redirects;
mod secrets;
mod support;
