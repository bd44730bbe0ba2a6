//! The hardened HTTP client that sends every request.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use reqwest::{Url, redirect};

use crate::environment::{self, InvalidEnvironment, OwnedVariables};
use crate::{BaseUrl, Credential, InvalidBaseUrl, InvalidCredential};

/// The default limit on an answer's body, in bytes: 8 MiB.
pub const DEFAULT_MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("api-keyring/", env!("CARGO_PKG_VERSION"));

/// The base URL of a service, the credential for it, and a hardened HTTP client.
///
/// The client is hardened in these ways:
///
/// - It follows no redirects: reqwest would send a header such as `x-api-key` along to any host.
/// - It sends each request once, without hidden retries.
/// - It sends plain `http` only to this machine, unless [`TransportBuilder::allow_plain_http`] is set.
/// - It never sends plain `http` through a proxy, and reaches this machine without one.
/// - It honours what the environment says of proxies and certificates ([`TransportBuilder::environment`]), or refuses to
///   be built.
/// - It reads an answer only up to a limit.
/// - It asks for answers without a content encoding, and decodes none.
///
/// A caller may pass settings as a [`reqwest::ClientBuilder`], and the transport adds these rules to it. A finished
/// `reqwest::Client` cannot stop following redirects, so the transport does not accept one.
///
/// A clone is cheap and shares the connections of the original.
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
    /// Starts to build a transport to the service at `base_url`. [`BaseUrl`] documents which URLs are valid.
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
            environment: Box::new(|variable| std::env::var_os(variable)),
        }
    }

    /// Returns a transport with another credential and the same connections, for example to check that a new key works.
    #[must_use]
    pub fn with_credential(&self, credential: Credential) -> Self {
        Self { credential, ..self.clone() }
    }

    /// Returns the base URL of the service.
    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// Returns the credential that requests authenticate with.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the limit on an answer's body, in bytes.
    pub fn max_response_bytes(&self) -> usize {
        self.max_response_bytes
    }

    /// Returns the URL of a path of the service, which starts with a slash. Generated code calls this.
    #[doc(hidden)]
    pub fn url(&self, path: &str) -> Url {
        self.base_url.join(path)
    }

    /// Returns the HTTP client. It follows no redirects and does not add the credential.
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

/// The settings of a [`Transport`] that is not built yet.
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
    environment: OwnedVariables,
}

/// Leaves out the base URL, which is not checked yet and may hold a password.
impl fmt::Debug for TransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportBuilder").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl TransportBuilder {
    /// Limits the time of a call, from its start to the last byte of its answer. The default is 30 seconds. With an
    /// [`http_client_builder`](Self::http_client_builder), the default is that builder's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Limits the time to connect. The default is 10 seconds. With an
    /// [`http_client_builder`](Self::http_client_builder), the default is that builder's.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Limits the size of an answer's body. A larger one is an error. The default is [`DEFAULT_MAX_RESPONSE_BYTES`].
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// Sets the `User-Agent` header. The default is `api-keyring/VERSION`. With an
    /// [`http_client_builder`](Self::http_client_builder), the default is that builder's.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Allows a base URL with plain `http` to another machine. **Every secret then travels unencrypted.**
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Reads environment variables with this function. The default reads those of this process.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HTTPS_PROXY`, or else `ALL_PROXY` | the proxy for `https`: a URL that begins with `http://` or `https://`. It may hold a user name and a password. |
    /// | `NO_PROXY` | the hosts that are reached without the proxy, with commas between them: names such as `example.com`, `.example.com` or `*.example.com`, each with all names below it, also with a port; addresses; networks such as `10.0.0.0/8`; or `*` |
    /// | `SSL_CERT_FILE`, `SSL_CERT_DIR` | a file, and folders, with the certificates (PEM) of the authorities to trust, instead of those of the system |
    ///
    /// The names of the proxy variables may be in lower case. `HTTP_PROXY` concerns plain `http` only, which never goes
    /// through a proxy.
    ///
    /// With an [`http_client_builder`](Self::http_client_builder), the variables are not read here: that builder
    /// decides.
    pub fn environment(mut self, variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        self.environment = Box::new(variables);
        self
    }

    /// Uses the caller's own client settings, such as proxies, certificates and name resolution.
    ///
    /// The transport turns off redirects, retries and decompression, even if these settings enable them. It keeps their time limits
    /// and user agent, unless this builder sets its own.
    pub fn http_client_builder(mut self, builder: reqwest::ClientBuilder) -> Self {
        self.http = Some(builder);
        self
    }

    /// Checks the settings and builds the transport. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns [`TransportError::BaseUrl`] if the base URL is not valid. Returns [`TransportError::Environment`] if a
    /// variable names a proxy or a certificate that cannot be used. Returns [`TransportError::HttpClient`] if the
    /// HTTP client cannot be built: this machine or this build has no TLS support, or the user agent is not a valid
    /// header.
    pub fn build(self) -> Result<Transport, TransportError> {
        let base_url = if self.allow_plain_http {
            BaseUrl::allowing_plain_http(&self.base_url)?
        } else {
            self.base_url.parse()?
        };
        let mut builder = match self.http {
            Some(builder) => builder,
            None => {
                let builder = reqwest::Client::builder()
                    .timeout(DEFAULT_TIMEOUT)
                    .connect_timeout(DEFAULT_CONNECT_TIMEOUT)
                    .user_agent(USER_AGENT);
                environment::configure(builder, &base_url, &*self.environment)?
            }
        };
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
            // A proxy would see the credential, and by default reqwest takes a proxy from the environment.
            builder = builder.no_proxy();
        }
        let http = builder
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .build()
            .map_err(|error| TransportError::HttpClient(error.without_url()))?;
        Ok(Transport { base_url, credential: self.credential, http, max_response_bytes: self.max_response_bytes })
    }
}

/// Why a transport cannot be built. Nothing was sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The base URL is not valid.
    BaseUrl(InvalidBaseUrl),
    /// The credential is not valid in a header.
    Credential(InvalidCredential),
    /// The environment names a proxy or a certificate that cannot be used.
    Environment(InvalidEnvironment),
    /// The HTTP client cannot be built.
    HttpClient(reqwest::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseUrl(_) => "the base URL is not valid",
            Self::Credential(_) => "the credential is not valid",
            Self::Environment(_) => "what the environment says of proxies and certificates cannot be honoured",
            Self::HttpClient(_) => "cannot build the HTTP client; check that the feature rustls or native-tls is on",
        })
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BaseUrl(error) => Some(error),
            Self::Credential(error) => Some(error),
            Self::Environment(error) => Some(error),
            Self::HttpClient(error) => Some(error),
        }
    }
}

impl From<InvalidBaseUrl> for TransportError {
    fn from(error: InvalidBaseUrl) -> Self {
        Self::BaseUrl(error)
    }
}

impl From<InvalidEnvironment> for TransportError {
    fn from(error: InvalidEnvironment) -> Self {
        Self::Environment(error)
    }
}

impl From<InvalidCredential> for TransportError {
    fn from(error: InvalidCredential) -> Self {
        Self::Credential(error)
    }
}
