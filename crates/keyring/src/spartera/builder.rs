//! Setting up Spartera.

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use spartera_raw::{BASE_URL, Client, types};

use super::{Spartera, VENDOR};
use crate::Result;
use crate::setup::{self, Settings};

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

    /// The API key to authenticate with. Required.
    pub fn api_key(mut self, secret: impl Into<Secret>) -> Self {
        self.settings.credential(Credential::api_key(secret));
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
        let client = Client::over(self.settings.transport(VENDOR, BASE_URL)?);
        Ok(Spartera { name: VENDOR.into(), client, company_id })
    }
}
