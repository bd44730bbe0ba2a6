//! The hardened HTTP client that every request goes through.

use std::fmt;
use std::time::Duration;

use reqwest::redirect;

use crate::{BaseUrl, Credential, InvalidBaseUrl, InvalidCredential};

/// How many bytes of an answer are read unless another limit is set: 8 MiB.
pub const DEFAULT_MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("api-keyring/", env!("CARGO_PKG_VERSION"));

/// Where requests go, what they authenticate with, and the hardened HTTP client that carries them.
///
/// Hardened means: redirects are not followed (a header such as `x-api-key` would be sent along to any host), nothing is
/// sent twice behind the caller's back, plain `http` goes to this machine only and past any proxy, and an answer is read
/// up to a limit. A caller's own client settings are taken as a [`reqwest::ClientBuilder`], upon which all of this is
/// imposed; a finished `reqwest::Client` cannot be told to stop following redirects, so none is accepted.
///
/// Cheap to clone; clones share their connections.
///
/// ```
/// use api_keyring_transport::{Credential, Transport};
/// use std::time::Duration;
///
/// let transport = Transport::builder("https://api.example.com", Credential::api_key("sk_live_123")?)
///     .timeout(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(transport.base_url().as_str(), "https://api.example.com");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Transport {
    base_url: BaseUrl,
    credential: Credential,
    http: reqwest::Client,
    max_response_bytes: usize,
}

impl Transport {
    /// Starts a transport to a service at `base_url`; [`BaseUrl`] says which addresses are accepted.
    pub fn builder(base_url: impl Into<String>, credential: Credential) -> TransportBuilder {
        TransportBuilder {
            base_url: base_url.into(),
            credential,
            allow_plain_http: false,
            timeout: None,
            connect_timeout: None,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
            user_agent: None,
            http: None,
        }
    }

    /// The same transport with another credential, over the same connections: to see whether a new key works, say.
    #[must_use]
    pub fn with_credential(&self, credential: Credential) -> Self {
        Self { credential, ..self.clone() }
    }

    /// The address that operations lie under.
    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// What requests authenticate with.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// How many bytes of an answer are read at most.
    pub fn max_response_bytes(&self) -> usize {
        self.max_response_bytes
    }

    /// The HTTP client, which follows no redirects. It does not add the credential.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base_url", &self.base_url)
            .field("credential", &self.credential)
            .field("max_response_bytes", &self.max_response_bytes)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Transport`] to be.
#[must_use = "a builder does nothing until `build` is called"]
pub struct TransportBuilder {
    base_url: String,
    credential: Credential,
    allow_plain_http: bool,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    max_response_bytes: usize,
    user_agent: Option<String>,
    http: Option<reqwest::ClientBuilder>,
}

/// Without the base URL, which nobody has checked yet: it may hold a password.
impl fmt::Debug for TransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportBuilder").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl TransportBuilder {
    /// How long a call may take from its start to the last byte of its answer: 30 seconds unless set here.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long connecting may take: 10 seconds unless set here.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How many bytes of an answer are read before it is given up: [`DEFAULT_MAX_RESPONSE_BYTES`] unless set here.
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// What the client calls itself: `api-keyring/VERSION` unless set here.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Accepts a plain `http` address of another machine. **Every secret then travels in the clear.**
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Client settings of the caller's own: proxies, certificates, name resolution.
    ///
    /// Redirects and retries are switched off whatever the settings say. Time limits and the user agent are the
    /// caller's, but where they are set here too.
    pub fn http_client_builder(mut self, builder: reqwest::ClientBuilder) -> Self {
        self.http = Some(builder);
        self
    }

    /// Checks the settings and makes the transport. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the address is not acceptable, or the HTTP client cannot be made (no TLS support compiled in or found on the
    /// machine, a user agent that is no header value).
    pub fn build(self) -> Result<Transport, TransportError> {
        let base_url = if self.allow_plain_http {
            BaseUrl::allowing_plain_http(&self.base_url)?
        } else {
            self.base_url.parse()?
        };
        let mut builder = self.http.unwrap_or_else(|| {
            reqwest::Client::builder()
                .timeout(DEFAULT_TIMEOUT)
                .connect_timeout(DEFAULT_CONNECT_TIMEOUT)
                .user_agent(USER_AGENT)
        });
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(user_agent) = self.user_agent {
            builder = builder.user_agent(user_agent);
        }
        if base_url.is_plain_http() {
            // A proxy taken from the environment would see the credential.
            builder = builder.no_proxy();
        }
        let http = builder
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .build()
            .map_err(|error| TransportError::HttpClient(error.without_url()))?;
        Ok(Transport { base_url, credential: self.credential, http, max_response_bytes: self.max_response_bytes })
    }
}

/// Why a transport could not be made. Nothing was sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The service's address is not acceptable.
    BaseUrl(InvalidBaseUrl),
    /// The credential cannot be sent in a header.
    Credential(InvalidCredential),
    /// The HTTP client could not be made.
    HttpClient(reqwest::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseUrl(_) => "the base URL is not acceptable",
            Self::Credential(_) => "the credential is not acceptable",
            Self::HttpClient(_) => "the HTTP client could not be made; is a TLS feature switched on?",
        })
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BaseUrl(error) => Some(error),
            Self::Credential(error) => Some(error),
            Self::HttpClient(error) => Some(error),
        }
    }
}

impl From<InvalidBaseUrl> for TransportError {
    fn from(error: InvalidBaseUrl) -> Self {
        Self::BaseUrl(error)
    }
}

impl From<InvalidCredential> for TransportError {
    fn from(error: InvalidCredential) -> Self {
        Self::Credential(error)
    }
}
