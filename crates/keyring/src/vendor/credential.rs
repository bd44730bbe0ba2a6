//! Credentials that may change while a provider is in use.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use api_keyring_transport::{Credential, InvalidCredential, Secret, Transport};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::vendor::call::Call;
use crate::{Clock, ErrorKind, Outcome, Result};

/// Supplies a provider's secret when it may change.
///
/// The provider asks for the secret before every request, so the source should answer quickly. A source that fetches
/// secrets from elsewhere should cache them.
#[async_trait]
pub trait SecretSource: fmt::Debug + Send + Sync {
    /// Returns the secret to authenticate with now.
    ///
    /// # Errors
    ///
    /// If there is no secret. The provider then sends nothing, and its error has this error as its source. It must not
    /// contain a secret.
    async fn secret(&self) -> Result<Secret, Box<dyn StdError + Send + Sync>>;

    /// Returns the current secret if the source knows it without fetching it. A builder then rejects a secret that no
    /// header can hold, instead of leaving that to the first call.
    fn known(&self) -> Option<Secret> {
        None
    }
}

/// A secret that you can replace while providers use it. The next request sends the new one.
///
/// Clones share the secret.
///
/// ```
/// # #[cfg(feature = "spartera")]
/// # fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{SharedSecret, Spartera};
///
/// let secret = SharedSecret::new("sk_live_1");
/// let spartera = Spartera::builder().company_id("acme").api_key_from(secret.clone()).build()?;
/// // After you have issued a new key for the provider itself:
/// secret.replace("sk_live_2");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SharedSecret(Arc<RwLock<Secret>>);

impl SharedSecret {
    /// Creates a shared secret with its first value.
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self(Arc::new(RwLock::new(secret.into())))
    }

    /// Returns the current secret.
    pub fn get(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the secret. Calls that are in progress finish with the old one.
    pub fn replace(&self, secret: impl Into<Secret>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secret.into();
    }
}

#[async_trait]
impl SecretSource for SharedSecret {
    async fn secret(&self) -> Result<Secret, Box<dyn StdError + Send + Sync>> {
        Ok(self.get())
    }

    fn known(&self) -> Option<Secret> {
        Some(self.get())
    }
}

/// A secret that a function supplies, for example from a vault or a file.
///
/// ```
/// use api_keyring::{Secret, SecretFn};
///
/// let from_file = SecretFn::new(|| async {
///     let text = std::fs::read_to_string("/run/secrets/spartera")?;
///     Ok(Secret::new(text.trim_end()))
/// });
/// ```
pub struct SecretFn<F>(F);

impl<F, S> SecretFn<F>
where
    F: Fn() -> S + Send + Sync,
    S: Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send,
{
    /// Creates a source that calls `supply` before every request.
    pub fn new(supply: F) -> Self {
        Self(supply)
    }
}

impl<F> fmt::Debug for SecretFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretFn(..)")
    }
}

#[async_trait]
impl<F, S> SecretSource for SecretFn<F>
where
    F: Fn() -> S + Send + Sync,
    S: Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send,
{
    async fn secret(&self) -> Result<Secret, Box<dyn StdError + Send + Sync>> {
        (self.0)().await
    }
}

/// The part of a vendor's generated client that handles access.
pub(crate) trait RawClient: Clone {
    fn over(transport: Transport) -> Self;
    fn transport(&self) -> &Transport;
}

/// The header of an API key.
pub(crate) const API_KEY: Scheme = |secret| Credential::api_key(secret);

/// Puts a secret into the vendor's header.
pub(crate) type Scheme = fn(Secret) -> Result<Credential, InvalidCredential>;

/// A generated client, the source of its credential, and the clock for the lifetimes of keys.
#[derive(Clone)]
pub(crate) struct Access<C> {
    client: C,
    scheme: Scheme,
    source: Option<Arc<dyn SecretSource>>,
    clock: Arc<dyn Clock>,
}

impl<C: RawClient> Access<C> {
    pub(crate) fn new(
        transport: Transport,
        scheme: Scheme,
        source: Option<Arc<dyn SecretSource>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client: C::over(transport), scheme, source, clock }
    }

    /// Returns the time from which a lifetime counts.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns the service's URL.
    pub(crate) fn endpoint(&self) -> &str {
        self.client.transport().base_url().as_str()
    }

    /// Returns the client with the current credential.
    pub(crate) async fn client(&self, call: &Call<'_>) -> Result<Cow<'_, C>> {
        let Some(source) = &self.source else {
            return Ok(Cow::Borrowed(&self.client));
        };
        let failed = |problem: &'static str| {
            call.failed(ErrorKind::Unauthenticated, Outcome::NotSent, problem).advise("Check the `SecretSource`")
        };
        let secret = source
            .secret()
            .await
            .map_err(|why| failed("the credential's source failed. Nothing was sent").caused_by(why))?;
        let credential = (self.scheme)(secret).map_err(|why| {
            failed("the credential's source returned a secret that no header can hold. Nothing was sent").caused_by(why)
        })?;
        Ok(Cow::Owned(C::over(self.client.transport().with_credential(credential))))
    }

    /// Returns the same access with a key's secret, in the header that the vendor expects for it.
    pub(crate) fn with_secret(&self, call: &Call<'_>, secret: &Secret, scheme: Scheme) -> Result<Self> {
        let credential =
            scheme(secret.clone()).map_err(|why| call.invalid("no header can hold the secret").caused_by(why))?;
        let client = C::over(self.client.transport().with_credential(credential));
        Ok(Self { client, scheme, source: None, clock: Arc::clone(&self.clock) })
    }
}

/// Leaves out the source, because its own `Debug` might print the secret.
impl<C: fmt::Debug> fmt::Debug for Access<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("client", &self.client).finish_non_exhaustive()
    }
}
