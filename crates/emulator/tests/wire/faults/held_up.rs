//! Writes that the service carries out later.

use std::time::Duration;

use api_keyring_emulator::{ChangeKind, Fault, FaultKind, KeyStatus, Revision, State};
use serde_json::{Value, json};

use super::{count, recorded, with, with_builder};
use crate::client::{Api, START, builder, id_of, services};

/// Sends a write whose connection must break without an answer.
async fn hold_up(api: &Api, method: &str, path: &str, body: Option<Value>) {
    let reply = api.send_raw(method, path, body).await;
    assert!(reply.reset && reply.bytes.is_empty(), "{reply:?}");
}

#[tokio::test]
async fn a_held_up_create_takes_effect_when_it_is_due() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:held-up=60s:2"]).await;
    for (api, body) in services(&emulator) {
        clock.set(START.parse().unwrap());
        let before = (emulator.keys(), emulator.changes());
        hold_up(&api, "POST", "", Some(body)).await;
        clock.advance(Duration::from_secs(59));
        api.get("").await.ok();
        assert_eq!((emulator.keys().len(), emulator.changes()), (before.0.len(), before.1), "nothing has arrived");
        // Nobody looks at the time at which the write is due.
        clock.advance(Duration::from_secs(3600));
        let change = emulator.changes().pop().unwrap();
        assert_eq!(change.kind, ChangeKind::Created);
        assert_eq!(change.time.to_rfc3339(), "2026-01-01T00:01:00+00:00");
        assert!(change.by.is_some());
        let key = emulator.keys().into_iter().find(|key| key.id == change.key_id && key.created == change.time);
        assert_eq!(key.map(|key| (key.serial, key.live_secrets)), Some((change.serial, 1)));
        let shown = api.get(&format!("/{}", change.key_id)).await.ok();
        let shown = shown.get("data").unwrap_or(&shown);
        let created = shown.get("date_created").or(shown.get("created_at")).unwrap().as_str().unwrap();
        assert!(created.contains("00:01:00"), "{created}");
    }
    let seen = emulator.requests();
    assert_eq!((seen[0].status, &seen[0].authenticated_as), (0, &None));
    assert_eq!(seen[0].faults, [FaultKind::HeldUp(Duration::from_secs(60))]);
}

#[tokio::test]
async fn every_look_at_the_emulator_carries_out_what_is_due() {
    let looks: [fn(&api_keyring_emulator::Emulator) -> usize; 4] = [
        |emulator| emulator.keys().len(),
        |emulator| {
            emulator.changes();
            emulator.keys().len()
        },
        |emulator| emulator.state().to_json().matches("\"id\": \"1002\"").count() + 2,
        |emulator| (emulator.spartera().add_keys(1)[0].id == "1003").into(),
    ];
    for (look, expected) in looks.into_iter().zip([3, 3, 3, 1]) {
        let (builder, clock) = builder();
        let emulator = with_builder(builder, &["create:held-up=60s:1"]).await;
        let [(api, body), _] = services(&emulator);
        hold_up(&api, "POST", "", Some(body)).await;
        clock.advance(Duration::from_secs(60));
        assert_eq!(look(&emulator), expected);
    }
}

#[tokio::test]
async fn every_write_can_be_held_up() {
    for revision in [Revision::Current, Revision::Documented] {
        let (builder, clock) = builder();
        let emulator = with_builder(builder.revision(revision), &[]).await;
        let [(spartera, revoke), (monad, _)] = services(&emulator);
        for (api, write, method, path, body, kind) in [
            (&spartera, "update", "PATCH", "", Some(json!({"name": "renamed"})), ChangeKind::Updated),
            (&spartera, "revoke", "POST", "/revoke", Some(revoke), ChangeKind::Revoked),
            (&spartera, "delete", "DELETE", "", None, ChangeKind::Deleted),
            (&monad, "update", "PATCH", "", Some(json!({"name": "renamed"})), ChangeKind::Updated),
            (&monad, "regenerate", "POST", "/regenerate", None, ChangeKind::Regenerated),
            (&monad, "delete", "DELETE", "", None, ChangeKind::Deleted),
        ] {
            let key = if write == "revoke" || api.keys.contains("companies") {
                emulator.spartera().add_keys(1).remove(0)
            } else {
                emulator.monad().add_keys(1).remove(0)
            };
            emulator.inject("*:held-up=1h:1".parse::<Fault>().unwrap());
            emulator.clear_changes();
            let path = format!("/{}{path}", key.id);
            // A read passes, and uses up nothing.
            api.get(&format!("/{}", key.id)).await.ok();
            hold_up(api, method, &path, body).await;
            assert!(api.accepts(&key.secret).await, "{write}");
            assert_eq!(emulator.changes(), []);
            clock.advance(Duration::from_secs(3600));
            let changes = emulator.changes();
            assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [kind], "{write}");
            assert_eq!(api.accepts(&key.secret).await, kind == ChangeKind::Updated, "{write}");
        }
    }
}

