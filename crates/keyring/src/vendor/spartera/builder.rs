//! Settings of the Spartera provider.

use std::sync::Arc;

use api_keyring_transport::{Credential, Secret, TransportBuilder};
use spartera_raw::{BASE_URL, types};

use super::{Spartera, VENDOR};
use crate::vendor::setup::{self, Settings};
use crate::{Clock, Result, SecretSource};

/// Builds a [`Spartera`] provider.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct SparteraBuilder {
    company_id: String,
    settings: Settings,
}

impl SparteraBuilder {
    /// Sets the company that owns the keys. Required.
    pub fn company_id(mut self, id: impl Into<String>) -> Self {
        self.company_id = id.into();
        self
    }

    /// Sets the API key to authenticate with. This or [`api_key_from`](Self::api_key_from) is required.
    pub fn api_key(mut self, secret: impl Into<Secret>) -> Self {
        self.settings.secret(secret);
        self
    }

    /// Sets the source of the API key to authenticate with. The provider asks it before every request.
    pub fn api_key_from(mut self, source: impl SecretSource + 'static) -> Self {
        self.settings.secret_from(source);
        self
    }

    /// Sets the service's URL. The default is `https://api.spartera.com`.
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
    /// `InvalidInput` if the company id or the API key is missing or invalid, or if the base URL is invalid.
    pub fn build(self) -> Result<Spartera> {
        let company_id = setup::scope::<types::CompanyId>(VENDOR, "company id", &self.company_id)?;
        let access = self.settings.access(VENDOR, BASE_URL, Credential::api_key)?;
        Ok(Spartera { name: VENDOR.into(), access, company_id })
    }
}
