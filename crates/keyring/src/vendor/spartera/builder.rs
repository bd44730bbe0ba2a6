//! Setting up Spartera.

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use spartera_raw::{BASE_URL, types};

use super::{Spartera, VENDOR};
use crate::vendor::setup::{self, Settings};
use crate::{Result, SecretSource};

/// Settings of a [`Spartera`] provider to be.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct SparteraBuilder {
    company_id: String,
    settings: Settings,
}

impl SparteraBuilder {
    /// The company whose keys these are. Required.
    pub fn company_id(mut self, id: impl Into<String>) -> Self {
        self.company_id = id.into();
        self
    }

    /// The API key to authenticate with. This or [`api_key_from`](Self::api_key_from) is required.
    pub fn api_key(mut self, secret: impl Into<Secret>) -> Self {
        self.settings.secret(secret);
        self
    }

    /// Where the API key to authenticate with comes from, which is asked before every request.
    pub fn api_key_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.settings.secret_from(source);
        self
    }

    /// Where the service is: `https://api.spartera.com` unless set here.
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
    /// `InvalidInput` when the company id or the API key is missing or not acceptable, or the base URL is not.
    pub fn build(self) -> Result<Spartera> {
        let company_id = setup::scope::<types::CompanyId>(VENDOR, "company id", &self.company_id)?;
        let access = self.settings.access(VENDOR, BASE_URL, Credential::api_key)?;
        Ok(Spartera { name: VENDOR.into(), access, company_id })
    }
}
