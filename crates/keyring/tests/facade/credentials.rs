//! Credentials that change while a provider is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_keyring::{
    ErrorKind, ListKeys, Monad, Operation, Outcome, Provider, ProviderExt, Regeneration, Retry, Secret, SecretFn,
    SecretSource, SharedSecret, Spartera,
};
use api_keyring_emulator::{Revision, SparteraShape};

use crate::stub::{Answer, Stub};
use crate::support::{SCOPE, Vendor, administrator, assert_error, emulator, id, new_key, perform, printed};

/// Providers of both vendors that take their secret from the same place.
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
async fn a_secret_that_is_replaced_is_sent_from_the_next_request_on() {
    let stub = Stub::start().await;
    let secret = SharedSecret::new("first_0123456789");
    for (vendor, header, provider) in sharing(&stub, &secret) {
        // Below a layer, too: the layer was put there before.
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
async fn a_call_that_is_on_its_way_ends_with_the_secret_that_it_began_with() {
    let stub = Stub::start().await;
    let secret = SharedSecret::new("first_0123456789");
    let replaced = secret.clone();
    // Replaced by the time that the answer is made.
    stub.answer_with(move |_| {
        replaced.replace("second_0123456789");
        Answer::json(403, &Vendor::Spartera.failure(403, "first_0123456789 may not"))
    });
    let [(_, _, provider), ..] = sharing(&stub, &secret);
    let error = provider.get(&id("7")).await.unwrap_err();
    assert!(!printed(&error).contains("first_0123456789"), "the secret that was sent is the one that is redacted");
    assert_eq!(stub.requests()[0].header("x-api-key"), ["first_0123456789"]);
}

#[tokio::test]
async fn the_key_that_a_client_itself_uses_can_be_rotated() {
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
        assert!(provider.accepts(rotated.secret()).await.unwrap_or(true), "{vendor:?}");
        secret.replace(rotated.secret().clone());
        provider.list_all(ListKeys::new()).await.unwrap();
        if vendor == Vendor::Spartera {
            provider.delete(own.id()).await.unwrap();
        }
        assert!(!provider.accepts(own.secret()).await.unwrap(), "{vendor:?}");
        provider.list_all(ListKeys::new()).await.unwrap();
    }
}

#[test]
fn what_a_source_would_print_of_itself_is_not_printed() {
    /// A source whose `Debug` shows what it keeps.
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
async fn a_function_is_asked_before_every_request_and_its_failure_sends_nothing() {
    let stub = Stub::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
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
    assert_eq!(asked.load(Ordering::Relaxed), 0, "not before there is a request");
    stub.answer_all(Answer::json(200, &Vendor::Spartera.success(Operation::Get)));
    provider.get(&id("7")).await.unwrap();
    assert_eq!(stub.requests()[0].header("x-api-key"), ["from_the_vault_0123456789"]);

    let error = provider.get(&id("7")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, Outcome::NotSent, "no secret");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("sealed"));
    let error = provider.get(&id("7")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, Outcome::NotSent, "no header");
    assert!(!printed(&error).contains("canary"), "{error}");
    assert_eq!(stub.requests().len(), 1, "nothing else was sent");

    // A secret of one's own is used in place of the source's.
    let own = provider.with_secret(&Secret::new("own_0123456789")).unwrap();
    own.get(&id("7")).await.unwrap();
    assert_eq!(stub.requests()[1].header("x-api-key"), ["own_0123456789"]);
}
