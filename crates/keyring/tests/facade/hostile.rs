//! Harmful or meaningless arguments are rejected before anything is sent; unusual texts arrive unchanged.

use std::error::Error as _;

use api_keyring::{
    Error, ErrorKind, Expiry, InvalidBaseUrl, InvalidName, KeyId, KeyRef, KeyUpdate, Keyring, Monad, NewKey, Operation,
    Outcome, Regeneration, Revocation, Spartera, TransportError,
};
use api_keyring_emulator::{Revision, SparteraShape};
use chrono::{TimeDelta, Utc};

use crate::stub::Answer;
use crate::support::{
    CREDENTIAL, Fixture, SCOPE, Vendor, administrator, assert_error, assert_readable, emulator, id, new_key,
    perform_on, time,
};

#[track_caller]
fn assert_invalid(error: &Error, context: &str) {
    assert_error(error, ErrorKind::InvalidInput, Outcome::NotSent, context);
    assert!(!error.may_have_taken_effect(), "{context}");
}

#[test]
fn an_id_that_could_leave_its_path_is_invalid() {
    let long = "a".repeat(300);
    for hostile in [
        "",
        ".",
        "..",
        "a/b",
        "../a",
        "a/../b",
        "%2e%2e",
        "%2F",
        "a\0",
        "a\r\n",
        "\r\nx: 1",
        "é",
        "a b",
        "a?b",
        "a#b",
        "a;b",
        "a\\b",
        "\u{202e}a",
        &long,
    ] {
        assert_eq!(hostile.parse::<KeyId>(), Err(InvalidName::KeyId), "{hostile:?}");
        let reference = format!("spartera/{hostile}");
        assert_eq!(reference.parse::<KeyRef>(), Err(InvalidName::KeyId), "{hostile:?}");
        let provider = format!("{hostile}/7");
        assert!(provider.parse::<KeyRef>().is_err() || hostile == "a/b", "{hostile:?}");
        assert!(KeyRef::new(hostile, id("7")).is_err(), "{hostile:?}");
    }
    // This is the maximum length.
    assert!("a".repeat(255).parse::<KeyId>().is_ok());
}

#[tokio::test]
async fn an_id_that_only_one_vendor_rejects_works_at_the_other() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for text in ["a.b", "a~b", "~", "a..b"] {
            for &operation in vendor.operations() {
                if matches!(operation, Operation::List | Operation::Create) {
                    continue;
                }
                fixture.stub.answer_all(Answer::json(200, &vendor.success_for(operation, &id(text))));
                let result = perform_on(&*fixture.provider, operation, &id(text)).await;
                let context = format!("{vendor:?} {operation} {text}");
                match vendor {
                    Vendor::Spartera => {
                        let error = result.unwrap_err();
                        assert_invalid(&error, &context);
                        assert_eq!(error.key(), Some(&id(text)), "{context}");
                        assert_eq!(fixture.stub.requests().len(), 0, "{context}");
                    }
                    Vendor::Monad => {
                        assert!(result.is_ok(), "{context}: {result:?}");
                        assert!(fixture.stub.requests()[0].target.contains(&format!("/{text}")), "{context}");
                    }
                }
            }
            if vendor == Vendor::Spartera {
                // Reading the role first does not bypass the check.
                let error = fixture.provider.revoke(&id(text), &Revocation::new()).await.unwrap_err();
                assert_invalid(&error, text);
                assert_eq!(fixture.stub.requests().len(), 0);
            }
        }
    }
}

