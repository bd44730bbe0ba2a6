//! Monad's API for organization API keys, as an exact client.
//!
//! Generated from `specs/monad.yaml` in the project's repository, which reconstructs the vendor's documentation. One
//! method an operation, each a builder that ends with `send`:
//!
//! | method | what it does |
//! |---|---|
//! | [`list_api_keys`](Client::list_api_keys) | one page of keys |
//! | [`create_api_key`](Client::create_api_key) | a new key; the answer shows its token, once |
//! | [`get_api_key`](Client::get_api_key) | one key |
//! | [`update_api_key`](Client::update_api_key) | its name and description |
//! | [`regenerate_api_key`](Client::regenerate_api_key) | a new token for a key; the old one dies at once |
//! | [`delete_api_key`](Client::delete_api_key) | gone for good |
//!
//! ```no_run
//! use monad_raw::{Client, Credential, types};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(monad_raw::BASE_URL, Credential::bearer(std::env::var("MONAD_BEARER_TOKEN")?)?)?;
//!
//! let page = client.list_api_keys().organization_id("acme").limit(100).send().await?;
//! for key in page.api_keys.iter().flatten() {
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
//! // The only time that the token is shown: store it before anything else.
//! let token = issued.token.as_ref().map(|token| token.expose());
//! # let _ = token;
//! # Ok(())
//! # }
//! ```
//!
//! The client is as exact as the documentation: it fetches one page, retries nothing, and decides nothing. The crate
//! `api-keyring` puts all of that on top, with one interface for several vendors.
//!
//! # Secrets and failures
//!
//! A token is a [`Secret`]: never printed, wiped when dropped. Fields that the documentation does not name are kept in
//! `extra`, and those of an answer that issues a token are as unprintable as the token. Ids are checked before a URL is
//! built. Redirects are not followed. An answer that cannot be decoded is [`Error::Undecoded`], which hands over the body
//! as a [`Secret`]: a new token is not lost with it.
//!
//! # Features
//!
//! `rustls` (default) or `native-tls` for TLS; `httpmock` for typed mocks of every operation, in `mock`.

#[allow(missing_docs, unreachable_pub, unused_imports, clippy::all, clippy::expect_used, clippy::unwrap_used)]
mod generated {
    #[rustfmt::skip] // Formatted by the generator, so that every toolchain writes the same bytes.
    pub(crate) mod client;
    #[rustfmt::skip]
    #[cfg(feature = "httpmock")]
    pub(crate) mod httpmock;
}

pub use api_keyring_transport::runtime::{
    ClientInfo, CommunicationError, Error, ResponseValue, UndecodedReason, UndecodedResponse,
};
pub use api_keyring_transport::{
    Credential, InvalidCredential, Secret, SecretValue, Timestamp, Transport, TransportBuilder, TransportError,
    exposed_json,
};
pub use generated::client::{Client, builder, types};

/// Typed mocks: every operation of [`Client`] as an expectation of an `httpmock::MockServer`.
#[cfg(feature = "httpmock")]
pub mod mock {
    pub use crate::generated::httpmock::{MockServerExt, operations};
}

/// Where the service is, according to its documentation.
pub const BASE_URL: &str = "https://monad.com/api";

/// Where the hosted application's service is.
pub const APP_BASE_URL: &str = "https://app.monad.com/api";

impl Client {
    /// A client with the standard settings: [`Transport`] says which these are. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the base URL is not acceptable (plain http to another machine, a user name in it) or no HTTP client can be
    /// made.
    pub fn connect(base_url: &str, credential: Credential) -> Result<Self, TransportError> {
        Transport::builder(base_url, credential).build().map(Self::over)
    }

    /// A client over a transport with settings of the caller's own. Nothing is sent.
    pub fn over(transport: Transport) -> Self {
        Self::new_with_client(transport.base_url().as_str(), transport.http().clone(), transport.clone())
    }

    /// The transport that requests go through.
    pub fn transport(&self) -> &Transport {
        &self.inner
    }
}
