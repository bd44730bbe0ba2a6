//! No output shows a secret, and no new secret is lost.

use std::error::Error as _;
use std::fmt::Debug;

use api_keyring::{
    Error, ErrorKind, InvalidCredential, IssuedKey, KeyUpdate, Keyring, Monad, Operation, Outcome, Regeneration,
    Result, Secret, Spartera,
};
use serde_json::{Value, json};

use crate::stub::Answer;
use crate::support::{CREDENTIAL, Fixture, SCOPE, Vendor, assert_error, id, keys, new_key, perform, printed, rows};

const SPARTERA_CANARY: &str = "sk_live_canary_0123456789abcdef";
const MONAD_CANARY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJjYW5hcnkifQ.Y2FuYXJ5X2NhbmFyeV9jYW5hcnk";

fn canary(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Spartera => SPARTERA_CANARY,
        Vendor::Monad => MONAD_CANARY,
    }
}

/// Checks that the text contains neither a canary nor the middle of one.
#[track_caller]
fn assert_hidden(text: &str, context: &str) {
    for part in [SPARTERA_CANARY, MONAD_CANARY, "canary_0123456789", "eyJjYW5hcnkiOiJj"] {
        assert!(!text.contains(part), "{context}: {text}");
    }
}

#[track_caller]
fn assert_debug_hides(value: &impl Debug, context: &str) {
    assert_hidden(&format!("{value:?} {value:#?}"), context);
}

/// Every vendor's operations that issue a secret.
const ISSUING: [(Vendor, Operation); 3] =
    [(Vendor::Spartera, Operation::Create), (Vendor::Monad, Operation::Create), (Vendor::Monad, Operation::Regenerate)];

async fn issue(fixture: &Fixture, operation: Operation, answer: Answer) -> Result<IssuedKey> {
    fixture.stub.answer_all(answer);
    match operation {
        Operation::Create => fixture.provider.create(&new_key()).await,
        _ => fixture.provider.regenerate(&id("7"), &Regeneration::new()).await,
    }
}

#[tokio::test]
async fn a_new_secret_is_found_in_undocumented_places() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        let secret = canary(vendor);
        let bodies = match vendor {
            Vendor::Spartera => vec![
                json!({"message": "ok", "data": {"api_key_id": "7", "key": secret}}),
                json!({"data": {"id": 7, "api_key": secret}}),
                json!({"data": {"api_key_id": 7, "surprise": secret, "note": "keep it"}}),
                json!({"data": {"api_key_id": 7, "deep": [{"er": {"still": secret}}]}}),
                json!({"data": {"api_key_id": 7}, "surprise": secret}),
                json!({"data": {"api_key_id": 7}, "credentials": {"value": secret}, "trace": "abc"}),
                // The documented field exists but does not hold the secret.
                json!({"data": {"api_key_id": 7, "key": "sk_****cdef", "plain": secret}}),
                json!({"data": {"api_key_id": 7, "key": "", "plain": secret}}),
                json!({"data": {"api_key_id": 7, "key": null, "plain": secret, "copy": secret}}),
            ],
            Vendor::Monad => vec![
                json!({"id": "7", "token": secret}),
                json!({"id": "7", "surprise": secret, "note": "keep it"}),
                json!({"id": "7", "deep": [{"er": {"still": secret}}]}),
                json!({"id": "7", "token": "", "api_token": secret}),
                json!({"id": "7", "token": "****ZjYW", "plain": secret, "copy": secret}),
                json!({"id": "7", "token": null, "plain": secret}),
            ],
        };
        for body in bodies {
            let issued = issue(&fixture, operation, Answer::json(200, &body)).await;
            let issued = issued.unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!(issued.secret().expose(), secret, "{body}");
            assert_eq!(issued.id(), &id("7"), "{body}");
            assert_debug_hides(&issued, &body.to_string());
            assert_debug_hides(issued.secret(), "the secret");
            assert_debug_hides(&issued.key(), "the key's metadata");
        }
    }
}

