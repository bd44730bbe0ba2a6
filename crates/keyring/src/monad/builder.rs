//! Setting up Monad.

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use monad_raw::{BASE_URL, Client, types};

use super::{Monad, Scheme, VENDOR};
use crate::Result;
use crate::setup::{self, Settings};

/// Settings of a [`Monad`] provider to be.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MonadBuilder {
    organization_id: String,
    scheme: Scheme,
    settings: Settings,
}

impl MonadBuilder {
    /// The organization whose keys these are. Required.
    pub fn organization_id(mut self, id: impl Into<String>) -> Self {
        self.organization_id = id.into();
        self
    }

    /// The API key to authenticate with, sent in the header `x-api-key`. This or [`bearer`](Self::bearer) is required.
    pub fn api_key(mut self, token: impl Into<Secret>) -> Self {
        self.scheme = Scheme::ApiKey;
        self.settings.credential(Credential::api_key(token));
        self
    }

    /// The JWT to authenticate with, sent in the header `Authorization`. This or [`api_key`](Self::api_key) is required.
    pub fn bearer(mut self, jwt: impl Into<Secret>) -> Self {
        self.scheme = Scheme::Bearer;
        self.settings.credential(Credential::bearer(jwt));
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
        let client = Client::over(self.settings.transport(VENDOR, BASE_URL)?);
        Ok(Monad { name: VENDOR.into(), client, organization_id, scheme: self.scheme })
    }
}
