//! Spartera: the API keys of a company.

mod builder;
mod convert;

use std::sync::Arc;

use api_keyring_transport::{Secret, Transport};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use spartera_raw::{Client, types};

pub use self::builder::SparteraBuilder;
use crate::vendor::call::{Call, VendorWords};
use crate::vendor::credential::{API_KEY, Access, RawClient};
use crate::vendor::rows::Malformed;
use crate::{
    ApiKey, Capabilities, Capability, Expiry, IssuedKey, KeyId, KeyStats, KeyUpdate, NewKey, Operation, Page,
    PageRequest, Paging, Provider, Regeneration, Result, Revocation, Support, redact_secrets,
};

const VENDOR: &str = "spartera";

const SET_ROLE: &str = "Set it with `NewKey::role` (`--role`)";

/// The API keys of a Spartera company.
///
/// Roles are numbers. A key without an expiry never expires. The vendor's documentation and its servers use different
/// field names and paging; this provider accepts all of them.
///
/// ```
/// use api_keyring::{Provider, Spartera};
///
/// let spartera = Spartera::builder().company_id("acme").api_key("sk_live_123").build()?;
/// assert_eq!((spartera.vendor(), spartera.scope()), ("spartera", "acme"));
/// # Ok::<(), api_keyring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Spartera {
    // The name that keys and errors carry. A keyring replaces it with its own.
    name: Arc<str>,
    access: Access<Client>,
    company_id: types::CompanyId,
}

impl Spartera {
    /// Starts to build the provider.
    pub fn builder() -> SparteraBuilder {
        SparteraBuilder::default()
    }

    fn call<'a>(&'a self, operation: Operation, key: Option<&'a KeyId>) -> Call<'a> {
        Call { provider: &self.name, endpoint: self.access.endpoint(), operation, key, words: &WORDS }
    }
}

const WORDS: VendorWords =
    VendorWords { looks_like_secret: convert::looks_like_secret, is_failure: convert::is_failure };

/// The maximum number of keys on one of Spartera's pages.
const MAX_PAGE_SIZE: u64 = 100;

const SORT_DIFFERENCE: &str =
    "this crate reads and sorts the whole list, because older servers ignore the requested order";

pub(crate) const CAPABILITIES: Capabilities = Capabilities::new(|capability| match capability {
    Capability::Regenerate => {
        Support::Unsupported { instead: "Create a new key, switch to it, and revoke the old one" }
    }
    Capability::Sort => Support::Emulated { difference: SORT_DIFFERENCE },
    Capability::RevokeReason => {
        Support::Emulated { difference: "servers may ignore the reason: the documented request has no field for it" }
    }
    Capability::Description => {
        Support::Emulated { difference: "servers may ignore the description: only the reference guide mentions it" }
    }
    Capability::Whoami => Support::Unsupported { instead: "Compare the secret with the masked secret on the key" },
    _ => Support::Native,
});

#[async_trait]
impl Provider for Spartera {
    fn name(&self) -> &str {
        &self.name
    }

    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn scope(&self) -> &str {
        &self.company_id
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn paging(&self) -> Paging {
        Paging::Number
    }

    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
        let access = self.access.with_secret(&self.call(Operation::Get, None), secret, API_KEY)?;
        Ok(Arc::new(Self { access, ..self.clone() }))
    }

