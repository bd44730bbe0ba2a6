//! Tests the runtime and the transport over real connections, against servers that misbehave.
//!
//! A small hand-written client replaces the generated ones. It calls the runtime in the same way.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connections;
mod limits;
mod logs;
mod media_types;
mod proxies;
mod redirects;
mod secrets;
mod support;
// The system's TLS library does not say what is wrong with a certificate.
#[cfg(all(feature = "rustls", not(feature = "native-tls")))]
mod surroundings;