#[test]
fn a_base_url_that_would_leak_the_credential_is_rejected() {
    for (url, why) in [
        ("http://api.example.com", InvalidBaseUrl::PlainHttp),
        ("http://10.0.0.1:8080/api", InvalidBaseUrl::PlainHttp),
        ("http://localhost.example.com", InvalidBaseUrl::PlainHttp),
        ("http://127.0.0.1.example.com", InvalidBaseUrl::PlainHttp),
        ("https://user:hunter2@api.example.com", InvalidBaseUrl::User),
        ("https://hunter2@api.example.com", InvalidBaseUrl::User),
        ("http://127.0.0.1@api.example.com", InvalidBaseUrl::User),
        ("https://api.example.com/?a=hunter2", InvalidBaseUrl::QueryOrFragment),
        ("https://api.example.com/#hunter2", InvalidBaseUrl::QueryOrFragment),
        ("ftp://api.example.com", InvalidBaseUrl::Scheme),
        ("file:///etc/passwd", InvalidBaseUrl::Scheme),
        ("api.example.com", InvalidBaseUrl::NotAUrl),
        ("//api.example.com", InvalidBaseUrl::NotAUrl),
        ("", InvalidBaseUrl::NotAUrl),
    ] {
        let spartera = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(url).build();
        let monad = Monad::builder().organization_id(SCOPE).api_key(CREDENTIAL).base_url(url).build();
        for error in [spartera.unwrap_err(), monad.unwrap_err()] {
            assert_invalid(&error, url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            match error.source().unwrap().downcast_ref::<TransportError>() {
                Some(TransportError::BaseUrl(cause)) => assert_eq!(*cause, why, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }
    // A caller can allow plain HTTP explicitly.
    let builder = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url("http://10.0.0.1:8080");
    assert!(builder.transport(|transport| transport.allow_plain_http(true)).build().is_ok());
}

#[test]
fn a_scope_that_could_leave_its_path_is_rejected() {
    let long = "a".repeat(300);
    for hostile in ["", ".", "..", "a/b", "%2e%2e", "a\0", "a\r\nx: 1", "é", "a b", "a?b", "a#b", "\u{1b}[2J", &long] {
        let spartera = Spartera::builder().company_id(hostile).api_key(CREDENTIAL).build();
        let monad = Monad::builder().organization_id(hostile).api_key(CREDENTIAL).build();
        for error in [spartera.unwrap_err(), monad.unwrap_err()] {
            assert_invalid(&error, hostile);
            assert!(error.to_string().contains("id"), "{error}");
        }
    }
    assert!(Spartera::builder().company_id("a.b").api_key(CREDENTIAL).build().is_err());
    assert!(Monad::builder().organization_id("a.b").api_key(CREDENTIAL).build().is_ok());
}

#[test]
fn a_providers_name_is_plain_and_unique() {
    let provider = || Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).build().unwrap();
    let long = "a".repeat(65);
    for hostile in ["", " ", "a/b", "a.b", "é", "a\nb", "\u{1b}[2J", &long] {
        let error = Keyring::builder().add(hostile, provider()).build().unwrap_err();
        assert_invalid(&error, hostile);
    }
    let error = Keyring::builder().add("a", provider()).add("a", provider()).build().unwrap_err();
    assert_invalid(&error, "twice");
    let keyring = Keyring::builder().add("b", provider()).add("A_1-x", provider()).build().unwrap();
    assert_eq!(keyring.names().collect::<Vec<_>>(), ["A_1-x", "b"]);
    assert_readable(&keyring.provider("\u{1b}[2J\n").unwrap_err(), "a hostile unknown name");
}

#[tokio::test]
async fn an_invalid_new_key_is_rejected_before_anything_is_sent() {
    let now = Utc::now();
    let named = |name: &str| {
        let mut new = new_key();
        new.name = name.to_owned();
        new
    };
    let common = [
        ("an empty name", named("")),
        ("a blank name", named(" \t\n")),
        ("no role", NewKey::new("ci").expires_at(time("2099-01-01T00:00:00Z"))),
        ("an empty role", new_key().role("")),
        ("a past expiry", new_key().expires_at(now - TimeDelta::seconds(1))),
        ("a zero duration", new_key().expires_in(TimeDelta::zero())),
        ("a negative duration", new_key().expires_in(TimeDelta::days(-1))),
        ("the most negative duration", new_key().expires_in(TimeDelta::MIN)),
        ("the longest duration", new_key().expires_in(TimeDelta::MAX)),
    ];
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(Answer::json(200, &vendor.success(Operation::Create)));
        for (name, new) in &common {
            let error = fixture.provider.create(new).await.unwrap_err();
            assert_invalid(&error, &format!("{vendor:?} {name}"));
            assert_eq!(error.operation(), Some(Operation::Create));
        }
        match vendor {
            Vendor::Spartera => {
                for role in ["admin", "1.5", "0x1", " 1", "1 ", "99999999999999999999", "1\r\n", "\u{1b}[2J", "١"] {
                    let error = fixture.provider.create(&new_key().role(role)).await.unwrap_err();
                    assert_invalid(&error, role);
                    let error = fixture.provider.update(&id("7"), &KeyUpdate::new().role(role)).await.unwrap_err();
                    assert_invalid(&error, role);
                    let error = fixture.provider.revoke(&id("7"), &Revocation::new().role(role)).await.unwrap_err();
                    assert_invalid(&error, role);
                }
            }
            Vendor::Monad => {
                let error = fixture.provider.create(&NewKey::new("ci").role("3")).await.unwrap_err();
                assert_invalid(&error, "no expiry");
                let error = fixture.provider.create(&new_key().expiry(Expiry::Never)).await.unwrap_err();
                assert_error(&error, ErrorKind::Unsupported, Outcome::NotSent, "never");
            }
        }
        assert_eq!(fixture.stub.requests().len(), 0, "{vendor:?}");
    }
}

/// RFC 3339 has four-digit years, so it cannot express later times.
#[tokio::test]
async fn an_expiry_that_rfc_3339_cannot_express_is_rejected() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(Answer::json(200, &vendor.success(Operation::Create)));
        for new in [
            new_key().expires_in(TimeDelta::days(365 * 20_000)),
            new_key().expires_at(chrono::DateTime::<Utc>::MAX_UTC),
        ] {
            let error = fixture.provider.create(&new).await.unwrap_err();
            assert_invalid(&error, &format!("{vendor:?} {new:?}"));
        }
        assert_eq!(fixture.stub.requests().len(), 0, "{vendor:?}");
    }
}

