//! Helpers that all facade tests share.

use std::error::Error as _;
use std::fmt::Debug;
use std::sync::Arc;

use api_keyring::{
    ApiKey, Error, ErrorKind, KeyId, KeyUpdate, ListKeys, Monad, NewKey, Operation, Outcome, Provider, ProviderExt,
    Regeneration, Result, Revocation, Spartera,
};
use api_keyring_emulator::{Emulator, Revision, SparteraShape};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::stub::{Answer, Stub};

/// The scope of the stub's providers.
pub(crate) const SCOPE: &str = "acme";
/// The credential of the stub's providers.
pub(crate) const CREDENTIAL: &str = "sk_test_0123456789abcdef0123";
/// The Monad secret in the stub's answers: three parts of base64.
pub(crate) const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJuZXcifQ.c2lnbmF0dXJlMDEy";
/// The Spartera secret in the stub's answers.
pub(crate) const SECRET: &str = "sk_live_9876543210fedcba9876";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vendor {
    Spartera,
    Monad,
}

impl Vendor {
    pub(crate) const ALL: [Self; 2] = [Self::Spartera, Self::Monad];

    /// Returns the operations that the vendor supports.
    pub(crate) fn operations(self) -> &'static [Operation] {
        use Operation::{Create, Delete, Get, List, Regenerate, Revoke, Stats, Update};
        match self {
            Self::Spartera => &[List, Create, Get, Update, Revoke, Delete, Stats],
            Self::Monad => &[List, Create, Get, Update, Regenerate, Delete],
        }
    }

    pub(crate) fn connect(self, base_url: &str, scope: &str, credential: &str) -> Arc<dyn Provider> {
        match self {
            Self::Spartera => {
                let builder = Spartera::builder().company_id(scope).api_key(credential);
                Arc::new(builder.base_url(base_url).build().unwrap())
            }
            Self::Monad => {
                let builder = Monad::builder().organization_id(scope).api_key(credential);
                Arc::new(builder.base_url(base_url).build().unwrap())
            }
        }
    }

    /// Returns a key's metadata in the documented form.
    pub(crate) fn key(self, id: &str) -> Value {
        match self {
            Self::Spartera => json!({"api_key_id": id, "company_id": SCOPE, "role_id": 3, "name": "ci"}),
            Self::Monad => json!({"id": id, "name": "ci", "organization_id": SCOPE, "role_id": "role-reader"}),
        }
    }

    /// Returns a list without pagination in the documented form.
    pub(crate) fn list(self, rows: &[Value]) -> Value {
        match self {
            Self::Spartera => json!({"message": "ok", "data": rows}),
            Self::Monad => json!({"api_keys": rows}),
        }
    }

    /// Returns the documented answer to an operation.
    pub(crate) fn success(self, operation: Operation) -> Value {
        let mut key = self.key("7");
        match (self, operation) {
            (_, Operation::List) => self.list(&[key]),
            (Self::Spartera, Operation::Get | Operation::Stats) => json!({"message": "ok", "data": key}),
            (Self::Spartera, Operation::Create) => json!({"message": "ok", "data": {"api_key_id": "7", "key": SECRET}}),
            (Self::Spartera, _) => json!({"message": "ok", "data": {"api_key_id": "7"}}),
            (Self::Monad, Operation::Create | Operation::Regenerate) => {
                key["token"] = TOKEN.into();
                key
            }
            (Self::Monad, Operation::Delete) => json!("deleted"),
            (Self::Monad, _) => key,
        }
    }

    /// Returns the documented answer to an operation on the key with this id.
    pub(crate) fn success_for(self, operation: Operation, id: &KeyId) -> Value {
        serde_json::from_str(&self.success(operation).to_string().replace(r#""7""#, &format!("\"{id}\""))).unwrap()
    }

    /// Returns the documented body of a failure.
    pub(crate) fn failure(self, status: u16, words: &str) -> Value {
        match (self, status) {
            (Self::Monad, _) => json!(words),
            (_, 400) => json!({"code": status, "message": words, "errors": {"name": ["is odd", "is long"]}}),
            (_, 429) => json!({"code": status, "message": words, "retry_after": 17}),
            (_, _) => json!({"code": status, "message": words}),
        }
    }
}

/// A provider of one vendor, and its stub.
pub(crate) struct Fixture {
    pub(crate) vendor: Vendor,
    pub(crate) stub: Stub,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Fixture {
    pub(crate) async fn start(vendor: Vendor) -> Self {
        Self::with(vendor, CREDENTIAL).await
    }

    pub(crate) async fn with(vendor: Vendor, credential: &str) -> Self {
        let stub = Stub::start().await;
        let provider = vendor.connect(&stub.base_url(), SCOPE, credential);
        Self { vendor, stub, provider }
    }

    /// Calls an operation and answers it with `answer`.
    pub(crate) async fn perform(&self, operation: Operation, answer: Answer) -> Result<String> {
        self.stub.answer_all(answer);
        perform(&*self.provider, operation).await
    }

    /// Returns the error of an operation that is answered with `answer`.
    pub(crate) async fn error(&self, operation: Operation, answer: Answer) -> Error {
        match self.perform(operation, answer.clone()).await {
            Ok(value) => panic!("{:?} {operation} {answer:?} succeeded: {value}", self.vendor),
            Err(error) => error,
        }
    }
}

/// Returns a request for the smallest key that both vendors issue.
pub(crate) fn new_key() -> NewKey {
    NewKey::new("ci").role("3").expires_at(time("2099-01-01T00:00:00Z"))
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

/// Calls an operation on the key `7` with as few requests as possible. Returns the `Debug` output of the result.
pub(crate) async fn perform(provider: &dyn Provider, operation: Operation) -> Result<String> {
    perform_on(provider, operation, &id("7")).await
}

pub(crate) async fn perform_on(provider: &dyn Provider, operation: Operation, id: &KeyId) -> Result<String> {
    fn debug<T: Debug>(result: Result<T>) -> Result<String> {
        result.map(|value| format!("{value:?} {value:#?}"))
    }
    match operation {
        Operation::List => debug(rows(provider).await.into_iter().collect::<Result<Vec<_>>>()),
        Operation::Create => debug(provider.create(&new_key()).await),
        Operation::Get => debug(provider.get(id).await),
        Operation::Update => debug(provider.update(id, &KeyUpdate::new().name("ci")).await),
        Operation::Regenerate => debug(provider.regenerate(id, &Regeneration::new()).await),
        Operation::Revoke => debug(provider.revoke(id, &Revocation::new().role("3")).await),
        Operation::Delete => debug(provider.delete(id).await),
        Operation::Stats => debug(provider.stats(id).await),
        other => panic!("add a call of {other} here"),
    }
}

/// Returns all items of a list.
pub(crate) async fn rows(provider: &dyn Provider) -> Vec<Result<ApiKey>> {
    provider.list(ListKeys::new()).collect().await
}

/// Returns the keys of a list without errors.
pub(crate) async fn keys(provider: &dyn Provider) -> Vec<ApiKey> {
    rows(provider).await.into_iter().map(Result::unwrap).collect()
}

/// Returns the sorted ids of the keys, and the errors.
pub(crate) fn sorted(rows: Vec<Result<ApiKey>>) -> (Vec<String>, Vec<Error>) {
    let (mut ids, mut errors) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Ok(key) => ids.push(key.id().to_string()),
            Err(error) => errors.push(error),
        }
    }
    ids.sort();
    (ids, errors)
}

/// Checks an error's kind and outcome, and the properties of every error.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, outcome: Outcome, context: &str) {
    assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{context}: {error}");
    assert_readable(error, context);
}

