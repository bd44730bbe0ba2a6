//! A key's whole life in every documented form of each vendor, alone and in a keyring.

use std::sync::Arc;

use api_keyring::{
    Capability, Error, ErrorKind, Expiry, IssuedKey, KeyId, KeyStatus, KeyUpdate, Keyring, NewKey, Operation, Outcome,
    Provider, Regeneration, Revocation, Support, Timestamp,
};
use api_keyring_emulator::{Emulator, Revision, SparteraShape};
use chrono::TimeDelta;

use crate::support::{VARIANTS, Vendor, administrator, assert_error, emulator, id, keys, time};

/// One form of a vendor, and its provider under a name.
struct Variant {
    emulator: Emulator,
    vendor: Vendor,
    revision: Revision,
    shape: SparteraShape,
    name: &'static str,
    provider: Arc<dyn Provider>,
}

impl Variant {
    /// Starts every form of every vendor, once alone and once in a keyring.
    async fn all() -> Vec<Self> {
        let mut variants = Vec::new();
        for (vendor, revision, shape) in VARIANTS {
            for is_in_keyring in [false, true] {
                let emulator = emulator(revision, shape).await;
                let alone = administrator(&emulator, vendor);
                let (name, provider): (_, Arc<dyn Provider>) = match (vendor, is_in_keyring) {
                    (Vendor::Spartera, false) => ("spartera", alone),
                    (Vendor::Monad, false) => ("monad", alone),
                    (Vendor::Spartera, true) => ("analytics", named("analytics", alone)),
                    (Vendor::Monad, true) => ("siem", named("siem", alone)),
                };
                variants.push(Self { emulator, vendor, revision, shape, name, provider });
            }
        }
        variants
    }

    async fn of_vendor(wanted: Vendor) -> Vec<Self> {
        let variants = Self::all().await;
        variants.into_iter().filter(|variant| variant.vendor == wanted).collect()
    }

    fn context(&self) -> String {
        format!("{} ({:?}, {:?})", self.name, self.revision, self.shape)
    }

    /// Issues a key with every permission.
    async fn issue(&self) -> IssuedKey {
        let role = if self.vendor == Vendor::Spartera { "1" } else { "role-admin" };
        let new = NewKey::new("ci").role(role).expires_at(time("2099-01-01T00:00:00Z")).description("builds");
        self.provider.create(&new).await.unwrap()
    }

    /// Returns the provider with the key's own secret.
    fn with(&self, issued: &IssuedKey) -> Arc<dyn Provider> {
        self.provider.with_secret(issued.secret()).unwrap()
    }

    fn requests(&self) -> usize {
        self.emulator.requests().len()
    }

    /// Checks an error's kind, provider, operation and key.
    #[track_caller]
    fn assert_fails<T: std::fmt::Debug>(
        &self,
        result: Result<T, Error>,
        kind: ErrorKind,
        operation: Operation,
        key: Option<&KeyId>,
    ) -> Error {
        let error = result.unwrap_err();
        let context = self.context();
        assert_eq!(error.kind(), kind, "{context}: {error}");
        assert_eq!((error.operation(), error.key()), (Some(operation), key), "{context}: {error}");
        assert_eq!(error.provider(), Some(self.name), "{context}: {error}");
        let start = format!("{}: {operation}", self.name);
        assert!(error.to_string().starts_with(&start), "{context}: {error}");
        error
    }

    /// Reads a key and checks its provider's name.
    async fn get(&self, id: &KeyId) -> api_keyring::ApiKey {
        let key = self.provider.get(id).await.unwrap();
        assert_eq!(key.provider(), self.name);
        assert_eq!(key.reference().unwrap().to_string(), format!("{}/{id}", self.name));
        key
    }

    async fn times_listed(&self, id: &KeyId) -> usize {
        let keys = keys(&*self.provider).await;
        assert!(keys.iter().all(|key| key.provider() == self.name));
        keys.iter().filter(|key| key.id() == id).count()
    }