    async fn list_page(&self, request: &PageRequest) -> Result<Page> {
        let call = self.call(Operation::List, None);
        let client = self.access.client(&call).await?;
        let page = client
            .list_api_keys()
            .company_id(self.company_id.clone())
            .page(request.number())
            .limit(request.limit.clamp(1, MAX_PAGE_SIZE));
        let page = match &request.search {
            Some(text) => page.search(text),
            None => page,
        };
        convert::page(&call, request, client.transport().max_response_bytes(), page.send().await)
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        let call = self.call(Operation::Get, Some(id));
        let client = self.access.client(&call).await?;
        let request =
            client.get_api_key().company_id(self.company_id.clone()).api_key_id(call.vendor_id::<types::ApiKeyId>(id)?);
        let (answer, date): (types::GetApiKeyResponse, _) = call.answer_with_date(request.send().await)?;
        let key = convert::key(&call, answer.data).map_err(|malformed| call.malformed(malformed))?;
        Ok(call.same_key(key)?.with_as_of(date))
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        let call = self.call(Operation::Create, None);
        new.check().map_err(|error| call.add_context(error))?;
        let role = new
            .role
            .as_deref()
            .ok_or_else(|| call.invalid("Spartera requires a role, which is a number").advise(SET_ROLE))?;
        let expiry = new.expiry.map(|expiry| call.expiry_time(expiry, self.access.now())).transpose()?.flatten();
        let body = types::CreateApiKeyRequest::builder()
            .company_id(self.company_id.clone())
            .role_id(role_number(&call, role)?)
            .name(new.name.clone())
            .expiration_date_utc(expiry)
            .description(new.description.clone())
            .user_id(new.owner.clone());
        let client = self.access.client(&call).await?;
        let request = client.create_api_key().company_id(self.company_id.clone()).body(body);
        convert::issued(&call, call.answer(request.send().await)?)
    }

    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
        let call = self.call(Operation::Update, Some(id));
        update.check().map_err(|error| call.add_context(error))?;
        let role = update.role.as_deref().map(|role| role_number(&call, role)).transpose()?;
        let expiry = update.expiry.map(|expiry| changed_expiry(&call, expiry, self.access.now())).transpose()?;
        let body = types::UpdateApiKeyRequest::builder()
            .role_id(role)
            .name(update.name.clone())
            .expiration_date_utc(expiry)
            .description(update.description.clone())
            .user_id(update.owner.clone());
        let client = self.access.client(&call).await?;
        let request = client
            .update_api_key()
            .company_id(self.company_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?)
            .body(body);
        call.acknowledged(request.send().await)?;
        Ok(None)
    }

    async fn regenerate(&self, id: &KeyId, _: &Regeneration) -> Result<IssuedKey> {
        let call = self.call(Operation::Regenerate, Some(id));
        Err(call.unsupported(CAPABILITIES, Capability::Regenerate))
    }

    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()> {
        let call = self.call(Operation::Revoke, Some(id));
        let role = match &how.role {
            Some(role) => role_number(&call, role)?,
            None => {
                let key = self.get(id).await.map_err(|error| error.while_preparing(Operation::Revoke))?;
                let role = key.role().ok_or_else(|| {
                    call.invalid("Spartera requires the key's role to revoke it, but does not report the role")
                        .advise("Give the role (`Revocation::role`, `--role`), or delete the key")
                })?;
                role_number(&call, role)?
            }
        };
        let body = types::RevokeApiKeyRequest::builder()
            .company_id(self.company_id.clone())
            .role_id(role)
            .reason(how.reason.clone());
        let client = self.access.client(&call).await?;
        let request = client
            .revoke_api_key()
            .company_id(self.company_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?)
            .body(body);
        call.acknowledged(request.send().await)
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        let call = self.call(Operation::Delete, Some(id));
        let client = self.access.client(&call).await?;
        let request = client
            .delete_api_key()
            .company_id(self.company_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?);
        call.acknowledged(request.send().await)
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        let call = self.call(Operation::Stats, Some(id));
        let client = self.access.client(&call).await?;
        let request = client
            .get_api_key_stats()
            .company_id(self.company_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?);
        let answer: types::GetApiKeyStatsResponse = call.answer(request.send().await)?;
        let key = match answer.data {
            types::ApiKeyStats::ApiKey(key) => key,
            types::ApiKeyStats::List(rows) => {
                let count = rows.count();
                let mut keys = rows.into_iter();
                match (keys.next(), keys.next()) {
                    (Some(Ok(key)), None) => key,
                    (Some(Err(why)), None) => return Err(call.malformed(Malformed::new(why.to_string()))),
                    _ => {
                        return Err(call.unexpected(format!("the answer holds {count} keys instead of one")));
                    }
                }
            }
        };
        let key = convert::key(&call, key).map_err(|malformed| call.malformed(malformed))?;
        Ok(KeyStats::from_extra(key))
    }

    async fn whoami(&self) -> Result<KeyId> {
        Err(self.call(Operation::Whoami, None).unsupported(CAPABILITIES, Capability::Whoami))
    }
}

fn role_number(call: &Call<'_>, role: &str) -> Result<i64> {
    let refuse =
        || call.invalid(format!("the role {:?} is not a number, but all Spartera roles are", redact_secrets(role)));
    role.parse().map_err(|_| refuse())
}

fn changed_expiry(call: &Call<'_>, expiry: Expiry, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    call.expiry_time(expiry, now)?.ok_or_else(|| {
        call.invalid("Spartera documents no request that removes an expiry")
            .advise("Create a key that never expires instead")
    })
}

impl RawClient for Client {
    fn over(transport: Transport) -> Self {
        Self::over(transport)
    }

    fn transport(&self) -> &Transport {
        self.transport()
    }
}