/// Checks that an error's `Display` is one short printable line, and leaves its causes to `source`.
#[track_caller]
pub(crate) fn assert_readable(error: &Error, context: &str) {
    let line = error.to_string();
    assert!(!line.chars().any(char::is_control), "{context}: {line:?}");
    assert!(line.len() < 4000, "{context}: {} bytes", line.len());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_line = cause.to_string();
        assert!(!line.contains(&cause_line), "{context}: {line:?} repeats its source {cause_line:?}");
        source = cause.source();
    }
}

/// Returns every output of an error and its causes.
pub(crate) fn printed(error: &Error) -> String {
    let mut text = format!("{error} {error:#} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?} {cause:#?}"));
        source = cause.source();
    }
    text
}

/// Every form of the vendors that the emulator can take.
pub(crate) const VARIANTS: [(Vendor, Revision, SparteraShape); 6] = [
    (Vendor::Spartera, Revision::Documented, SparteraShape::Documented),
    (Vendor::Spartera, Revision::Documented, SparteraShape::Guide),
    (Vendor::Spartera, Revision::Current, SparteraShape::Documented),
    (Vendor::Spartera, Revision::Current, SparteraShape::Guide),
    (Vendor::Monad, Revision::Documented, SparteraShape::Documented),
    (Vendor::Monad, Revision::Current, SparteraShape::Documented),
];

pub(crate) async fn emulator(revision: Revision, shape: SparteraShape) -> Emulator {
    let builder = Emulator::builder().revision(revision).spartera_shape(shape);
    builder.start().await.unwrap()
}

/// Returns the administrator's provider of an emulated vendor.
pub(crate) fn administrator(emulator: &Emulator, vendor: Vendor) -> Arc<dyn Provider> {
    let (base_url, scope, credential) = match vendor {
        Vendor::Spartera => {
            let spartera = emulator.spartera();
            (spartera.base_url(), spartera.company_id(), spartera.admin_key())
        }
        Vendor::Monad => {
            let monad = emulator.monad();
            (monad.base_url(), monad.organization_id(), monad.admin_key())
        }
    };
    vendor.connect(&base_url, &scope, &credential)
}