    async fn assert_dead(&self, issued: &IssuedKey) {
        let result = self.with(issued).get(issued.id()).await;
        let error = self.assert_fails(result, ErrorKind::Unauthenticated, Operation::Get, Some(issued.id()));
        assert_eq!((error.outcome(), error.status()), (Outcome::Rejected, Some(401)));
    }

    async fn assert_works(&self, issued: &IssuedKey) {
        let key = self.with(issued).get(issued.id()).await.unwrap();
        assert_eq!((key.id(), key.provider()), (issued.id(), self.name), "{}", self.context());
    }

    async fn assert_deletes(&self, id: &KeyId) {
        self.provider.delete(id).await.unwrap();
        assert_eq!(self.times_listed(id).await, 0, "{}", self.context());
        self.assert_fails(self.provider.get(id).await, ErrorKind::NotFound, Operation::Get, Some(id));
        let again = self.provider.delete(id).await;
        let error = self.assert_fails(again, ErrorKind::NotFound, Operation::Delete, Some(id));
        assert_error(&error, ErrorKind::NotFound, Outcome::Rejected, "deleted twice");
        let update = KeyUpdate::new().name("x");
        self.assert_fails(self.provider.update(id, &update).await, ErrorKind::NotFound, Operation::Update, Some(id));
    }
}

fn named(name: &str, provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
    let keyring = Keyring::builder().add_shared(name, provider).build().unwrap();
    Arc::new(keyring.provider(name).unwrap())
}

fn utc(time: Option<&Timestamp>) -> Option<chrono::DateTime<chrono::Utc>> {
    time.map(|time| time.utc().expect("the vendor's timestamps are readable"))
}

fn later() -> chrono::DateTime<chrono::Utc> {
    time("2098-07-01T12:00:00Z")
}

/// Returns the fields that an update can change.
fn changeable(key: &api_keyring::ApiKey) -> [Option<String>; 5] {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let expiry = utc(key.expires_at()).map(|time| time.to_rfc3339());
    [text(key.name()), text(key.description()), text(key.role()), expiry, text(key.owner())]
}

#[tokio::test]
async fn a_spartera_key_works_until_it_is_revoked() {
    for variant in Variant::of_vendor(Vendor::Spartera).await {
        let context = variant.context();
        let is_guide = variant.shape == SparteraShape::Guide;
        let is_current = variant.revision == Revision::Current;

        let issued = variant.issue().await;
        assert!(issued.secret().expose().starts_with("sk_live_"), "{context}");
        variant.assert_works(&issued).await;
        assert_eq!(variant.times_listed(issued.id()).await, 1, "{context}");

        let key = variant.get(issued.id()).await;
        assert_eq!(key.name(), Some("ci"), "{context}");
        assert_eq!(utc(key.expires_at()), Some(time("2099-01-01T00:00:00Z")), "{context}");
        assert!(utc(key.created_at()).is_some(), "{context}");
        assert_eq!(key.masked_secret(), Some(&*issued.secret().masked()), "{context}");
        // A field that this form does not report stays empty.
        assert_eq!(key.role(), (!is_guide).then_some("1"), "{context}");
        assert_eq!(key.scope(), (!is_guide).then(|| variant.provider.scope()), "{context}");
        assert_eq!(key.description(), is_guide.then_some("builds"), "{context}");
        let reports_status = is_guide || is_current;
        let status = if reports_status { KeyStatus::Active } else { KeyStatus::Unknown };
        assert_eq!(key.status(), status, "{context}");

        // Each update changes one field and keeps the others.
        for (field, update, value) in [
            (0, KeyUpdate::new().name("renamed"), "renamed"),
            (1, KeyUpdate::new().description("nightly builds"), "nightly builds"),
            (2, KeyUpdate::new().role("2"), "2"),
            (3, KeyUpdate::new().expiry(Expiry::At(later())), "2098-07-01T12:00:00+00:00"),
            (4, KeyUpdate::new().owner("user-9"), "user-9"),
        ] {
            let mut expected = changeable(&variant.get(issued.id()).await);
            let is_shown = match field {
                1 => is_guide,
                2 | 4 => !is_guide,
                _ => true,
            };
            if is_shown {
                expected[field] = Some(value.to_owned());
            }
            assert!(variant.provider.update(issued.id(), &update).await.unwrap().is_none(), "{context}");
            assert_eq!(changeable(&variant.get(issued.id()).await), expected, "{context}: {update:?}");
        }

        let stats = variant.provider.stats(issued.id()).await.unwrap();
        assert_eq!((stats.key.id(), stats.key.provider()), (issued.id(), variant.name), "{context}");
        assert_eq!(stats.usage_count.is_some_and(|count| count > 0), is_current, "{context}: {stats:?}");
        assert_eq!(stats.failed_attempts, is_current.then_some(0), "{context}");
        assert_eq!(utc(stats.last_used_at.as_ref()).is_some(), is_guide || is_current, "{context}");

        variant.revoke_with_or_without_role(&issued).await;
        variant.assert_dead(&issued).await;
        let key = variant.get(issued.id()).await;
        let status = if reports_status { KeyStatus::Revoked } else { KeyStatus::Unknown };
        assert_eq!(key.status(), status, "{context}");
        let reason = key.extra().get("revocation_reason");
        assert_eq!(reason, is_current.then_some("leaked".into()), "{context}");
        let stats = variant.provider.stats(issued.id()).await.unwrap();
        assert_eq!(stats.failed_attempts, is_current.then_some(1), "{context}");

        variant.assert_deletes(issued.id()).await;
    }
}

