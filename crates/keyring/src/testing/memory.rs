//! A provider in memory, for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring_transport::Secret;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::list::query;
use crate::vendor::call::{Call, VendorWords};
use crate::{
    ApiKey, Capabilities, Capability, Clock, ErrorKind, IssuedKey, KeyId, KeyStats, KeyStatus, KeyUpdate, NewKey,
    Operation, Outcome, Page, PageRequest, Paging, Provider, Regeneration, Result, Revocation, Support, SystemClock,
};

/// A provider that keeps its keys in memory, for the tests of a program that uses providers.
///
/// It behaves like a vendor, without a network. A secret works until it is replaced, revoked, deleted or expired. The
/// provider refuses what its capabilities do not offer and answers `NotFound` for unknown keys. It does not model
/// roles: every key may do everything. Clones share the keys.
///
/// ```
/// # async fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{ListKeys, Memory, NewKey, Provider, ProviderExt};
///
/// let provider = Memory::new();
/// let issued = provider.create(&NewKey::new("ci").role("reader")).await?;
/// assert!(provider.accepts(issued.secret()).await?.is_accepted());
/// provider.delete(issued.id()).await?;
/// assert!(provider.accepts(issued.secret()).await?.is_refused());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct Memory {
    name: Arc<str>,
    vendor: &'static str,
    capabilities: Capabilities,
    replaces_on_regenerate: bool,
    clock: Arc<dyn Clock>,
    credential: Secret,
    keys: Arc<Mutex<Keys>>,
}

struct Keys {
    by_number: BTreeMap<u64, Record>,
    next: u64,
}

#[derive(Clone)]
struct Record {
    id: KeyId,
    secret: Secret,
    name: String,
    role: Option<String>,
    description: Option<String>,
    owner: Option<String>,
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    expires: Option<DateTime<Utc>>,
    is_revoked: bool,
    revocation_reason: Option<String>,
    uses: u64,
    refusals: u64,
    last_used: Option<DateTime<Utc>>,
}

const SCOPE: &str = "memory";

impl Memory {
    /// Creates a provider that offers everything. It holds one key, the administrator's, and authenticates with it.
    pub fn new() -> Self {
        let credential = new_secret();
        let memory = Self {
            name: "memory".into(),
            vendor: "memory",
            capabilities: Capabilities::new(|_| Support::Native),
            replaces_on_regenerate: false,
            clock: Arc::new(SystemClock),
            credential: credential.clone(),
            keys: Arc::new(Mutex::new(Keys { by_number: BTreeMap::new(), next: 1 })),
        };
        memory.keys().insert(NewKey::new("administrator"), credential, None, Utc::now());
        memory
    }

    /// Creates a provider with Spartera's capabilities.
    #[cfg(feature = "spartera")]
    pub fn like_spartera() -> Self {
        Self::new().with_capabilities(crate::vendor::spartera::CAPABILITIES)
    }

    /// Creates a provider with Monad's capabilities.
    #[cfg(feature = "monad")]
    pub fn like_monad() -> Self {
        Self::new().with_capabilities(crate::vendor::monad::CAPABILITIES)
    }

    /// Sets the capabilities. The provider refuses everything else.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Makes a regenerate replace the key with a new one under a new id, as older Monad servers do.
    #[must_use]
    pub fn replacing_on_regenerate(mut self) -> Self {
        self.replaces_on_regenerate = true;
        self
    }