#[tokio::test]
async fn an_invalid_update_is_rejected_before_anything_is_sent() {
    let past = Expiry::At(Utc::now() - TimeDelta::seconds(1));
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(Answer::json(200, &vendor.success(Operation::Get)));
        for update in [KeyUpdate::new(), KeyUpdate::new().name(""), KeyUpdate::new().name(" ").description("x")] {
            let error = fixture.provider.update(&id("7"), &update).await.unwrap_err();
            assert_invalid(&error, &format!("{vendor:?} {update:?}"));
            assert_eq!(error.key(), Some(&id("7")));
        }
        match vendor {
            Vendor::Spartera => {
                for expiry in [past, Expiry::Never, Expiry::In(TimeDelta::zero()), Expiry::In(TimeDelta::MAX)] {
                    let error = fixture.provider.update(&id("7"), &KeyUpdate::new().expiry(expiry)).await.unwrap_err();
                    assert_invalid(&error, &format!("{expiry:?}"));
                }
            }
            Vendor::Monad => {
                for expiry in [past, Expiry::In(TimeDelta::zero()), Expiry::In(TimeDelta::MAX)] {
                    let how = Regeneration::new().expiry(expiry);
                    let error = fixture.provider.regenerate(&id("7"), &how).await.unwrap_err();
                    assert_invalid(&error, &format!("{expiry:?}"));
                }
            }
        }
        assert_eq!(fixture.stub.requests().len(), 0, "{vendor:?}");
    }
}

#[tokio::test]
async fn texts_arrive_unchanged() {
    let long = "x".repeat(10_000);
    let texts = [
        r#"quotes " and ' and \ and {"json": [1]}"#,
        "lines\none\r\ntwo\ttab",
        "\u{1f511}\u{200d}\u{1f9ea} und Umläute, 鍵, \u{202e}bidi",
        "\u{0}\u{1b}[31m\u{7f}\u{2028}",
        "  blanks at both ends  ",
        "%2e%2e/../?a=b&c=d#e",
        "null",
        &long,
    ];
    // In this form, both vendors report descriptions.
    let emulator = emulator(Revision::Current, SparteraShape::Guide).await;
    for vendor in Vendor::ALL {
        let provider = administrator(&emulator, vendor);
        let role = if vendor == Vendor::Spartera { "3" } else { "role-reader" };
        for text in texts {
            let new = NewKey::new(text).role(role).expires_at(time("2099-01-01T00:00:00Z")).description(text);
            let issued = provider.create(&new).await.unwrap();
            let key = provider.get(issued.id()).await.unwrap();
            assert_eq!((key.name(), key.description()), (Some(text), Some(text)), "{vendor:?}");
            let (name, description) = (format!("{text}!"), format!("?{text}"));
            let update = KeyUpdate::new().name(&name).description(&description);
            provider.update(issued.id(), &update).await.unwrap();
            let key = provider.get(issued.id()).await.unwrap();
            assert_eq!((key.name(), key.description()), (Some(&*name), Some(&*description)), "{vendor:?}");
        }
        // An update can set an empty description.
        let issued = provider.create(&new_key().role(role).description("x")).await.unwrap();
        provider.update(issued.id(), &KeyUpdate::new().description("")).await.unwrap();
        assert_eq!(provider.get(issued.id()).await.unwrap().description(), Some(""), "{vendor:?}");
    }
    // The vendor keeps the reason of a revocation.
    let provider = administrator(&emulator, Vendor::Spartera);
    let issued = provider.create(&new_key()).await.unwrap();
    provider.revoke(issued.id(), &Revocation::new().role("3").reason(texts[0])).await.unwrap();
    let key = provider.get(issued.id()).await.unwrap();
    assert_eq!(key.extra().get("revocation_reason"), Some(texts[0].into()));
}