impl Variant {
    /// Revokes a key. The guide's form does not report the role, but the vendor requires it.
    async fn revoke_with_or_without_role(&self, issued: &IssuedKey) {
        let how = Revocation::new().reason("leaked");
        let result = self.provider.revoke(issued.id(), &how).await;
        if self.shape == SparteraShape::Documented {
            return result.unwrap();
        }
        let before = self.requests();
        let error = self.assert_fails(result, ErrorKind::InvalidInput, Operation::Revoke, Some(issued.id()));
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().contains("Give the role"), "{error}");
        let requests = self.emulator.requests();
        let revocations = requests.iter().filter(|request| request.target.ends_with("/revoke")).count();
        assert_eq!(revocations, 0, "no revoke was sent");
        self.assert_works(issued).await;
        self.provider.revoke(issued.id(), &how.role("2")).await.unwrap();
        assert_eq!(self.requests(), before + 2);
    }
}

#[tokio::test]
async fn a_monad_key_works_until_it_is_replaced() {
    for variant in Variant::of_vendor(Vendor::Monad).await {
        let context = variant.context();
        let is_current = variant.revision == Revision::Current;

        let issued = variant.issue().await;
        assert_eq!(issued.secret().expose().split('.').count(), 3, "{context}");
        variant.assert_works(&issued).await;
        assert_eq!(variant.times_listed(issued.id()).await, 1, "{context}");

        let key = variant.get(issued.id()).await;
        let answered = issued.key().expect("Monad's answer holds the key");
        for key in [&key, answered] {
            assert_eq!((key.id(), key.provider()), (issued.id(), variant.name), "{context}");
            assert_eq!((key.name(), key.description()), (Some("ci"), Some("builds")), "{context}");
            assert_eq!((key.role(), key.scope()), (Some("role-admin"), Some(variant.provider.scope())), "{context}");
            assert_eq!(utc(key.expires_at()), Some(time("2099-01-01T00:00:00Z")), "{context}");
            assert_eq!(key.status(), KeyStatus::Active, "{context}");
            assert!(utc(key.created_at()).is_some() && utc(key.updated_at()).is_some(), "{context}");
        }
        assert_eq!(utc(key.last_used_at()).is_some(), is_current, "{context}");
        assert_eq!(key.extra().get("token_version").is_some(), is_current, "{context}");

        // Updating only the description keeps the name.
        for (update, name, description) in [
            (KeyUpdate::new().name("renamed"), "renamed", "builds"),
            (KeyUpdate::new().description("nightly"), "renamed", "nightly"),
            (KeyUpdate::new().name("both").description("of them"), "both", "of them"),
        ] {
            let answered =
                variant.provider.update(issued.id(), &update).await.unwrap().expect("Monad's answer holds the key");
            let mut expected = changeable(&key);
            expected[0] = Some(name.to_owned());
            expected[1] = Some(description.to_owned());
            assert_eq!(changeable(&answered), expected, "{context}: {update:?}");
            assert_eq!(answered.provider(), variant.name, "{context}");
            assert_eq!(changeable(&variant.get(issued.id()).await), expected, "{context}: {update:?}");
        }

        let renewed = variant.provider.regenerate(issued.id(), &Regeneration::new()).await.unwrap();
        assert_ne!(renewed.secret(), issued.secret(), "{context}");
        variant.assert_dead(&issued).await;
        variant.assert_works(&renewed).await;
        // The current server keeps the key's id; the documented one replaces the key.
        assert_eq!(renewed.id() == issued.id(), is_current, "{context}");
        assert_eq!(variant.times_listed(renewed.id()).await, 1, "{context}");
        assert_eq!(variant.times_listed(issued.id()).await, usize::from(is_current), "{context}");
        let answered = renewed.key().expect("Monad's answer holds the key");
        assert_eq!((answered.id(), answered.provider()), (renewed.id(), variant.name), "{context}");
        assert_eq!(changeable(answered), changeable(&variant.get(renewed.id()).await), "{context}");
        assert_eq!((answered.name(), answered.description()), (Some("both"), Some("of them")), "{context}");
        assert_eq!(utc(answered.expires_at()), Some(time("2099-01-01T00:00:00Z")), "{context}: the expiry stays");

        let with_expiry = Regeneration::new().expiry(Expiry::At(later()));
        let result = variant.provider.regenerate(renewed.id(), &with_expiry).await;
        let last = if is_current {
            let last = result.unwrap();
            assert_eq!(utc(last.key().unwrap().expires_at()), Some(later()), "{context}");
            variant.assert_dead(&renewed).await;
            last
        } else {
            // The documented server accepts no body, and leaves the key unchanged.
            let error = variant.assert_fails(result, ErrorKind::Rejected, Operation::Regenerate, Some(renewed.id()));
            assert_eq!((error.status(), error.outcome()), (Some(415), Outcome::Rejected), "{context}");
            renewed
        };
        variant.assert_works(&last).await;

        variant.assert_deletes(last.id()).await;
        let gone = variant.provider.regenerate(last.id(), &Regeneration::new()).await;
        variant.assert_fails(gone, ErrorKind::NotFound, Operation::Regenerate, Some(last.id()));
        variant.assert_dead(&last).await;
    }
}

