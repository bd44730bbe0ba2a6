//! State as JSON: passed from one emulator to another, and written by hand.

use std::time::Duration;

use api_keyring_emulator::{Emulator, ManualClock, SparteraShape, State};
use serde_json::{Value, json};

use crate::client::{Api, START, builder, variants};

/// Returns everything that the administrator can read from a service.
async fn readable(api: &Api) -> Vec<Value> {
    let mut readable = vec![api.get("").await.ok()];
    let keys = readable[0].get("data").or(readable[0].get("api_keys")).unwrap().as_array().unwrap().clone();
    for key in keys {
        let id = key.get("api_key_id").or(key.get("id")).unwrap();
        let id = id.as_str().map_or(id.to_string(), ToOwned::to_owned);
        readable.push(api.get(&format!("/{id}")).await.ok());
    }
    readable
}

#[tokio::test]
async fn another_emulator_continues_from_a_state() {
    for (revision, shape) in variants() {
        let fixture = || {
            let (builder, clock) = builder();
            (builder.revision(revision).spartera_shape(shape), clock)
        };
        let (first, _) = fixture();
        let first = first.start().await.unwrap();
        let (spartera, monad) = (Api::spartera(&first), Api::monad(&first));
        let company = first.spartera().company_id();
        let full = json!({
            "company_id": company, "role_id": 2, "name": "full", "description": "d", "user_id": "u",
            "expires_at": "2027-01-01T00:00:00Z", "endpoint_id": "e", "rate_limit": 7, "permissions": ["read"],
            "is_system_generated": true,
        });
        let created = spartera.post("", full).await.ok()["data"].clone();
        let endpoint_secret = created["key"].as_str().unwrap().to_owned();
        let plain = first.spartera().add_keys(3);
        let reason = json!({"company_id": company, "role_id": 3, "reason": "leaked"});
        spartera.post(&format!("/{}/revoke", plain[0].id), reason).await.ok();
        spartera.delete(&format!("/{}", plain[2].id)).await.ok();
        let tokens = first.monad().add_keys(2);
        let renamed = json!({"name": "renamed", "description": "d"});
        monad.patch(&format!("/{}", tokens[0].id), renamed).await.ok();
        let regenerated = monad.send("POST", &format!("/{}/regenerate", tokens[1].id), None).await.ok();
        let before = (readable(&spartera).await, readable(&monad).await);
        let kept = first.state().to_json();
        let environment = first.environment();
        first.shutdown().await;

        let (second, clock) = fixture();
        let second = second.state(State::from_json(&kept).unwrap()).start().await.unwrap();
        // Only the address differs.
        let known = |environment: Vec<(&'static str, String)>| {
            environment.into_iter().filter(|(name, _)| !name.ends_with("BASE_URL")).collect::<Vec<_>>()
        };
        assert_eq!(known(second.environment()), known(environment));
        assert_eq!(second.state().to_json(), kept);
        let (spartera, monad) = (Api::spartera(&second), Api::monad(&second));
        assert_eq!((readable(&spartera).await, readable(&monad).await), before, "{revision:?} {shape:?}");

        assert!(spartera.accepts(&endpoint_secret).await);
        assert!(spartera.accepts(&plain[1].secret).await);
        assert!(!spartera.accepts(&plain[0].secret).await, "revoked");
        assert!(!spartera.accepts(&plain[2].secret).await, "deleted");
        assert!(monad.accepts(&tokens[0].secret).await);
        assert!(monad.accepts(regenerated["token"].as_str().unwrap()).await);
        assert!(!monad.accepts(&tokens[1].secret).await, "superseded");
        let id = &second.spartera().add_keys(1)[0].id;
        assert!(!plain.iter().any(|key| key.id == *id), "no new key reuses the id of a deleted key");
        clock.advance(Duration::from_secs(366 * 24 * 3600));
        assert!(!spartera.accepts(&endpoint_secret).await, "expired");
    }
}

#[tokio::test]
async fn missing_optional_values_are_filled_in() {
    let state = json!({
        "spartera": {
            "company_id": "acme",
            "keys": [
                {"id": "key_abc123", "role_id": 3, "secret": "sk_live_of_the_reader"},
                {"id": "2000", "role_id": 3, "revoked": true, "secret": "sk_live_that_is_revoked"},
                {"id": "7", "role_id": 3},
                {"id": "18446744073709551615", "role_id": 3},
            ],
        },
        "monad": {
            "keys": [{"id": "ci", "name": "ci", "role_id": "role-reader", "expires_at": "2030-01-01T00:00:00Z"}],
        },
    });
    let (builder, _) = builder();
    let emulator = builder.state(State::from_json(&state.to_string()).unwrap()).start().await.unwrap();
    let (spartera, monad) = (Api::spartera(&emulator), Api::monad(&emulator));
    assert_eq!(emulator.spartera().company_id(), "acme");
    let listed = spartera.get("").await.ok()["data"].clone();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["api_key_id"].clone()).collect();
    assert_eq!(
        ids,
        [json!("key_abc123"), json!(2000), json!(7), json!(u64::MAX), json!(2001)],
        "the administrator's comes last"
    );
    assert_eq!(listed[0]["date_created"], "2026-01-01 00:00:00+00:00");
    assert_eq!(spartera.get("/key_abc123").await.ok()["data"], listed[0]);
    assert!(spartera.accepts("sk_live_of_the_reader").await);
    assert!(!spartera.accepts("sk_live_that_is_revoked").await);
    let kept: Value = serde_json::from_str(&emulator.state().to_json()).unwrap();
    assert!(kept["spartera"]["keys"][2]["secret"].as_str().unwrap().starts_with("sk_live_"));
    assert_eq!(kept["monad"]["keys"][0]["created_at"], START);
    assert!(monad.accepts(kept["monad"]["keys"][0]["token"].as_str().unwrap()).await);
    assert_eq!(emulator.changes().len(), 7, "each key is in the record");
}

