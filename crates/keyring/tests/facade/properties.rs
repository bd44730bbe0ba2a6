//! Properties that hold for any answer and any name.

use std::sync::Arc;

use api_keyring::{KeyId, KeyRef, KeyUpdate, Mark, Memory, NewKey, Operation, Provider, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::stub::Answer;
use crate::support::{Fixture, Vendor, id, perform, printed};

/// Returns a secret in the vendor's form. No output may show it.
fn canary(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Spartera => "sk_live_canary0123456789abcdef",
        Vendor::Monad => "eyJjYW5hcnkiOjF9.canary0123456789.canary0123456789",
    }
}

/// Field names that the vendors use, and some that they do not. None of them is an id or a name, because output may
/// show those.
const FIELDS: [&str; 20] = [
    "data",
    "api_keys",
    "pagination",
    "meta",
    "total",
    "limit",
    "offset",
    "page",
    "per_page",
    "key",
    "token",
    "code",
    "errors",
    "error",
    "retry_after",
    "token_version",
    "rate_limit",
    "surprise",
    "expires_at",
    "created_at",
];

/// Generates any JSON. It sometimes contains the vendors' field names and a secret.
fn any_json(vendor: Vendor) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..20_i64).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("2026-01-01 00:00:00+00:00")),
        Just(json!(canary(vendor))),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let name = prop_oneof![3 => prop::sample::select(&FIELDS[..]).prop_map(str::to_owned), 1 => "[a-z_]{1,8}x"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn runner() -> TestRunner {
    // Every run tries different answers, writes no file, and prints the smallest failing one.
    TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn no_json_answer_causes_a_panic_or_reveals_a_secret() {
    for vendor in Vendor::ALL {
        let runtime = runtime();
        let fixture = runtime.block_on(Fixture::start(vendor));
        let status = prop::sample::select(&[200, 200, 200, 201, 400, 401, 404, 429, 500, 503][..]);
        let operation = prop::sample::select(vendor.operations());
        let run = runner().run(&(any_json(vendor), status, operation), |(body, status, operation)| {
            let text = runtime.block_on(async {
                let result = fixture.perform(operation, Answer::json(status, &body).stay_open()).await;
                result.unwrap_or_else(|error| {
                    assert!(!error.to_string().chars().any(char::is_control), "one line: {error}");
                    printed(&error)
                })
            });
            prop_assert!(!text.contains("canary0123456789"), "{vendor:?} {operation} {status} {body}: {text}");
            Ok(())
        });
        run.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn any_field_of_a_documented_answer_may_hold_any_json() {
    for vendor in Vendor::ALL {
        let runtime = runtime();
        let fixture = runtime.block_on(Fixture::start(vendor));
        let operation = prop::sample::select(vendor.operations());
        let run = runner().run(
            &(any_json(vendor), any::<prop::sample::Index>(), operation),
            |(replacement, which, operation)| {
                let mut answer = vendor.success(operation);
                let places = pointers(&answer);
                let place = which.get(&places);
                if let Some(part) = answer.pointer_mut(place) {
                    *part = replacement;
                }
                let result = runtime.block_on(fixture.perform(operation, Answer::json(200, &answer).stay_open()));
                let text = result.unwrap_or_else(|error| printed(&error));
                // Output shows names and ids, even if one of them looks like a secret.
                let is_text = ["/name", "/id", "_id"].iter().any(|end| place.ends_with(end));
                prop_assert!(is_text || !text.contains("canary0123456789"), "{operation} {answer}: {text}");
                Ok(())
            },
        );
        run.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Returns JSON pointers to all parts of a value.
fn pointers(value: &Value) -> Vec<String> {
    let mut places = vec![String::new()];
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), field)).collect(),
        _ => Vec::new(),
    };
    for (name, part) in inner {
        places.extend(pointers(part).into_iter().map(|rest| format!("/{name}{rest}")));
    }
    places
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_key_ref_survives_its_round_trip(provider in "[A-Za-z0-9_-]{1,64}", id in "[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,254}") {
        let text = format!("{provider}/{id}");
        let key: KeyRef = text.parse().unwrap();
        prop_assert_eq!((key.provider(), key.id().as_str()), (provider.as_str(), id.as_str()));
        prop_assert_eq!(key.to_string(), text.clone());
        let json = serde_json::to_string(&key).unwrap();
        prop_assert_eq!(serde_json::from_str::<KeyRef>(&json).unwrap(), key);
    }

    #[test]
    fn any_text_is_an_invalid_key_id_or_stays_unchanged(text in "\\PC{0,300}") {
        if let Ok(id) = text.parse::<KeyId>() {
            prop_assert_eq!(id.as_str(), &*text);
        }
        let _ = text.parse::<KeyRef>();
        let _ = text.parse::<Mark>();
    }

    #[test]
    fn any_timestamp_survives_its_round_trip(text in "\\PC{0,40}", seconds in -62_000_000_000_i64..250_000_000_000, nanos in 0_u32..1_000_000_000) {
        // Any text stays unchanged.
        let timestamp = Timestamp::from(text.as_str());
        prop_assert_eq!(timestamp.as_str(), text.as_str());
        prop_assert_eq!(serde_json::to_value(&timestamp).unwrap(), json!(text));
        // A point in time survives in both vendors' formats.
        let time = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
        let written = Timestamp::from(time);
        prop_assert_eq!(written.utc(), Some(time));
        let spaced = Timestamp::from(&*written.as_str().replace('T', " ").replace('Z', "+00:00"));
        prop_assert_eq!(spaced.utc(), Some(time));
    }

    #[test]
    fn any_name_survives_its_round_trip_and_carries_a_mark(name in "\\PC{0,80}\\S\\PC{0,20}") {
        let memory = Memory::new();
        let mark = Mark::random();
        let new = NewKey::new(name.clone()).role("r").marked(&mark);
        prop_assert_eq!(Mark::unmarked(&new.name), Mark::unmarked(&name));
        runtime().block_on(async {
            let issued = memory.create(&new).await.unwrap();
            let key = memory.get(issued.id()).await.unwrap();
            assert!(mark.is_on(&key));
            memory.update(issued.id(), &KeyUpdate::new().name(name.clone())).await.unwrap();
            assert_eq!(memory.get(issued.id()).await.unwrap().name(), Some(name.as_str()));
        });
    }
}

#[test]
fn any_name_survives_its_round_trip_over_http() {
    for vendor in Vendor::ALL {
        let runtime = runtime();
        let fixture = runtime.block_on(Fixture::start(vendor));
        let run = runner().run(&"\\PC{0,80}\\S\\PC{0,20}", |name| {
            let mut key = vendor.key("7");
            key["name"] = name.clone().into();
            let answer = match vendor {
                Vendor::Spartera => json!({"message": "ok", "data": key}),
                Vendor::Monad => key,
            };
            fixture.stub.answer_all(Answer::json(200, &answer).stay_open());
            let provider: Arc<dyn Provider> = Arc::clone(&fixture.provider);
            runtime.block_on(async {
                assert_eq!(provider.get(&id("7")).await.unwrap().name(), Some(name.as_str()));
                provider.update(&id("7"), &KeyUpdate::new().name(&name)).await.unwrap();
                perform(&*provider, Operation::Get).await.unwrap();
            });
            prop_assert_eq!(&fixture.stub.requests()[1].json()["name"], &json!(name));
            Ok(())
        });
        run.unwrap_or_else(|failure| panic!("{failure}"));
    }
}
