//! What every generated API-key client needs and no vendor owns: secrets, credentials and a hardened HTTP client.
//!
//! Users of a client meet four types: a [`Secret`] is wiped when dropped and never printed; a [`Credential`] is a secret
//! and the header that carries it; a [`Transport`] is an address, a credential and an HTTP client that follows no
//! redirects and reads no endless answers; a [`Timestamp`] keeps what the vendor wrote. [`runtime`] is for generated code.
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
//! What it does not do: the HTTP and TLS libraries below keep buffers of their own, which are not wiped.

mod base_url;
mod credential;
pub mod runtime;
mod secret;
mod timestamp;
mod transport;

pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use credential::{Credential, InvalidCredential};
/// The HTTP client library, whose `ClientBuilder` [`TransportBuilder::http_client_builder`] takes.
pub use reqwest;
pub use secret::{REDACTED, Secret, SecretValue, exposed_json};
pub use timestamp::Timestamp;
pub use transport::{DEFAULT_MAX_RESPONSE_BYTES, Transport, TransportBuilder, TransportError};
