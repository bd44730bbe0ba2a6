//! Secrets, credentials and a hardened HTTP client for the generated API-key clients of every vendor.
//!
//! Users of a client work with four types:
//!
//! - A [`Secret`] wipes its memory when it is dropped, and never prints itself.
//! - A [`Credential`] is a secret and the header that carries it.
//! - A [`Transport`] is an address, a credential and an HTTP client. It follows no redirects and limits the size of
//!   answers.
//! - A [`Timestamp`] keeps the text that the vendor wrote.
//!
//! The module [`json`] keeps what a client does not know as text: [`RawFields`], [`RawJson`] and [`Rows`].
//!
//! The module [`runtime`] is for generated code.
//!
//! ```
//! use api_keyring_transport::{Credential, Secret, Transport};
//!
//! let credential = Credential::api_key(Secret::new("sk_live_123"))?;
//! let transport = Transport::builder("https://api.example.com", credential).build()?;
//! assert!(!format!("{transport:?}").contains("sk_live_123"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate cannot wipe the buffers that the HTTP and TLS libraries keep.

// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod base_url;
mod credential;
mod environment;
pub mod json;
pub mod runtime;
mod secret;
mod timestamp;
mod transport;
mod wiped;

pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use credential::{Credential, InvalidCredential};
pub use environment::InvalidEnvironment;
pub use json::{RawFields, RawJson, Rows, SecretFields};
/// The HTTP client library. [`TransportBuilder::http_client_builder`] takes its `ClientBuilder`.
pub use reqwest;
pub use secret::{MAX_TOKEN, REDACTED, Secret, exposed_json};
pub use timestamp::Timestamp;
pub use transport::{DEFAULT_MAX_RESPONSE_BYTES, Transport, TransportBuilder, TransportError};