#[tokio::test]
async fn a_secret_of_an_unknown_form_is_found_by_its_field_name() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        for name in ["api_key", "secret", "access_token"] {
            let fields = json!({"id": "7", name: "an-odd-form-0001", "created_by": "somebody"});
            let body = match vendor {
                Vendor::Spartera => json!({"data": fields}),
                Vendor::Monad => fields,
            };
            let issued = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap();
            assert_eq!(issued.secret().expose(), "an-odd-form-0001", "{body}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_answer_returns_the_secret_but_does_not_print_it() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        let secret = canary(vendor);
        // These answers cannot be decoded or show no id, but the secret is recognizable.
        let recognizable = [
            json!(secret),
            json!([secret]),
            match vendor {
                Vendor::Spartera => json!({"data": secret}),
                Vendor::Monad => json!({"id": 7.5, "token": secret}),
            },
            match vendor {
                Vendor::Spartera => json!({"data": {"api_key_id": {}, "key": secret}}),
                Vendor::Monad => json!({"id": "../7", "name": [], "token": secret}),
            },
            match vendor {
                Vendor::Spartera => json!({"key": secret, "api_key_id": "7"}),
                Vendor::Monad => json!({"id": {}, "data": {"whatever": secret}}),
            },
        ];
        for body in recognizable {
            let error = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap_err();
            assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Applied, &body.to_string());
            assert_eq!(error.unclaimed_secret().map(Secret::expose), Some(secret), "{body}");
            assert_hidden(&printed(&error), &body.to_string());
        }
        // In these answers the secret is not recognizable, so the error returns the whole answer.
        for text in [
            secret.to_owned(),
            format!("<html>{secret}</html>"),
            format!(r#"{{"token": "{secret}"#),
            format!(r#"["{secret}", "{secret}2"]"#),
            format!("{secret}\u{0}\n"),
        ] {
            for (status, content_type) in [(200, "text/html"), (200, "application/json"), (201, "text/plain")] {
                let answer = Answer::text(status, content_type, text.clone());
                let error = issue(&fixture, operation, answer).await.unwrap_err();
                // Nothing shows that such a body comes from the vendor.
                assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, &text);
                assert!(error.to_string().contains("Keep what arrived"), "{error}");
                assert_eq!(error.unclaimed_secret().map(Secret::expose), Some(&*text));
                assert_hidden(&printed(&error), &text);
                assert_eq!(error.status(), Some(status));
            }
        }
        // A body that is not UTF-8 is returned byte for byte.
        let mut bytes = secret.as_bytes().to_vec();
        bytes.push(0xff);
        let error = issue(&fixture, operation, Answer::text(200, "text/plain", bytes.clone())).await.unwrap_err();
        assert_eq!(error.unclaimed_bytes(), Some(&*bytes));
        assert!(error.unclaimed_secret().unwrap().expose().starts_with(secret));
        assert_hidden(&printed(&error), "not UTF-8");
    }
}

#[tokio::test]
async fn a_keyring_returns_the_secret_of_an_unreadable_answer_too() {
    for (vendor, _) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        let keyring = Keyring::builder().add_shared("mine", fixture.provider.clone()).build().unwrap();
        let body = json!([canary(vendor)]);
        fixture.stub.answer_all(Answer::json(200, &body));
        let provider = keyring.provider("mine").unwrap();
        let error = api_keyring::Provider::create(&provider, &new_key()).await.unwrap_err();
        assert_eq!(error.unclaimed_secret().map(Secret::expose), Some(canary(vendor)));
        assert_hidden(&printed(&error), "in a keyring");
        assert_eq!(error.provider(), Some("mine"));
    }
}

#[tokio::test]
async fn an_answer_without_a_secret_names_the_useless_key() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        for fields in [
            json!({"id": "new-1"}),
            json!({"id": "new-1", "key": "", "token": ""}),
            json!({"id": "new-1", "key": null, "token": null}),
            json!({"id": "new-1", "key": "sk_****cdef", "token": "ey****ab"}),
        ] {
            let body = match vendor {
                Vendor::Spartera => json!({"message": "API key created", "data": fields}),
                Vendor::Monad => fields,
            };
            let error = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap_err();
            assert_error(&error, ErrorKind::MissingSecret, Outcome::Applied, &body.to_string());
            assert!(error.may_have_taken_effect());
            assert_eq!(error.key(), Some(&id("new-1")), "{body}");
            let line = error.to_string();
            assert!(line.contains("new-1") && line.contains("delete"), "{line}");
        }
    }
}