#[tokio::test]
async fn contradictory_states_are_refused_without_quoting_a_secret() {
    let emulator = Emulator::builder().clock(ManualClock::new(START.parse().unwrap())).start().await.unwrap();
    emulator.spartera().add_keys(1);
    emulator.monad().add_keys(1);
    let good: Value = serde_json::from_str(&emulator.state().to_json()).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        State::from_json(&changed.to_string()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(changed("/spartera/keys/1/name", json!("other")), Ok(()));
    let cases = [
        ("/spartera/company_id", json!("a/b"), "is not an id"),
        ("/spartera/admin_key_id", json!("9"), "admin_key_id is not the id of a key"),
        ("/spartera/keys/1/id", json!(".."), "is not an id"),
        ("/spartera/keys/1/id", good["spartera"]["keys"][0]["id"].clone(), "two keys have the id 1001"),
        ("/spartera/keys/1/secret", good["spartera"]["keys"][0]["secret"].clone(), "another key has the same secret"),
        ("/spartera/keys/1/secret", json!("a\r\nb"), "secret must begin with sk_"),
        ("/spartera/keys/1/secret", json!(""), "secret must begin with sk_"),
        ("/spartera/keys/1/role_id", json!(5), "role_id must be"),
        ("/spartera/next_number", json!(u64::MAX), "next_number must be at most"),
        ("/spartera/keys/1/usage_count", json!(u64::MAX), "usage_count and failed_attempts must be"),
        ("/spartera/keys/1/failed_attempts", json!(u64::MAX), "usage_count and failed_attempts must be"),
        ("/monad/keys/1/token_version", json!(u64::MAX), "token_version must be at most"),
        ("/spartera/keys/1/key_type", json!("other"), "key_type must be"),
        ("/spartera/keys/1/created_at", json!("yesterday"), "line 1, column "),
        ("/spartera/keys/1/revoked", json!("sk_live_misplaced"), "wrong type"),
        ("/monad/keys/1/name", json!(""), "name must not be empty"),
        ("/monad/keys/1/role_id", json!("3"), "role_id must be"),
        ("/monad/keys/1/token_version", json!(2), "does not match the signing key"),
        ("/monad/keys/1/expires_at", json!("2030-01-01T00:00:00Z"), "does not match the signing key"),
        ("/monad/keys/1/token", good["monad"]["keys"][0]["token"].clone(), "does not match the signing key"),
        ("/monad/signing_key", Value::Null, "does not match the signing key"),
        ("/monad/signing_key/secret", json!("c2hvcnQ="), "64 bytes in base64"),
        ("/monad", json!({"key": []}), "a field is unknown"),
    ];
    let secrets = [emulator.spartera().admin_key(), emulator.monad().admin_key(), "sk_live_misplaced".to_owned()];
    for (pointer, value, expected) in cases {
        let error = changed(pointer, value).expect_err(pointer);
        assert!(error.contains(expected), "{pointer}: {error}");
        assert!(!secrets.iter().any(|secret| error.contains(secret)), "{pointer}: {error}");
    }
    // A secret stands in place of an id.
    let misplaced = r#"{"id": "sk_live_0123456789abcdefghij", "role_id": 3}"#;
    let wrong_role = misplaced.replace(": 3", ": 9");
    for keys in [format!("{misplaced}, {misplaced}"), wrong_role] {
        let error = State::from_json(&format!(r#"{{"spartera": {{"keys": [{keys}]}}}}"#)).unwrap_err().to_string();
        assert!(!error.contains("456789abcdef"), "{error}");
    }
    for (text, expected) in [("", "ends too early"), ("7", "wrong type"), ("{]", "not JSON")] {
        assert!(State::from_json(text).unwrap_err().to_string().contains(expected), "{text}");
    }
    assert_eq!(format!("{:?}", emulator.state()), "State(..)");
}

#[tokio::test]
async fn a_seed_with_a_state_repeats_no_key() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let start =
            async |state: State| Emulator::builder().seed(7).spartera_shape(shape).state(state).start().await.unwrap();
        let (mut state, mut seen) = (State::default(), std::collections::BTreeSet::new());
        for _ in 0..3 {
            let emulator = start(state).await;
            for key in emulator.spartera().add_keys(2).into_iter().chain(emulator.monad().add_keys(2)) {
                assert!(seen.insert(key.id) && seen.insert(key.secret));
            }
            state = State::from_json(&emulator.into_state().await.to_json()).unwrap();
        }
    }
}
