//! An exact client of Monad's API for organization API keys.
//!
//! `cargo xtask codegen` generates this client from `specs/monad.yaml` in the project's repository, which reconstructs
//! the vendor's documentation. The client has one method per operation. Each method returns a builder, and `send` sends
//! the request:
//!
//! | method | what it does |
//! |---|---|
//! | [`list_api_keys`](Client::list_api_keys) | lists one page of keys |
//! | [`create_api_key`](Client::create_api_key) | issues a key; only this answer shows its token |
//! | [`get_api_key`](Client::get_api_key) | reads one key |
//! | [`update_api_key`](Client::update_api_key) | changes the name and the description |
//! | [`regenerate_api_key`](Client::regenerate_api_key) | issues a new token for a key; the old one stops working at once |
//! | [`delete_api_key`](Client::delete_api_key) | deletes the key permanently |
//!
//! ```no_run
//! use monad_raw::{Client, Credential, types};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(monad_raw::BASE_URL, Credential::bearer(std::env::var("MONAD_BEARER_TOKEN")?)?)?;
//!
//! let page = client.list_api_keys().organization_id("acme").limit(100).send().await?;
//! for key in page.api_keys.iter().flat_map(|rows| rows.iter()) {
//!     let key = key?;
//!     println!("{:?} {:?}", key.id, key.name);
//! }
//!
//! let issued = client
//!     .create_api_key()
//!     .organization_id("acme")
//!     .body(
//!         types::CreateApiKeyRequest::builder()
//!             .name("ci")
//!             .role_id("role-reader")
//!             .expiration_time("2030-01-01T00:00:00Z"),
//!     )
//!     .send()
//!     .await?;
//! // Only this answer shows the token: store it before anything else.
//! let token = issued.token.as_ref().map(|token| token.expose());
//! # let _ = token;
//! # Ok(())
//! # }
//! ```
//!
//! The client follows the documentation exactly: it fetches a single page, never retries and makes no decisions. The
//! crate `api-keyring` adds lists, retries and decisions, behind one interface for several vendors.
//!
//! # Secrets and failures
//!
//! A token is a [`Secret`], which never prints itself and wipes its memory when it is dropped. `extra` keeps
//! undocumented fields. If an answer issues a token, `extra` never prints them.
//!
//! The client checks ids before it builds a URL, and follows no redirects. It returns an answer that it cannot decode
//! as [`Error::Undecoded`], with the body as a [`Secret`], so the caller does not lose a new token.
//!
//! # Features
//!
//! - `rustls` (default) or `native-tls` selects the TLS library.
//! - `httpmock` adds typed mocks of every operation, in the module `mock`.

// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(missing_docs, unreachable_pub, unused_imports, clippy::all, clippy::expect_used, clippy::unwrap_used)]
mod generated {
    #[rustfmt::skip] // Code generation formats these files, so that every toolchain writes the same bytes.
    pub(crate) mod client;
    #[rustfmt::skip]
    #[cfg(feature = "httpmock")]
    pub(crate) mod httpmock;
}

pub use api_keyring_transport::runtime::{
    ClientInfo, CommunicationError, Error, ResponseValue, UndecodedReason, UndecodedResponse,
};
pub use api_keyring_transport::{
    Credential, InvalidCredential, RawFields, RawJson, Rows, Secret, SecretFields, Timestamp, Transport,
    TransportBuilder, TransportError, exposed_json,
};
pub use generated::client::{Client, builder, types};

/// Typed mocks of every operation of [`Client`], for an `httpmock::MockServer`.
#[cfg(feature = "httpmock")]
pub mod mock {
    pub use crate::generated::httpmock::{MockServerExt, operations};
}

/// The base URL of the service, according to its documentation.
pub const BASE_URL: &str = "https://monad.com/api";

/// The base URL of the hosted application.
pub const APP_BASE_URL: &str = "https://app.monad.com/api";

impl Client {
    /// Makes a client with the default settings, which [`Transport`] documents. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the base URL is not valid, for example plain http to another machine, or if the HTTP client
    /// cannot be built.
    pub fn connect(base_url: &str, credential: Credential) -> Result<Self, TransportError> {
        Transport::builder(base_url, credential).build().map(Self::over)
    }

    /// Makes a client that uses this transport, for settings other than the defaults. It sends nothing.
    pub fn over(transport: Transport) -> Self {
        Self::new_with_client(transport.base_url().as_str(), transport.http().clone(), transport.clone())
    }

    /// Returns the transport that sends the requests.
    pub fn transport(&self) -> &Transport {
        &self.inner
    }
}