#[tokio::test]
async fn an_unsupported_operation_is_refused_before_anything_is_sent() {
    for variant in Variant::all().await {
        let (provider, key) = (&variant.provider, id("7"));
        let before = variant.requests();
        let refuse = |result: Result<(), Error>, capability: Capability, operation: Operation, key: Option<&KeyId>| {
            let error = variant.assert_fails(result, ErrorKind::Unsupported, operation, key);
            assert_error(&error, ErrorKind::Unsupported, Outcome::NotSent, &variant.context());
            assert!(!error.may_have_taken_effect());
            match provider.capabilities().support(capability) {
                Support::Unsupported { instead } => assert!(error.to_string().contains(instead), "{error}"),
                other => panic!("{capability} is {other:?} instead of unsupported"),
            }
        };
        let new = || NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(1));
        let change = KeyUpdate::new;
        let tomorrow = Expiry::In(TimeDelta::days(1));
        match variant.vendor {
            Vendor::Spartera => {
                let how = Regeneration::new();
                let result = provider.regenerate(&key, &how).await.map(drop);
                refuse(result, Capability::Regenerate, Operation::Regenerate, Some(&key));
                let result = provider.regenerate(&key, &how.expiry(tomorrow)).await.map(drop);
                refuse(result, Capability::Regenerate, Operation::Regenerate, Some(&key));
            }
            Vendor::Monad => {
                let result = provider.revoke(&key, &Revocation::new().reason("x")).await;
                refuse(result, Capability::Revoke, Operation::Revoke, Some(&key));
                let result = provider.stats(&key).await.map(drop);
                refuse(result, Capability::Stats, Operation::Stats, Some(&key));
                let result = provider.create(&new().owner("user-9")).await.map(drop);
                refuse(result, Capability::CreateWithOwner, Operation::Create, None);
                let result = provider.create(&new().expiry(Expiry::Never)).await.map(drop);
                refuse(result, Capability::CreateWithoutExpiry, Operation::Create, None);
                // A supported field in the same update does not let part of it through.
                let result = provider.update(&key, &change().name("x").role("role-admin")).await.map(drop);
                refuse(result, Capability::UpdateRole, Operation::Update, Some(&key));
                let result = provider.update(&key, &change().name("x").expiry(tomorrow)).await.map(drop);
                refuse(result, Capability::UpdateExpiry, Operation::Update, Some(&key));
                let result = provider.update(&key, &change().name("x").owner("user-9")).await.map(drop);
                refuse(result, Capability::UpdateOwner, Operation::Update, Some(&key));
                let result = provider.regenerate(&key, &Regeneration::new().expiry(Expiry::Never)).await.map(drop);
                refuse(result, Capability::CreateWithoutExpiry, Operation::Regenerate, Some(&key));
            }
        }
        assert_eq!(variant.requests(), before, "{}", variant.context());
    }
}

