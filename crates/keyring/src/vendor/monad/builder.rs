//! Settings of the Monad provider.

use std::sync::Arc;

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use monad_raw::{BASE_URL, types};

use super::{Monad, VENDOR};
use crate::vendor::credential::{API_KEY, Scheme};
use crate::vendor::setup::{self, Settings};
use crate::{Clock, Result, SecretSource};

/// Builds a [`Monad`] provider.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MonadBuilder {
    organization_id: String,
    scheme: Scheme,
    settings: Settings,
}

const BEARER: Scheme = |secret| Credential::bearer(secret);

impl MonadBuilder {
    pub(super) fn new() -> Self {
        Self { organization_id: String::new(), scheme: API_KEY, settings: Settings::default() }
    }

    /// Sets the organization that owns the keys. Required.
    pub fn organization_id(mut self, id: impl Into<String>) -> Self {
        self.organization_id = id.into();
        self
    }

    /// Sets the API key to authenticate with, sent in the header `x-api-key`. This or [`bearer`](Self::bearer) is
    /// required.
    pub fn api_key(mut self, token: impl Into<Secret>) -> Self {
        self.scheme = API_KEY;
        self.settings.secret(token);
        self
    }

    /// Sets the source of the API key to authenticate with. The provider asks it before every request.
    pub fn api_key_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.scheme = API_KEY;
        self.settings.secret_from(source);
        self
    }

    /// Sets the JWT to authenticate with, sent in the header `Authorization`. This or [`api_key`](Self::api_key) is
    /// required.
    pub fn bearer(mut self, jwt: impl Into<Secret>) -> Self {
        self.scheme = BEARER;
        self.settings.secret(jwt);
        self
    }

    /// Sets the source of the JWT to authenticate with. The provider asks it before every request.
    pub fn bearer_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.scheme = BEARER;
        self.settings.secret_from(source);
        self
    }

    /// Sets the service's URL. The default is `https://monad.com/api`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(url.into());
        self
    }

    /// Sets the clock from which the provider counts the lifetimes of keys ([`Expiry::In`](crate::Expiry::In)). The
    /// default is the machine's.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.settings.clock = Some(Arc::new(clock));
        self
    }

    /// Changes settings of the HTTP client, such as timeouts, size limits and proxies.
    pub fn transport(mut self, adjust: impl FnOnce(TransportBuilder) -> TransportBuilder + Send + 'static) -> Self {
        self.settings.adjust(adjust);
        self
    }

    /// Checks the settings and creates the provider. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the organization id or the credential is missing or invalid, or if the base URL is invalid.
    pub fn build(self) -> Result<Monad> {
        let organization_id = setup::scope::<types::OrganizationId>(VENDOR, "organization id", &self.organization_id)?;
        let access = self.settings.access(VENDOR, BASE_URL, self.scheme)?;
        Ok(Monad { name: VENDOR.into(), access, organization_id })
    }
}
