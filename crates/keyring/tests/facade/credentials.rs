//! Credentials that change while a provider is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_keyring::{
    Acceptance, ErrorKind, ListKeys, Monad, Operation, Outcome, Provider, ProviderExt, Regeneration, Retry, Secret,
    SecretFn, SecretSource, SharedSecret, Spartera,
};
use api_keyring_emulator::{Revision, SparteraShape};

use crate::stub::{Answer, Stub};
use crate::support::{SCOPE, Vendor, administrator, assert_error, emulator, id, new_key, perform, printed};

/// Returns providers of both vendors that share one secret.
fn sharing(stub: &Stub, secret: &SharedSecret) -> [(Vendor, &'static str, Box<dyn Provider>); 3] {
    let spartera = Spartera::builder().company_id(SCOPE).api_key_from(secret.clone());
    let monad = || Monad::builder().organization_id(SCOPE).base_url(stub.base_url());
    [
        (Vendor::Spartera, "x-api-key", Box::new(spartera.base_url(stub.base_url()).build().unwrap())),
        (Vendor::Monad, "x-api-key", Box::new(monad().api_key_from(secret.clone()).build().unwrap())),
        (Vendor::Monad, "authorization", Box::new(monad().bearer_from(secret.clone()).build().unwrap())),
    ]
}

#[tokio::test]
async fn the_next_request_sends_a_replaced_secret() {
    let stub = Stub::start().await;
    let secret = SharedSecret::new("first_0123456789");
    for (vendor, header, provider) in sharing(&stub, &secret) {
        // The secret also changes below a layer that was added earlier.
        let provider = provider.retrying(Retry::new());
        for &operation in vendor.operations() {
            stub.answer_all(Answer::json(200, &vendor.success(operation)));
            for now in ["first_0123456789", "second_0123456789"] {
                secret.replace(now);
                perform(&provider, operation).await.unwrap();
            }
            let mut sent: Vec<_> = stub.requests().iter().map(|sent| sent.header(header).concat()).collect();
            // A list may take several requests.
            sent.dedup();
            let prefix = if header == "authorization" { "Bearer " } else { "" };
            let expected = ["first_0123456789", "second_0123456789"].map(|secret| format!("{prefix}{secret}"));
            assert_eq!(sent, expected, "{vendor:?} {operation}");
        }
        assert!(!format!("{provider:?} {provider:#?} {secret:?}").contains("0123456789"));
    }
}

#[tokio::test]
async fn a_call_in_progress_keeps_its_secret() {
    let stub = Stub::start().await;
    let secret = SharedSecret::new("first_0123456789");
    let replaced = secret.clone();
    // The secret changes before the answer is sent.
    stub.answer_with(move |_| {
        replaced.replace("second_0123456789");
        Answer::json(403, &Vendor::Spartera.failure(403, "first_0123456789 may not"))
    });
    let [(_, _, provider), ..] = sharing(&stub, &secret);
    let error = provider.get(&id("7")).await.unwrap_err();
    assert!(!printed(&error).contains("first_0123456789"), "the error redacts the secret that was sent");
    assert_eq!(stub.requests()[0].header("x-api-key"), ["first_0123456789"]);
}

#[tokio::test]
async fn a_client_can_replace_its_own_key() {
    for (vendor, revision) in [(Vendor::Spartera, Revision::Current), (Vendor::Monad, Revision::Documented)] {
        let emulator = emulator(revision, SparteraShape::Documented).await;
        let administrator = administrator(&emulator, vendor);
        let new = new_key().role(if vendor == Vendor::Spartera { "1" } else { "role-admin" });
        let own = administrator.create(&new).await.unwrap();
        let secret = SharedSecret::new(own.secret().clone());
        let provider: Box<dyn Provider> = match vendor {
            Vendor::Spartera => {
                let service = emulator.spartera();
                let builder = Spartera::builder().company_id(service.company_id()).base_url(service.base_url());
                Box::new(builder.api_key_from(secret.clone()).build().unwrap())
            }
            Vendor::Monad => {
                let service = emulator.monad();
                let builder = Monad::builder().organization_id(service.organization_id()).base_url(service.base_url());
                Box::new(builder.bearer_from(secret.clone()).build().unwrap())
            }
        };
        let rotated = match vendor {
            Vendor::Spartera => provider.create(&new).await.unwrap(),
            Vendor::Monad => provider.regenerate(own.id(), &Regeneration::new()).await.unwrap(),
        };
        assert!(provider.accepts(rotated.secret()).await.is_ok_and(Acceptance::is_accepted), "{vendor:?}");
        secret.replace(rotated.secret().clone());
        provider.list_all(ListKeys::new()).await.unwrap();
        if vendor == Vendor::Spartera {
            provider.delete(own.id()).await.unwrap();
        }
        assert!(provider.accepts(own.secret()).await.unwrap().is_refused(), "{vendor:?}");
        provider.list_all(ListKeys::new()).await.unwrap();
    }
}

#[test]
fn a_providers_debug_output_leaves_out_the_secret_source() {
    /// A source whose `Debug` prints its secret.
    #[derive(Debug)]
    #[allow(dead_code)] // It is there to be printed.
    struct Careless(String);

    #[async_trait::async_trait]
    impl SecretSource for Careless {
        async fn secret(&self) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Secret::new(&*self.0))
        }
    }

    let careless = || Careless("canary_0123456789".to_owned());
    let spartera = Spartera::builder().company_id(SCOPE).api_key_from(careless());
    let monad = Monad::builder().organization_id(SCOPE).bearer_from(careless());
    let mut printed = format!("{spartera:?} {spartera:#?} {monad:?} {monad:#?}");
    let (spartera, monad) = (spartera.build().unwrap(), monad.build().unwrap());
    printed += &format!("{spartera:?} {spartera:#?} {monad:?} {monad:#?}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test]
async fn a_secret_function_runs_before_every_request_and_its_failure_sends_nothing() {
    let stub = Stub::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let supply = SecretFn::new(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Ok(Secret::new("from_the_vault_0123456789")),
                1 => Err("the vault is sealed".into()),
                _ => Ok(Secret::new("canary\r\nx-admin: 1")),
            }
        }
    });
    let builder = Spartera::builder().company_id(SCOPE).api_key_from(supply).base_url(stub.base_url());
    let provider = builder.build().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 0, "the function does not run before the first request");
    stub.answer_all(Answer::json(200, &Vendor::Spartera.success(Operation::Get)));
    provider.get(&id("7")).await.unwrap();
    assert_eq!(stub.requests()[0].header("x-api-key"), ["from_the_vault_0123456789"]);

    let error = provider.get(&id("7")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, Outcome::NotSent, "no secret");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("sealed"));
    let error = provider.get(&id("7")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, Outcome::NotSent, "invalid secret");
    assert!(!printed(&error).contains("canary"), "{error}");
    assert_eq!(stub.requests().len(), 1, "only the first call sends a request");

    // `with_secret` overrides the source.
    let own = provider.with_secret(&Secret::new("own_0123456789")).unwrap();
    own.get(&id("7")).await.unwrap();
    assert_eq!(stub.requests()[1].header("x-api-key"), ["own_0123456789"]);
}
