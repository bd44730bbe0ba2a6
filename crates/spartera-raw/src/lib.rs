//! An exact client of Spartera's API for company API keys.
//!
//! `cargo xtask codegen` generates this client from `specs/spartera.yaml` in the project's repository, which
//! reconstructs the vendor's documentation. The client has one method per operation. Each method returns a builder, and
//! `send` sends the request:
//!
//! | method | what it does |
//! |---|---|
//! | [`list_api_keys`](Client::list_api_keys) | lists keys with masked secrets: one page, or all keys on an older server |
//! | [`create_api_key`](Client::create_api_key) | issues a key; only this answer shows its secret |
//! | [`get_api_key`](Client::get_api_key) | reads one key with its secret masked |
//! | [`update_api_key`](Client::update_api_key) | changes the fields in the request |
//! | [`revoke_api_key`](Client::revoke_api_key) | revokes the key and records the reason |
//! | [`delete_api_key`](Client::delete_api_key) | deactivates the key |
//! | [`get_api_key_stats`](Client::get_api_key_stats) | reads the usage statistics of a key |
//!
//! ```no_run
//! use spartera_raw::{Client, Credential, types};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(spartera_raw::BASE_URL, Credential::api_key(std::env::var("SPARTERA_API_KEY")?)?)?;
//!
//! let page = client.list_api_keys().company_id("acme").send().await?;
//! for key in page.data.iter() {
//!     let key = key?;
//!     println!("{:?} {:?}", key.api_key_id, key.name);
//! }
//!
//! let issued = client
//!     .create_api_key()
//!     .company_id("acme")
//!     .body(types::CreateApiKeyRequest::builder().company_id("acme").role_id(3).name("ci".to_owned()))
//!     .send()
//!     .await?;
//! // Only this answer shows the secret: store it before anything else.
//! let secret = issued.data.key.as_ref().map(|key| key.expose());
//! # let _ = secret;
//! # Ok(())
//! # }
//! ```
//!
//! The client follows the documentation exactly: it fetches a single page, never retries and makes no decisions. The
//! crate `api-keyring` adds lists, retries and decisions, behind one interface for several vendors.
//!
//! # Secrets and failures
//!
//! A key's secret is a [`Secret`], which never prints itself and wipes its memory when it is dropped. The documentation
//! promises the secret in words and does not name its field. If an answer issues a key, `extra` therefore keeps its
//! unknown fields and never prints them.
//!
//! The client checks ids before it builds a URL, and follows no redirects. It returns an answer that it cannot decode
//! as [`Error::Undecoded`], with the body as a [`Secret`], so the caller does not lose a new key.
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
pub const BASE_URL: &str = "https://api.spartera.com";

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