#[tokio::test]
async fn held_up_writes_arrive_in_the_order_in_which_they_are_due() {
    let (builder, clock) = builder();
    let emulator =
        with_builder(builder, &["create:held-up=60s:1", "create:held-up=30s:1", "create:held-up=60s:1"]).await;
    let [(api, mut body), _] = services(&emulator);
    for name in ["slow", "fast", "slow too"] {
        body["name"] = json!(name);
        hold_up(&api, "POST", "", Some(body.clone())).await;
    }
    emulator.clear_faults();
    clock.advance(Duration::from_secs(60));
    body["name"] = json!("direct");
    api.post("", body).await.ok();
    let made: Vec<_> = emulator.changes().into_iter().skip(2).map(|change| (change.key_id, change.name)).collect();
    let expected = [("1002", "fast"), ("1003", "slow"), ("1004", "slow too"), ("1005", "direct")];
    assert_eq!(made, expected.map(|(id, name)| (id.to_owned(), Some(name.to_owned()))));
}

#[tokio::test]
async fn a_held_up_write_meets_the_service_as_it_is_then() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:held-up=60s:1", "delete:held-up=60s:1"]).await;
    let [(api, mut body), _] = services(&emulator);
    let [old, victim] = [0, 1].map(|_| emulator.spartera().add_keys(1).remove(0));
    // The expiry is in the future when the client sends the request, and in the past when the service receives it.
    body["expires_at"] = json!("2026-01-01T00:00:30Z");
    hold_up(&api, "POST", "", Some(body)).await;
    hold_up(&api, "DELETE", &format!("/{}", victim.id), None).await;
    api.delete(&format!("/{}", victim.id)).await.ok();
    api.delete(&format!("/{}", old.id)).await.ok();
    clock.advance(Duration::from_secs(60));
    assert_eq!(count(&emulator), 2);
    assert_eq!(emulator.changes().iter().filter(|change| change.kind == ChangeKind::Deleted).count(), 2);
}

#[tokio::test]
async fn a_held_up_write_needs_a_credential_that_works_when_it_arrives() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:held-up=60s:1"]).await;
    for (api, body) in services(&emulator) {
        let id = emulator.keys().iter().find(|key| key.name.as_deref() == Some("administrator")).unwrap().id.clone();
        if !api.keys.contains("companies") {
            continue;
        }
        hold_up(&api, "POST", "", Some(body)).await;
        api.delete(&format!("/{id}")).await.ok();
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(count(&emulator), 1);
}

#[tokio::test]
async fn a_shutdown_loses_what_is_not_due() {
    for (waited, keys) in [(59, 1), (60, 2)] {
        let (builder, clock) = builder();
        let emulator = with_builder(builder, &["create:held-up=60s"]).await;
        let [(api, body), _] = services(&emulator);
        hold_up(&api, "POST", "", Some(body)).await;
        let handle = emulator.spartera();
        clock.advance(Duration::from_secs(waited));
        let state: State = emulator.into_state().await;
        assert_eq!(state.to_json().matches("sk_live_").count(), keys);
        clock.advance(Duration::from_secs(60));
        assert_eq!(handle.add_keys(1)[0].id, format!("{}", 1001 + keys), "nothing happens after the shutdown");
    }
}

#[tokio::test]
async fn effects_of_other_faults_go_with_the_held_up_write() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:held-up=60s:1", "create:stale-list=1:1"]).await;
    let [(api, body), _] = services(&emulator);
    hold_up(&api, "POST", "", Some(body)).await;
    assert_eq!(recorded(&emulator), ["held-up=1m stale-list=1"]);
    api.get("").await.ok();
    clock.advance(Duration::from_secs(60));
    let rows = |list: Value| list["data"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(rows(api.get("").await.ok()), ["1001"]);
    assert_eq!(rows(api.get("").await.ok()), ["1001", "1002"]);
    assert!(emulator.keys().iter().all(|key| key.status == KeyStatus::Active));
    // A time that never comes is no error.
    let emulator = with(&[]).await;
    emulator.inject(FaultKind::HeldUp(Duration::MAX));
    let [(api, body), _] = services(&emulator);
    hold_up(&api, "POST", "", Some(body)).await;
    assert_eq!(count(&emulator), 2);
}
