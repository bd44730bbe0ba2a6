//! Spartera's API for company API keys, as an exact client.
//!
//! Generated from `specs/spartera.yaml` in the project's repository, which reconstructs the vendor's documentation. One
//! method an operation, each a builder that ends with `send`:
//!
//! | method | what it does |
//! |---|---|
//! | [`list_api_keys`](Client::list_api_keys) | keys, their secrets masked: one page, or all on an older server |
//! | [`create_api_key`](Client::create_api_key) | a new key; the answer shows its secret, once |
//! | [`get_api_key`](Client::get_api_key) | one key, its secret masked |
//! | [`update_api_key`](Client::update_api_key) | the fields that are given |
//! | [`revoke_api_key`](Client::revoke_api_key) | the secret dies, and the reason is kept |
//! | [`delete_api_key`](Client::delete_api_key) | deactivated |
//! | [`get_api_key_stats`](Client::get_api_key_stats) | how it is used |
//!
//! ```no_run
//! use spartera_raw::{Client, Credential, types};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(spartera_raw::BASE_URL, Credential::api_key(std::env::var("SPARTERA_API_KEY")?)?)?;
//!
//! let page = client.list_api_keys().company_id("acme").send().await?;
//! for key in &page.data {
//!     println!("{:?} {:?}", key.api_key_id, key.name);
//! }
//!
//! let issued = client
//!     .create_api_key()
//!     .company_id("acme")
//!     .body(types::CreateApiKeyRequest::builder().company_id("acme").role_id(3).name("ci".to_owned()))
//!     .send()
//!     .await?;
//! // The only time that the secret is shown: store it before anything else.
//! let secret = issued.data.key.as_ref().map(|key| key.expose());
//! # let _ = secret;
//! # Ok(())
//! # }
//! ```
//!
//! The client is as exact as the documentation: it fetches one page, retries nothing, and decides nothing. The crate
//! `api-keyring` puts all of that on top, with one interface for several vendors.
//!
//! # Secrets and failures
//!
//! A key's secret is a [`Secret`]: never printed, wiped when dropped. The documentation promises the secret in words and
//! does not name its field, so the unknown fields of an answer that issues a key are kept in `extra`, as unprintable as
//! the secret. Ids are checked before a URL is built. Redirects are not followed. An answer that cannot be decoded is
//! [`Error::Undecoded`], which hands over the body as a [`Secret`]: a new key is not lost with it.
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
pub const BASE_URL: &str = "https://api.spartera.com";

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
