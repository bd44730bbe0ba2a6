//! Setting up Monad.

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use monad_raw::{BASE_URL, types};

use super::{Monad, VENDOR};
use crate::vendor::credential::Scheme;
use crate::vendor::setup::{self, Settings};
use crate::{Result, SecretSource};

/// Settings of a [`Monad`] provider to be.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MonadBuilder {
    organization_id: String,
    scheme: Scheme,
    settings: Settings,
}

const API_KEY: Scheme = |secret| Credential::api_key(secret);
const BEARER: Scheme = |secret| Credential::bearer(secret);

impl MonadBuilder {
    pub(super) fn new() -> Self {
        Self { organization_id: String::new(), scheme: API_KEY, settings: Settings::default() }
    }

    /// The organization whose keys these are. Required.
    pub fn organization_id(mut self, id: impl Into<String>) -> Self {
        self.organization_id = id.into();
        self
    }

    /// The API key to authenticate with, sent in the header `x-api-key`. This or [`bearer`](Self::bearer) is required.
    pub fn api_key(mut self, token: impl Into<Secret>) -> Self {
        self.scheme = API_KEY;
        self.settings.secret(token);
        self
    }

    /// Where the API key to authenticate with comes from, which is asked before every request.
    pub fn api_key_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.scheme = API_KEY;
        self.settings.secret_from(source);
        self
    }

    /// The JWT to authenticate with, sent in the header `Authorization`. This or [`api_key`](Self::api_key) is required.
    pub fn bearer(mut self, jwt: impl Into<Secret>) -> Self {
        self.scheme = BEARER;
        self.settings.secret(jwt);
        self
    }

    /// Where the JWT to authenticate with comes from, which is asked before every request.
    pub fn bearer_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.scheme = BEARER;
        self.settings.secret_from(source);
        self
    }

    /// Where the service is: `https://monad.com/api` unless set here.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(url.into());
        self
    }

    /// Further settings of the HTTP client: time limits, size limits, proxies.
    pub fn transport(mut self, adjust: impl FnOnce(TransportBuilder) -> TransportBuilder + Send + 'static) -> Self {
        self.settings.adjust(adjust);
        self
    }

    /// Checks the settings and makes the provider. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the organization id or the credential is missing or not acceptable, or the base URL is not.
    pub fn build(self) -> Result<Monad> {
        let organization_id = setup::scope::<types::OrganizationId>(VENDOR, "organization id", &self.organization_id)?;
        let access = self.settings.access(VENDOR, BASE_URL, self.scheme)?;
        Ok(Monad { name: VENDOR.into(), access, organization_id })
    }
}