#[tokio::test]
async fn several_possible_secrets_are_all_returned() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        let (one, other) = (canary(vendor), format!("{}ff", canary(vendor)));
        let fields = json!({"id": "new-1", "first": one, "second": {"third": other}});
        let body = match vendor {
            Vendor::Spartera => json!({"data": fields}),
            Vendor::Monad => fields,
        };
        let error = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap_err();
        assert_error(&error, ErrorKind::MissingSecret, Outcome::Applied, "ambiguous");
        assert_eq!(error.key(), Some(&id("new-1")));
        let rest: Value = serde_json::from_str(error.unclaimed_secret().unwrap().expose()).unwrap();
        let unknown = json!({"first": one, "second": {"third": other}});
        let expected = match vendor {
            Vendor::Spartera => json!({"data": unknown}),
            Vendor::Monad => unknown,
        };
        assert_eq!(rest, expected);
        assert_hidden(&printed(&error), "ambiguous");
    }
}

#[tokio::test]
async fn an_answer_without_a_valid_id_still_returns_the_secret() {
    for (vendor, operation) in ISSUING {
        let fixture = Fixture::start(vendor).await;
        for bad in [json!(null), json!("../x"), json!("a/b"), json!("")] {
            let secret = canary(vendor);
            for field in ["key", "token", "surprise"] {
                let fields = json!({"id": bad, field: secret});
                let body = match vendor {
                    Vendor::Spartera => json!({"data": fields}),
                    Vendor::Monad => fields,
                };
                let error = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap_err();
                assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Applied, &body.to_string());
                assert_eq!(error.unclaimed_secret().map(Secret::expose), Some(secret), "{body}");
                assert_hidden(&printed(&error), &body.to_string());
            }
        }
        // Without an id and a secret, the error has nothing to return, and the outcome is unknown.
        let body = if vendor == Vendor::Spartera { json!({"data": {}}) } else { json!({}) };
        let error = issue(&fixture, operation, Answer::json(200, &body)).await.unwrap_err();
        assert_eq!((error.outcome(), error.unclaimed_secret()), (Outcome::Unknown, None));
        assert!(error.to_string().contains("before trying again"), "{error}");
    }
}

#[tokio::test]
async fn a_credential_that_a_server_repeats_in_a_failure_stays_hidden() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::with(vendor, canary(vendor)).await;
        assert_hides_repeated(&fixture, canary(vendor)).await;
        // The same holds for a credential that was set later.
        let mut fixture = Fixture::start(vendor).await;
        fixture.provider = fixture.provider.with_secret(&canary(vendor).into()).unwrap();
        assert_hides_repeated(&fixture, canary(vendor)).await;
    }
}

