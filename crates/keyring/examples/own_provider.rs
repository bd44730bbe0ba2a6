//! Implements a provider for another vendor, and tests it with the conformance suite.
//!
//! `cargo run -p api-keyring --example own_provider`
//!
//! The vendor is a toy that lives in this process. Its keys have only a name and an expiry, and it can issue, list, read and
//! delete them. In your own crate, `Vault` would call the vendor's API. Your dev-dependencies would enable the feature
//! `conformance` of `api-keyring`.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api_keyring::conformance::{Subject, run};
use api_keyring::{
    ApiKey, Capabilities, Capability, Error, ErrorKind, IssuedKey, KeyId, KeyStats, KeyUpdate, NewKey, Operation,
    Outcome, Page, PageRequest, Paging, Provider, Regeneration, Result, Revocation, Secret, Support,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// The vendor's capabilities. The function decides on each, so it cannot forget one.
const CAPABILITIES: Capabilities = Capabilities::new(|capability| match capability {
    Capability::List | Capability::Get | Capability::Create | Capability::CreateWithoutExpiry => Support::Native,
    Capability::Delete => Support::Native,
    Capability::Search | Capability::Sort => {
        Support::Emulated { difference: "this provider reads the whole list first" }
    }
    Capability::Update => Support::Unsupported { instead: "Create another key, and delete this one" },
    Capability::Revoke | Capability::RevokeReason => Support::Unsupported { instead: "Delete the key" },
    Capability::Regenerate => Support::Unsupported { instead: "Create another key, and delete this one" },
    _ => Support::Unsupported { instead: "Keep your own record" },
});

/// The vendor's service, with its keys by number.
#[derive(Default)]
struct Service {
    keys: BTreeMap<u64, Record>,
}

struct Record {
    name: String,
    secret: Secret,
    expires: Option<DateTime<Utc>>,
}

/// The vendor's keys, reached with one credential.
#[derive(Clone)]
struct Vault {
    service: Arc<Mutex<Service>>,
    credential: Secret,
}

impl Vault {
    /// Creates a vault with one key and uses that key.
    fn new() -> Self {
        let credential = Secret::new("vault_0_root");
        let root = Record { name: "root".to_owned(), secret: credential.clone(), expires: None };
        let service = Service { keys: BTreeMap::from([(0, root)]) };
        Self { service: Arc::new(Mutex::new(service)), credential }
    }

    /// Calls the service with this provider's credential, and adds the provider, operation and key to an error.
    fn call<T>(
        &self,
        operation: Operation,
        id: Option<&KeyId>,
        act: impl FnOnce(&mut Service) -> Result<T>,
    ) -> Result<T> {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Utc::now();
        let mut keys = service.keys.values();
        let is_known = keys.any(|key| key.secret == self.credential && key.expires.is_none_or(|expires| now < expires));
        let result = if is_known {
            act(&mut service)
        } else {
            Err(Error::new(ErrorKind::Unauthenticated, Outcome::Rejected, "the vault does not know the credential"))
        };
        result.map_err(|error| error.about(operation, id).under(self.name()))
    }

    /// Refuses an operation that the vendor does not offer. Nothing is sent.
    fn refuse<T>(&self, capability: Capability, id: &KeyId) -> Result<T> {
        Err(CAPABILITIES.refusal(capability).about(capability.operation(), Some(id)).under(self.name()))
    }

    fn key(&self, id: KeyId, record: &Record) -> ApiKey {
        let key = ApiKey::builder(self.name(), id).name(&record.name).masked_secret(record.secret.masked());
        match record.expires {
            Some(expires) => key.expires_at(expires).build(),
            None => key.never_expires().build(),
        }
    }
}

/// Leaves out the credential.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

/// Returns the vendor's number for an id. An id that is not a number belongs to no key.
fn number(id: &KeyId) -> Option<u64> {
    id.as_str().parse().ok()
}

fn id(number: u64) -> Result<KeyId> {
    let invalid = |why| {
        Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, "the vault returned an invalid id").caused_by(why)
    };
    number.to_string().parse().map_err(invalid)
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, Outcome::Rejected, "the vault has no such key")
}

#[async_trait]
impl Provider for Vault {
    fn name(&self) -> &str {
        self.vendor()
    }

    fn vendor(&self) -> &'static str {
        "vault"
    }

    fn scope(&self) -> &str {
        "this process"
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn paging(&self) -> Paging {
        Paging::Offset
    }

    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(Self { credential: secret.clone(), ..self.clone() }))
    }

    async fn list_page(&self, request: &PageRequest) -> Result<Page> {
        self.call(Operation::List, None, |service| {
            let row = |(n, record): (&u64, &Record)| Ok(self.key(id(*n)?, record));
            let page = service.keys.iter().skip(request.offset as usize).take(request.limit as usize).map(row);
            Ok(Page::new(page.collect()).with_total(Some(service.keys.len() as u64)))
        })
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        self.call(Operation::Get, Some(id), |service| {
            let record = number(id).and_then(|n| service.keys.get(&n)).ok_or_else(not_found)?;
            Ok(self.key(id.clone(), record))
        })
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        // Check everything before sending anything.
        let check = || {
            new.check()?;
            CAPABILITIES.require_for(Capability::CreateWithOwner, new.owner.as_ref())?;
            CAPABILITIES.require_for(Capability::Description, new.description.as_ref())?;
            new.expiry.map(|expiry| expiry.time_at(Utc::now())).transpose().map(Option::flatten)
        };
        let expires = check().map_err(|error: Error| error.about(Operation::Create, None).under(self.name()))?;
        self.call(Operation::Create, None, |service| {
            let number = service.keys.keys().next_back().map_or(0, |last| last + 1);
            // This is a toy. A real secret must be hard to guess.
            let secret = Secret::new(format!("vault_{number}_{}", new.name.len()));
            let record = Record { name: new.name.clone(), secret: secret.clone(), expires };
            service.keys.insert(number, record);
            Ok(IssuedKey::new(id(number)?, secret, None))
        })
    }

    async fn update(&self, id: &KeyId, _: &KeyUpdate) -> Result<Option<ApiKey>> {
        self.refuse(Capability::Update, id)
    }

    async fn regenerate(&self, id: &KeyId, _: &Regeneration) -> Result<IssuedKey> {
        self.refuse(Capability::Regenerate, id)
    }

    async fn revoke(&self, id: &KeyId, _: &Revocation) -> Result<()> {
        self.refuse(Capability::Revoke, id)
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        self.call(Operation::Delete, Some(id), |service| {
            number(id).and_then(|n| service.keys.remove(&n)).map(drop).ok_or_else(not_found)
        })
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        self.refuse(Capability::Stats, id)
    }

    async fn whoami(&self) -> Result<KeyId> {
        Err(CAPABILITIES.refusal(Capability::Whoami).about(Operation::Whoami, None).under(self.name()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let report = run(&Subject::new(Vault::new(), "reader", "writer")).await;
    println!("{report}");
    report.assert_passed();
}
