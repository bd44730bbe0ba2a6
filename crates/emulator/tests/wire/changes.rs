//! The record of changes, and the list of existing keys.

use std::time::Duration;

use api_keyring_emulator::{ChangeKind, Emulator, KeyStatus, Provider, Revision, StateChange};
use serde_json::json;

use crate::client::{START, builder, services};

/// Returns the kind, the key id and the authenticated key of each change.
fn short(changes: &[StateChange]) -> Vec<(ChangeKind, &str, Option<&str>)> {
    changes.iter().map(|change| (change.kind, change.key_id.as_str(), change.by.as_deref())).collect()
}

#[tokio::test]
async fn sparteras_changes_have_time_and_authenticated_key() {
    let (builder, clock) = builder();
    let emulator = builder.start().await.unwrap();
    emulator.spartera().add_keys(1);
    let [(api, body), _] = services(&emulator);
    clock.advance(Duration::from_secs(1));
    api.post("", body.clone()).await.ok();
    api.patch("/1003", json!({"name": "renamed"})).await.ok();
    clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        api.post("/1003/revoke", body.clone()).await.ok();
    }
    api.delete("/1003").await.ok();
    api.delete("/1003").await.refused(404);
    api.post("", json!({})).await.refused(400);
    api.with_key("wrong").post("", body).await.refused(401);

    let mut changes = emulator.changes();
    changes.retain(|change| change.provider == Provider::Spartera);
    let by = Some("1001");
    let expected = [
        (ChangeKind::Seeded, "1001", None),
        (ChangeKind::Seeded, "1002", None),
        (ChangeKind::Created, "1003", by),
        (ChangeKind::Updated, "1003", by),
        (ChangeKind::Revoked, "1003", by),
        (ChangeKind::Deleted, "1003", by),
    ];
    assert_eq!(short(&changes), expected);
    let names: Vec<_> = changes.iter().map(|change| change.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["administrator", "seeded-00001", "new", "renamed", "renamed", "renamed"]);
    let start: chrono::DateTime<chrono::Utc> = START.parse().unwrap();
    let seconds: Vec<_> = changes.iter().map(|change| (change.time - start).num_seconds()).collect();
    assert_eq!(seconds, [0, 0, 1, 1, 2, 2]);
    assert_eq!(changes[5].kind.to_string(), "deleted");
}

#[tokio::test]
async fn monads_regenerate_names_the_replaced_key() {
    for revision in [Revision::Current, Revision::Documented] {
        let emulator = Emulator::builder().revision(revision).start().await.unwrap();
        let admin = emulator.keys().remove(1).id;
        let [_, (api, body)] = services(&emulator);
        emulator.clear_changes();
        let old = api.post("", body).await.ok()["id"].as_str().unwrap().to_owned();
        let new = api.send("POST", &format!("/{old}/regenerate"), None).await.ok()["id"].as_str().unwrap().to_owned();
        api.patch(&format!("/{new}"), json!({"name": "renamed"})).await.ok();
        api.delete(&format!("/{new}")).await.ok();
        let changes = emulator.changes();
        let by = Some(admin.as_str());
        let expected = [
            (ChangeKind::Created, old.as_str(), by),
            (ChangeKind::Regenerated, &new, by),
            (ChangeKind::Updated, &new, by),
            (ChangeKind::Deleted, &new, by),
        ];
        assert_eq!(short(&changes), expected);
        assert_eq!(changes[1].replaces, (revision == Revision::Documented).then_some(old));
        assert!(changes.iter().all(|change| change.provider == Provider::Monad));
    }
}

#[tokio::test]
async fn keys_returns_the_existing_keys() {
    let (builder, clock) = builder();
    let emulator = builder.start().await.unwrap();
    for (api, mut body) in services(&emulator) {
        body["expiration_time"] = json!("2026-01-01T01:00:00Z");
        body["expires_at"] = json!("2026-01-01T01:00:00Z");
        api.post("", body).await.ok();
    }
    let short = || -> Vec<_> {
        let keys = emulator.keys().into_iter();
        keys.map(|key| (key.provider, key.name.unwrap(), key.status, key.live_secrets)).collect()
    };
    let expected = |status: KeyStatus, live: usize| {
        [Provider::Spartera, Provider::Monad].into_iter().flat_map(move |provider| {
            [(provider, "administrator".to_owned(), KeyStatus::Active, 1), (provider, "new".to_owned(), status, live)]
        })
    };
    assert_eq!(short(), expected(KeyStatus::Active, 1).collect::<Vec<_>>());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(short(), expected(KeyStatus::Expired, 0).collect::<Vec<_>>());
    assert!(emulator.requests().len() == 2, "`keys` is not a request");
}

#[tokio::test]
async fn changes_are_bounded_and_hold_no_secret() {
    let emulator = Emulator::builder().record_limit(3).start().await.unwrap();
    let [(api, mut body), _] = services(&emulator);
    let secret = emulator.spartera().admin_key();
    body["name"] = json!(format!("{secret} {}", "x".repeat(1000)));
    api.post("", body).await.ok();
    emulator.spartera().add_keys(1);
    emulator.monad().add_keys(1);
    let changes = emulator.changes();
    assert_eq!(
        changes.iter().map(|change| change.kind).collect::<Vec<_>>(),
        [ChangeKind::Created, ChangeKind::Seeded, ChangeKind::Seeded]
    );
    let name = changes[0].name.as_deref().unwrap();
    assert!(name.starts_with("sk_****") && name.len() <= 256, "{name}");
    let keys = emulator.keys();
    assert!(keys.iter().any(|key| key.name.as_deref().is_some_and(|name| name.starts_with("sk_****"))), "{keys:?}");
    assert!(!format!("{changes:?} {keys:?}").contains(&secret));
    // This secret lies across the place where the record cuts the name.
    let [(api, mut body), _] = services(&emulator);
    body["name"] = json!(format!("{} {secret}", "x".repeat(240)));
    api.post("", body).await.ok();
    let name = emulator.changes().pop().unwrap().name.unwrap();
    assert!(name.ends_with(&format!(" sk_****{}", &secret[secret.len() - 4..])), "{name}");
}
