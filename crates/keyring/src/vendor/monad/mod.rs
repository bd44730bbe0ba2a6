//! Monad: the API keys of an organization.

mod builder;
mod convert;

use std::sync::Arc;

use api_keyring_transport::{Secret, Transport};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use monad_raw::{Client, types};

pub use self::builder::MonadBuilder;
use crate::vendor::call::{Call, VendorWords};
use crate::vendor::credential::{API_KEY, Access, RawClient};
use crate::{
    ApiKey, Capabilities, Capability, IssuedKey, KeyId, KeyStats, KeyUpdate, NewKey, Operation, Page, PageRequest,
    Paging, Provider, Regeneration, Result, Revocation, Support,
};

const VENDOR: &str = "monad";

const SET_ROLE: &str = "Set it with `NewKey::role` (`--role`)";
const SET_EXPIRY: &str = "Set it with `NewKey::expires_in` (`--expires-in`)";
const SET_NAME: &str = "Set a name in the same update (`KeyUpdate::name`, `--name`)";

/// The API keys of a Monad organization.
///
/// Roles are ids. Every key expires, and only a regenerate can change the expiry. Deleting is the only way to end a
/// key; Monad has no separate revoke.
///
/// ```
/// use api_keyring::{Monad, Provider};
///
/// let monad = Monad::builder().organization_id("acme").bearer("eyJhbGciOi…".replace('…', "")).build()?;
/// assert_eq!((monad.vendor(), monad.scope()), ("monad", "acme"));
/// # Ok::<(), api_keyring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Monad {
    // The name that keys and errors carry. A keyring replaces it with its own.
    name: Arc<str>,
    access: Access<Client>,
    organization_id: types::OrganizationId,
}

impl Monad {
    /// Starts to build the provider.
    pub fn builder() -> MonadBuilder {
        MonadBuilder::new()
    }

    fn call<'a>(&'a self, operation: Operation, key: Option<&'a KeyId>) -> Call<'a> {
        Call { provider: &self.name, endpoint: self.access.endpoint(), operation, key, words: &WORDS }
    }
}

const WORDS: VendorWords =
    VendorWords { looks_like_secret: convert::looks_like_secret, is_failure: convert::is_failure };

pub(crate) const CAPABILITIES: Capabilities = Capabilities::new(|capability| match capability {
    Capability::CreateWithoutExpiry => {
        Support::Unsupported { instead: "Set an expiry, and replace the key before then" }
    }
    Capability::CreateWithOwner | Capability::UpdateOwner => {
        Support::Unsupported { instead: "Write the owner into the description" }
    }
    Capability::UpdateRole => Support::Unsupported { instead: "Create a key with the other role, and delete this one" },
    Capability::UpdateExpiry => Support::Unsupported { instead: "Regenerate the key with a new expiry" },
    Capability::Search => {
        Support::Emulated { difference: "this crate reads the whole list and searches names and descriptions" }
    }
    Capability::Sort => Support::Emulated { difference: "this crate reads and sorts the whole list" },
    Capability::Revoke => Support::Unsupported { instead: "Delete the key" },
    Capability::RevokeReason => Support::Unsupported { instead: "Record the reason where you keep track of keys" },
    Capability::Stats => Support::Unsupported { instead: "Read the key: current servers report when it was last used" },
    Capability::Whoami => Support::Unsupported { instead: "Read the claims of the token: they may name the key" },
    _ => Support::Native,
});

