//! Credentials that change while a provider is in use.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use api_keyring_transport::{Credential, InvalidCredential, Secret, Transport};
use async_trait::async_trait;

use crate::vendor::call::Call;
use crate::{ErrorKind, Outcome, Result};

/// Where a provider's secret comes from, when it is not always the same one.
///
/// Asked before every request, so it should be quick: what fetches a secret from far away keeps it for a while.
#[async_trait]
pub trait SecretSource: fmt::Debug + Send + Sync {
    /// The secret to authenticate with now.
    ///
    /// # Errors
    ///
    /// When there is none. The call is not made then, and its error has this one as its cause; it must not hold a secret.
    async fn secret(&self) -> Result<Secret, Box<dyn StdError + Send + Sync>>;

    /// The secret as it is now, where it is known without asking anybody: one that cannot be sent is then refused when a provider
    /// is set up, and not by its first call.
    fn known(&self) -> Option<Secret> {
        None
    }
}

/// A secret that can be replaced while others use it: the new one is sent from the next request on.
///
/// Clones share it.
///
/// ```
/// # #[cfg(feature = "spartera")]
/// # fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{SharedSecret, Spartera};
///
/// let secret = SharedSecret::new("sk_live_1");
/// let spartera = Spartera::builder().company_id("acme").api_key_from(secret.clone()).build()?;
/// // Once the provider's own key has been rotated:
/// secret.replace("sk_live_2");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SharedSecret(Arc<RwLock<Secret>>);

impl SharedSecret {
    /// A secret, for now.
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self(Arc::new(RwLock::new(secret.into())))
    }

    /// The secret as it is now.
    pub fn get(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another secret in its place. Calls that are on their way end with the old one.
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

/// A secret that a function supplies: from a vault, from a file.
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
    /// A source that asks `supply` each time.
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

/// A vendor's generated client, as far as access is concerned.
pub(crate) trait RawClient: Clone {
    fn over(transport: Transport) -> Self;
    fn transport(&self) -> &Transport;
}

/// In which header a secret goes.
pub(crate) type Scheme = fn(Secret) -> Result<Credential, InvalidCredential>;

/// A generated client, and where its credential comes from.
#[derive(Clone)]
pub(crate) struct Access<C> {
    client: C,
    scheme: Scheme,
    source: Option<Arc<dyn SecretSource>>,
}

impl<C: RawClient> Access<C> {
    pub(crate) fn new(transport: Transport, scheme: Scheme, source: Option<Arc<dyn SecretSource>>) -> Self {
        Self { client: C::over(transport), scheme, source }
    }

    /// The client with the credential that holds now.
    pub(crate) async fn client(&self, call: &Call<'_>) -> Result<Cow<'_, C>> {
        let Some(source) = &self.source else {
            return Ok(Cow::Borrowed(&self.client));
        };
        let failed = |problem: &'static str| {
            call.failed(ErrorKind::Unauthenticated, Outcome::NotSent, problem)
                .advise("See to it that the source of the secret works")
        };
        let secret =
            source.secret().await.map_err(|why| failed("the source of the credential has none").caused_by(why))?;
        let credential = (self.scheme)(secret)
            .map_err(|why| failed("the source of the credential gave one that cannot be sent").caused_by(why))?;
        Ok(Cow::Owned(C::over(self.client.transport().with_credential(credential))))
    }

    /// The same access with a secret that stays.
    pub(crate) fn with_secret(&self, call: &Call<'_>, secret: &Secret) -> Result<Self> {
        let credential =
            (self.scheme)(secret.clone()).map_err(|why| call.invalid("the secret cannot be sent").caused_by(why))?;
        let client = C::over(self.client.transport().with_credential(credential));
        Ok(Self { client, scheme: self.scheme, source: None })
    }
}

/// Without the source: nobody has seen to it that its `Debug` hides what it keeps.
impl<C: fmt::Debug> fmt::Debug for Access<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("client", &self.client).finish_non_exhaustive()
    }
}