async fn assert_hides_repeated(fixture: &Fixture, secret: &str) {
    let said = format!("the key {secret} is not known, {secret}!");
    for &operation in fixture.vendor.operations() {
        for status in [400, 401, 418, 429, 500, 502, 302] {
            for answer in [
                Answer::json(status, &fixture.vendor.failure(status, &said)),
                Answer::json(status, &json!(said)),
                Answer::json(status, &json!({"error": said, "error_type": said, "code": 1})),
                Answer::json(status, &json!({"message": {"detail": said}})),
                Answer::json(status, &json!({"message": "no", "errors": {"key": said, secret: [said]}})),
                Answer::text(status, "text/html", format!("<p>{said}</p>")),
                Answer::text(status, "application/json", format!(r#"{{"message": "{said}"#)),
                Answer::json(status, &json!(said)).cut_short(),
            ] {
                let error = fixture.error(operation, answer.clone()).await;
                assert_hidden(&printed(&error), &format!("{operation} {answer:?}"));
                assert!(!printed(&error).contains(secret));
            }
        }
    }
}

/// Base64 uses slashes, which servers in PHP write as `\/`. JSON can write any character as `\u…`.
#[tokio::test]
async fn a_credential_is_recognized_in_every_json_escape() {
    let secret = "sk_live_canary/0123456789+abcdef==";
    for vendor in Vendor::ALL {
        let fixture = Fixture::with(vendor, secret).await;
        for escaped in [
            secret.to_owned(),
            secret.replace('/', r"\/"),
            secret.replace('+', r"\u002b").replace('=', r"\u003d"),
            secret.replace("sk", r"\u0073k"),
        ] {
            for body in [
                format!(r#""unknown key {escaped}""#),
                format!(r#"{{"message": "unknown key {escaped}", "error": "unknown key {escaped}"}}"#),
                format!(r#"{{"message": ["odd"], "errors": {{"key": "unknown key {escaped}"}}}}"#),
            ] {
                let error = fixture.error(Operation::Get, Answer::text(401, "application/json", body.clone())).await;
                assert!(!printed(&error).contains("canary"), "{body}: {}", printed(&error));
            }
        }
    }
}

#[tokio::test]
async fn a_credential_that_a_server_repeats_in_a_header_stays_hidden() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::with(vendor, canary(vendor)).await;
        for name in ["x-request-id", "location", "set-cookie", "retry-after"] {
            let answer = Answer::json(403, &vendor.failure(403, "no")).header(name, canary(vendor));
            let error = fixture.error(Operation::Get, answer).await;
            assert_hidden(&printed(&error), name);
        }
        let answer = Answer::text(200, canary(vendor), "no JSON");
        let error = fixture.error(Operation::Get, answer).await;
        assert_hidden(&printed(&error), "content-type");
    }
}

#[tokio::test]
async fn providers_keyrings_and_builders_hide_their_credential() {
    let spartera = || Spartera::builder().company_id(SCOPE).api_key(SPARTERA_CANARY);
    let monad = || Monad::builder().organization_id(SCOPE).api_key(MONAD_CANARY);
    let bearer = || Monad::builder().organization_id(SCOPE).bearer(MONAD_CANARY);
    assert_debug_hides(&spartera(), "builder");
    assert_debug_hides(&monad(), "builder");
    assert_debug_hides(&bearer(), "builder");
    let (spartera, monad, bearer) = (spartera().build().unwrap(), monad().build().unwrap(), bearer().build().unwrap());
    assert_debug_hides(&(&spartera, &monad, &bearer), "providers");
    assert!(format!("{spartera:?}").contains(SCOPE), "the output still shows the scope");
    let builder = Keyring::builder().add("a", spartera).add("b", monad).add("c", bearer);
    assert_debug_hides(&builder, "keyring builder");
    let keyring = builder.build().unwrap();
    assert_debug_hides(&keyring, "keyring");
    for provider in keyring.providers() {
        assert_debug_hides(&provider, "named provider");
    }
}

#[tokio::test]
async fn an_unexpected_secret_in_an_answer_stays_hidden() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let mut key = vendor.key("7");
        for name in ["key", "token", "surprise"] {
            key[name] = canary(vendor).into();
        }
        key["deep"] = json!({"er": [canary(vendor)]});
        let envelope = |key: &Value| match vendor {
            Vendor::Spartera => json!({"data": key, "token": canary(vendor)}),
            Vendor::Monad => key.clone(),
        };
        fixture.stub.answer_all(Answer::json(200, &envelope(&key)));
        let found = fixture.provider.get(&id("7")).await.unwrap();
        assert_debug_hides(&found, "get");
        // A secret that should be masked shows only its ends.
        assert_hidden(&format!("{:?}", found.masked_secret()), "masked");
        if vendor == Vendor::Spartera {
            assert_eq!(found.masked_secret(), Some("sk_****cdef"));
            assert_debug_hides(&fixture.provider.stats(&id("7")).await.unwrap(), "stats");
        }
        let updated = fixture.provider.update(&id("7"), &KeyUpdate::new().name("x")).await.unwrap();
        assert_debug_hides(&updated, "update");
        fixture.stub.answer_all(Answer::json(200, &vendor.list(std::slice::from_ref(&key))));
        assert_debug_hides(&keys(&*fixture.provider).await, "list");

        // The same holds if a field of such an answer has another type than documented.
        key["name"] = json!({"odd": canary(vendor)});
        for &operation in vendor.operations() {
            for body in [envelope(&key), json!({"data": canary(vendor), "api_keys": canary(vendor), "id": 7})] {
                fixture.stub.answer_all(Answer::json(200, &body));
                match perform(&*fixture.provider, operation).await {
                    Ok(value) => assert_hidden(&value, "value"),
                    Err(error) => assert_hidden(&printed(&error), &format!("{operation}")),
                }
            }
        }
        fixture.stub.answer_all(Answer::json(200, &vendor.list(&[key])));
        for row in rows(&*fixture.provider).await {
            assert_hidden(&format!("{:?}", row.unwrap()), "row with an odd field");
        }
        let malformed = json!({"name": canary(vendor), canary(vendor): [canary(vendor)]});
        fixture.stub.answer_all(Answer::json(200, &vendor.list(&[malformed])));
        for row in rows(&*fixture.provider).await {
            assert_hidden(&printed(&row.unwrap_err()), "malformed row");
        }
    }
}

#[test]
fn an_invalid_credential_is_rejected_and_not_printed() {
    for (hostile, why) in [
        ("", InvalidCredential::Empty),
        ("sk_live_canary_0123456789\r\nx-admin: 1", InvalidCredential::NotVisibleAscii),
        ("sk_live_canary_0123456789\n", InvalidCredential::NotVisibleAscii),
        ("sk_live_canary_0123456789\0", InvalidCredential::NotVisibleAscii),
        ("sk_live_canary_0123456789é", InvalidCredential::NotVisibleAscii),
        ("sk_live_canary_0123456789 x", InvalidCredential::NotVisibleAscii),
    ] {
        let spartera = || Spartera::builder().company_id(SCOPE).api_key(hostile);
        let monad = || Monad::builder().organization_id(SCOPE).api_key(hostile);
        let bearer = || Monad::builder().organization_id(SCOPE).bearer(hostile);
        assert_debug_hides(&(spartera(), monad(), bearer()), "builder");
        let good = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).build().unwrap();
        let good_bearer = Monad::builder().organization_id(SCOPE).bearer(CREDENTIAL).build().unwrap();
        let errors: [Error; 5] = [
            spartera().build().unwrap_err(),
            monad().build().unwrap_err(),
            bearer().build().unwrap_err(),
            api_keyring::Provider::with_secret(&good, &hostile.into()).unwrap_err(),
            api_keyring::Provider::with_secret(&good_bearer, &hostile.into()).unwrap_err(),
        ];
        for error in errors {
            assert_error(&error, ErrorKind::InvalidInput, Outcome::NotSent, hostile);
            assert_hidden(&printed(&error), "refused credential");
            let source = error.source().unwrap().downcast_ref::<InvalidCredential>();
            assert_eq!(source, Some(&why), "{hostile:?}");
        }
    }
    // A missing credential has its own message.
    let error = Spartera::builder().company_id(SCOPE).build().unwrap_err();
    assert_error(&error, ErrorKind::InvalidInput, Outcome::NotSent, "none");
    assert!(error.to_string().contains("credential is missing"), "{error}");
}

/// A secret in the place of a name or an id is refused, and the error does not repeat it.
#[tokio::test]
async fn a_secret_in_the_wrong_place_is_refused_and_not_repeated() {
    let mut cells = 0;
    for secret in [SPARTERA_CANARY, MONAD_CANARY] {
        let spartera = Fixture::start(Vendor::Spartera).await;
        let with_role = api_keyring::NewKey::new("ci").role(secret);
        let no_provider = Keyring::builder().build().unwrap().provider(secret).unwrap_err();
        let named = Keyring::builder().add(secret, spartera.provider.clone()).build().unwrap_err();
        for error in [
            api_keyring::Provider::create(&spartera.provider, &with_role).await.unwrap_err(),
            Spartera::builder().company_id(secret).api_key("x").build().unwrap_err(),
            Monad::builder().organization_id(secret).api_key("x").build().unwrap_err(),
            no_provider,
            named,
        ] {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidInput, Outcome::NotSent));
            assert_hidden(&printed(&error), "an invalid argument");
            cells += 1;
        }
        assert_eq!(spartera.stub.requests().len(), 0);
    }
    println!("{cells} cells of a secret in the place of a name");
}