    /// Sets the clock that decides on expiry and supplies the times on keys.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the provider's own secret.
    pub fn credential(&self) -> &Secret {
        &self.credential
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<'a>(&'a self, operation: Operation, key: Option<&'a KeyId>) -> Call<'a> {
        Call { provider: &self.name, endpoint: SCOPE, operation, key, words: &WORDS }
    }

    /// Locks the keys and counts the request. Fails if the credential does not work.
    fn authenticate(&self, call: &Call<'_>) -> Result<MutexGuard<'_, Keys>> {
        let now = self.clock.now();
        let mut keys = self.keys();
        let caller = keys.by_number.values_mut().find(|key| key.secret == self.credential);
        let works = caller.is_some_and(|key| {
            let works = key.status(now) == KeyStatus::Active;
            if works {
                key.uses += 1;
                key.last_used = Some(now);
            } else {
                key.refusals += 1;
            }
            works
        });
        if works {
            Ok(keys)
        } else {
            Err(call.failed(
                ErrorKind::Unauthenticated,
                Outcome::Rejected,
                "the credential is unknown or no longer works",
            ))
        }
    }

    fn describe(&self, record: &Record) -> ApiKey {
        let key = ApiKey::builder(&self.name, record.id.clone())
            .name(&record.name)
            .scope(SCOPE)
            .created_at(record.created)
            .updated_at(record.updated)
            .status(if record.is_revoked { KeyStatus::Revoked } else { KeyStatus::Active })
            .masked_secret(record.secret.masked());
        let key = record.role.iter().fold(key, |key, role| key.role(role));
        let key = record.description.iter().fold(key, |key, text| key.description(text));
        let key = record.owner.iter().fold(key, |key, owner| key.owner(owner));
        let key = record.last_used.into_iter().fold(key, |key, time| key.last_used_at(time));
        let key = record.revocation_reason.iter().fold(key, |key, why| key.extra("revocation_reason", why.as_str()));
        match record.expires {
            Some(time) => key.expires_at(time).build(),
            None => key.never_expires().build(),
        }
    }

    fn issued(&self, record: &Record) -> IssuedKey {
        IssuedKey::new(record.id.clone(), record.secret.clone(), Some(self.describe(record)))
    }

    /// Returns the requested expiry, or `None` if the key never expires.
    fn expiry(&self, call: &Call<'_>, asked: Option<crate::Expiry>) -> Result<Option<DateTime<Utc>>> {
        let time = asked.map(|expiry| call.expiry_time(expiry, self.clock.now())).transpose()?.flatten();
        if time.is_none() {
            call.require(self.capabilities, Capability::CreateWithoutExpiry)?;
        }
        Ok(time)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Keys {
    fn insert(&mut self, new: NewKey, secret: Secret, expires: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Record {
        let number = self.next;
        self.next += 1;
        let record = Record {
            id: KeyId::from_number(number),
            secret,
            name: new.name,
            role: new.role,
            description: new.description,
            owner: new.owner,
            created: now,
            updated: now,
            expires,
            is_revoked: false,
            revocation_reason: None,
            uses: 0,
            refusals: 0,
            last_used: None,
        };
        self.by_number.insert(number, record.clone());
        record
    }

    fn find(&mut self, call: &Call<'_>, id: &KeyId) -> Result<&mut Record> {
        let record = self.by_number.values_mut().find(|record| record.id == *id);
        record.ok_or_else(|| not_found(call))
    }

    fn remove(&mut self, call: &Call<'_>, id: &KeyId) -> Result<Record> {
        let number = self.by_number.iter().find(|(_, record)| record.id == *id).map(|(number, _)| *number);
        number.and_then(|number| self.by_number.remove(&number)).ok_or_else(|| not_found(call))
    }
}

impl Record {
    fn status(&self, now: DateTime<Utc>) -> KeyStatus {
        if self.is_revoked {
            KeyStatus::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }
}

fn not_found(call: &Call<'_>) -> crate::Error {
    call.failed(ErrorKind::NotFound, Outcome::Rejected, "the key does not exist")
        .advise("List the keys to see which exist")
}

const SECRET_PREFIX: &str = "mem_live_";

const WORDS: VendorWords =
    VendorWords { looks_like_secret: |text| text.starts_with(SECRET_PREFIX), is_failure: |_, _| true };

fn new_secret() -> Secret {
    let mut random = fastrand::Rng::new();
    Secret::new(format!("{SECRET_PREFIX}{}", (0..32).map(|_| random.alphanumeric()).collect::<String>()))
}

#[async_trait]
impl Provider for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn vendor(&self) -> &'static str {
        self.vendor
    }

    fn scope(&self) -> &str {
        SCOPE
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn paging(&self) -> Paging {
        Paging::Offset
    }

    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(Self { credential: secret.clone(), ..self.clone() }))
    }

    async fn list_page(&self, request: &PageRequest) -> Result<Page> {
        let call = self.call(Operation::List, None);
        call.require(self.capabilities, Capability::List)?;
        let keys = self.authenticate(&call)?;
        let searches = self.capabilities.support(Capability::Search) == Support::Native;
        let text = request.search.as_ref().filter(|_| searches).map(|text| text.to_lowercase());
        let is_match = |record: &&Record| {
            let description = record.description.as_deref();
            text.as_ref().is_none_or(|text| query::matches_text(Some(&record.name), description, text))
        };
        let found: Vec<_> = keys.by_number.values().filter(is_match).collect();
        let limit = request.limit.clamp(1, 100);
        let start = usize::try_from(request.offset).unwrap_or(usize::MAX);
        let page = found.iter().skip(start).take(limit as usize).map(|record| Ok(self.describe(record))).collect();
        Ok(Page::new(page).with_total(Some(found.len() as u64)).with_page_size(Some(limit)))
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        let call = self.call(Operation::Get, Some(id));
        call.require(self.capabilities, Capability::Get)?;
        let mut keys = self.authenticate(&call)?;
        keys.find(&call, id).map(|record| self.describe(record))
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        let call = self.call(Operation::Create, None);
        new.check().map_err(|error| call.add_context(error))?;
        let expires = self.expiry(&call, new.expiry)?;
        call.require(self.capabilities, Capability::Create)?;
        call.require_for(self.capabilities, Capability::CreateWithOwner, new.owner.as_ref())?;
        call.require_for(self.capabilities, Capability::Description, new.description.as_ref())?;
        let record = self.authenticate(&call)?.insert(new.clone(), new_secret(), expires, self.clock.now());
        Ok(self.issued(&record))
    }

    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
        let call = self.call(Operation::Update, Some(id));
        update.check().map_err(|error| call.add_context(error))?;
        let expires = match update.expiry {
            None => None,
            Some(expiry) => {
                let time = call.expiry_time(expiry, self.clock.now())?;
                Some(time.ok_or_else(|| call.invalid("an update cannot remove an expiry"))?)
            }
        };
        call.require(self.capabilities, Capability::Update)?;
        call.require_for(self.capabilities, Capability::UpdateRole, update.role.as_ref())?;
        call.require_for(self.capabilities, Capability::UpdateExpiry, update.expiry.as_ref())?;
        call.require_for(self.capabilities, Capability::UpdateOwner, update.owner.as_ref())?;
        call.require_for(self.capabilities, Capability::Description, update.description.as_ref())?;
        let mut keys = self.authenticate(&call)?;
        let record = keys.find(&call, id)?;
        if let Some(name) = &update.name {
            record.name.clone_from(name);
        }
        record.role = update.role.clone().or_else(|| record.role.take());
        record.description = update.description.clone().or_else(|| record.description.take());
        record.owner = update.owner.clone().or_else(|| record.owner.take());
        record.expires = expires.or(record.expires);
        record.updated = self.clock.now();
        Ok(Some(self.describe(record)))
    }

    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey> {
        let call = self.call(Operation::Regenerate, Some(id));
        call.require(self.capabilities, Capability::Regenerate)?;
        let expires = match how.expiry {
            None => None,
            asked => self.expiry(&call, asked)?,
        };
        let mut keys = self.authenticate(&call)?;
        let now = self.clock.now();
        if self.replaces_on_regenerate {
            let old = keys.remove(&call, id)?;
            let expires = expires.or(old.expires);
            let new =
                NewKey { name: old.name, role: old.role, expiry: None, description: old.description, owner: old.owner };
            return Ok(self.issued(&keys.insert(new, new_secret(), expires, now)));
        }
        let record = keys.find(&call, id)?;
        record.secret = new_secret();
        record.expires = expires.or(record.expires);
        record.updated = now;
        Ok(self.issued(record))
    }

    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()> {
        let call = self.call(Operation::Revoke, Some(id));
        call.require(self.capabilities, Capability::Revoke)?;
        call.require_for(self.capabilities, Capability::RevokeReason, how.reason.as_ref())?;
        let mut keys = self.authenticate(&call)?;
        let record = keys.find(&call, id)?;
        if !record.is_revoked {
            record.is_revoked = true;
            record.revocation_reason.clone_from(&how.reason);
        }
        Ok(())
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        let call = self.call(Operation::Delete, Some(id));
        call.require(self.capabilities, Capability::Delete)?;
        self.authenticate(&call)?.remove(&call, id).map(drop)
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        let call = self.call(Operation::Stats, Some(id));
        call.require(self.capabilities, Capability::Stats)?;
        let mut keys = self.authenticate(&call)?;
        let record = keys.find(&call, id)?;
        let mut stats = KeyStats::new(self.describe(record));
        stats.usage_count = Some(record.uses);
        stats.failed_attempts = Some(record.refusals);
        stats.last_used_at = record.last_used.map(Into::into);
        Ok(stats)
    }

    async fn whoami(&self) -> Result<KeyId> {
        let call = self.call(Operation::Whoami, None);
        call.require(self.capabilities, Capability::Whoami)?;
        let keys = self.authenticate(&call)?;
        let own = keys.by_number.values().find(|record| record.secret == self.credential);
        own.map(|record| record.id.clone()).ok_or_else(|| not_found(&call))
    }
}