#[async_trait]
impl Provider for Monad {
    fn name(&self) -> &str {
        &self.name
    }

    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn scope(&self) -> &str {
        &self.organization_id
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn paging(&self) -> Paging {
        Paging::Offset
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
            .organization_id(self.organization_id.clone())
            .limit(request.limit)
            .offset(request.offset);
        convert::page(&call, request, client.transport().max_response_bytes(), page.send().await)
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        let call = self.call(Operation::Get, Some(id));
        let client = self.access.client(&call).await?;
        let request = client
            .get_api_key()
            .organization_id(self.organization_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?);
        let (answer, date) = call.answer_with_date(request.send().await)?;
        let key = convert::key(&call, answer).map_err(|malformed| call.malformed(malformed))?;
        Ok(call.same_key(key)?.with_as_of(date))
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        let call = self.call(Operation::Create, None);
        new.check().map_err(|error| call.add_context(error))?;
        call.require_for(CAPABILITIES, Capability::CreateWithOwner, new.owner.as_ref())?;
        let role = new.role.as_deref().filter(|role| !role.is_empty());
        let role = role.ok_or_else(|| call.invalid("Monad requires a role, which is an id").advise(SET_ROLE))?;
        let expiry =
            new.expiry.ok_or_else(|| call.invalid("Monad requires an expiry: every key expires").advise(SET_EXPIRY))?;
        let expiry = call.expiry_time(expiry, self.access.now())?;
        let expiry = expiry.ok_or_else(|| call.unsupported(CAPABILITIES, Capability::CreateWithoutExpiry))?;
        let body = types::CreateApiKeyRequest::builder()
            .name(new.name.as_str())
            .role_id(role)
            .expiration_time(rfc3339(expiry))
            .description(new.description.clone());
        let client = self.access.client(&call).await?;
        let request = client.create_api_key().organization_id(self.organization_id.clone()).body(body);
        convert::issued(&call, call.answer(request.send().await)?)
    }

    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
        let call = self.call(Operation::Update, Some(id));
        update.check().map_err(|error| call.add_context(error))?;
        call.require_for(CAPABILITIES, Capability::UpdateRole, update.role.as_ref())?;
        call.require_for(CAPABILITIES, Capability::UpdateExpiry, update.expiry.as_ref())?;
        call.require_for(CAPABILITIES, Capability::UpdateOwner, update.owner.as_ref())?;
        let name = match &update.name {
            Some(name) => name.clone(),
            // The documentation requires a name even if it does not change.
            None => {
                let key = self.get(id).await.map_err(|error| error.while_preparing(Operation::Update))?;
                let name = key.name().filter(|name| !name.trim().is_empty());
                name.ok_or_else(|| call.invalid("the key has no name, but Monad requires one").advise(SET_NAME))?
                    .to_owned()
            }
        };
        let body = types::UpdateApiKeyRequest::builder().name(name).description(update.description.clone());
        let client = self.access.client(&call).await?;
        let request = client
            .update_api_key()
            .organization_id(self.organization_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?)
            .body(body);
        let key: types::ApiKey = call.answer(request.send().await)?;
        convert::key(&call, key).map(Some).map_err(|malformed| call.malformed(malformed))
    }

    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey> {
        let call = self.call(Operation::Regenerate, Some(id));
        let expiry = match how.expiry {
            None => None,
            Some(expiry) => Some(
                call.expiry_time(expiry, self.access.now())?
                    .ok_or_else(|| call.unsupported(CAPABILITIES, Capability::CreateWithoutExpiry))?,
            ),
        };
        let body = types::RegenerateApiKeyRequest::builder().expiration_time(expiry.map(rfc3339));
        let client = self.access.client(&call).await?;
        let request = client
            .regenerate_api_key()
            .organization_id(self.organization_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?)
            .body(body);
        convert::issued(&call, call.answer(request.send().await)?)
    }

    async fn revoke(&self, id: &KeyId, _: &Revocation) -> Result<()> {
        Err(self.call(Operation::Revoke, Some(id)).unsupported(CAPABILITIES, Capability::Revoke))
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        let call = self.call(Operation::Delete, Some(id));
        let client = self.access.client(&call).await?;
        let request = client
            .delete_api_key()
            .organization_id(self.organization_id.clone())
            .api_key_id(call.vendor_id::<types::ApiKeyId>(id)?);
        call.acknowledged(request.send().await)
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        Err(self.call(Operation::Stats, Some(id)).unsupported(CAPABILITIES, Capability::Stats))
    }

    async fn whoami(&self) -> Result<KeyId> {
        Err(self.call(Operation::Whoami, None).unsupported(CAPABILITIES, Capability::Whoami))
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl RawClient for Client {
    fn over(transport: Transport) -> Self {
        Self::over(transport)
    }

    fn transport(&self) -> &Transport {
        self.transport()
    }
}