#[tokio::test]
async fn capabilities_match_what_the_vendors_offer() {
    for (vendor, unsupported, emulated) in [
        (
            Vendor::Spartera,
            vec![Capability::Regenerate, Capability::Whoami],
            vec![Capability::Sort, Capability::Description, Capability::RevokeReason],
        ),
        (
            Vendor::Monad,
            vec![
                Capability::CreateWithoutExpiry,
                Capability::CreateWithOwner,
                Capability::UpdateRole,
                Capability::UpdateExpiry,
                Capability::UpdateOwner,
                Capability::Revoke,
                Capability::RevokeReason,
                Capability::Stats,
                Capability::Whoami,
            ],
            vec![Capability::Search, Capability::Sort],
        ),
    ] {
        let provider = vendor.connect("https://api.example.com", "acme", "sk_test_1");
        for capability in Capability::ALL {
            let word = match capability {
                _ if unsupported.contains(&capability) => "unsupported",
                _ if emulated.contains(&capability) => "emulated",
                _ => "native",
            };
            let support = provider.capabilities().support(capability);
            assert_eq!(support.name(), word, "{vendor:?} {capability}");
            assert_eq!(support.is_supported(), word != "unsupported", "{vendor:?} {capability}");
        }
    }
}

#[tokio::test]
async fn every_operation_reports_a_wrong_credential() {
    for variant in Variant::all().await {
        let wrong = variant.provider.with_secret(&"sk_live_wrong_0123456789".into()).unwrap();
        let operations = variant.vendor.operations();
        for &operation in operations {
            let error = crate::support::perform(&*wrong, operation).await.unwrap_err();
            assert_error(&error, ErrorKind::Unauthenticated, Outcome::Rejected, &variant.context());
            assert_eq!((error.provider(), error.operation()), (Some(variant.name), Some(operation)));
        }
        // Each operation sends one request: a wrong credential is not retried.
        assert_eq!(variant.requests(), operations.len(), "{}", variant.context());
    }
}

#[tokio::test]
async fn a_reader_can_read_but_is_denied_writes() {
    for variant in Variant::all().await {
        let role = if variant.vendor == Vendor::Spartera { "3" } else { "role-reader" };
        let new = NewKey::new("reader").role(role).expires_in(TimeDelta::days(1));
        let issued = variant.provider.create(&new).await.unwrap();
        let reader = variant.with(&issued);
        variant.assert_works(&issued).await;
        let error =
            variant.assert_fails(reader.create(&new).await, ErrorKind::PermissionDenied, Operation::Create, None);
        assert_eq!((error.status(), error.outcome()), (Some(403), Outcome::Rejected));
        let result = reader.delete(issued.id()).await;
        variant.assert_fails(result, ErrorKind::PermissionDenied, Operation::Delete, Some(issued.id()));
        assert_eq!(variant.times_listed(issued.id()).await, 1);
    }
}
