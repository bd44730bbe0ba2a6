//! Secrets that do not work yet, and ended secrets that still work.

use std::time::Duration;

use api_keyring_emulator::{Fault, KeyStatus, Revision};
use serde_json::{Value, json};

use super::{with, with_builder};
use crate::client::{builder, id_of, services};

/// Returns the secret and the id from the answer of a create or regenerate.
fn issued(answer: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match answer.get("data") {
        Some(data) => (text(&data["key"]), text(&data["api_key_id"])),
        None => (text(&answer["token"]), text(&answer["id"])),
    }
}

#[tokio::test]
async fn a_late_secret_is_refused_at_first() {
    let emulator = with(&["create:late=3:2"]).await;
    for (api, body) in services(&emulator) {
        let (secret, _) = issued(&api.post("", body.clone()).await.ok());
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(api.accepts(&secret).await);
        }
        assert_eq!(seen, [false, false, false, true, true, true]);
        assert_eq!(emulator.keys().last().unwrap().live_secrets, 1);
    }
    for (api, body) in services(&emulator) {
        let (secret, _) = issued(&api.post("", body).await.ok());
        assert!(api.accepts(&secret).await, "the fault is used up");
    }
}

#[tokio::test]
async fn a_flaky_secret_works_on_every_other_use() {
    let emulator = with(&["create:flaky"]).await;
    for (api, body) in services(&emulator) {
        let (secret, _) = issued(&api.post("", body).await.ok());
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(api.accepts(&secret).await);
        }
        assert_eq!(seen, [false, true, false, true, false, true]);
    }
}

#[tokio::test]
async fn a_regenerated_secret_may_be_flaky_too() {
    for revision in [Revision::Current, Revision::Documented] {
        let emulator = with_builder(builder().0.revision(revision), &["regenerate:flaky"]).await;
        let [_, (api, body)] = services(&emulator);
        let (_, id) = issued(&api.post("", body).await.ok());
        let (secret, _) = issued(&api.send("POST", &format!("/{id}/regenerate"), None).await.ok());
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(api.accepts(&secret).await);
        }
        assert_eq!(seen, [false, true, false, true], "{revision:?}");
    }
}

#[tokio::test]
async fn late_and_ended_secrets_get_the_usual_refusal() {
    let emulator = with(&["create:late=1", "delete:linger=1"]).await;
    let refused = [json!({"code": 401, "message": "Authentication required"}), json!("Unauthorized")];
    for ((api, body), refused) in services(&emulator).into_iter().zip(refused) {
        let (secret, id) = issued(&api.post("", body).await.ok());
        let holder = api.with_key(&secret);
        assert_eq!(holder.get("").await.refused(401), refused);
        holder.get("").await.ok();
        api.delete(&format!("/{id}")).await.ok();
        holder.get("").await.ok();
        assert_eq!(holder.get("").await.refused(401), refused);
    }
}

#[tokio::test]
async fn a_deleted_secret_lingers() {
    let emulator = with(&["delete:linger=2"]).await;
    for (api, body) in services(&emulator) {
        let (secret, id) = issued(&api.post("", body).await.ok());
        api.delete(&format!("/{id}")).await.ok();
        api.get(&format!("/{id}")).await.refused(404);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(api.accepts(&secret).await);
        }
        assert_eq!(seen, [true, true, false, false]);
        let used = emulator.requests().iter().filter(|seen| seen.authenticated_as.as_ref() == Some(&id)).count();
        assert_eq!(used, 2, "the record names the key of the lingering secret");
    }
}

#[tokio::test]
async fn a_lingering_secret_keeps_the_limits_of_its_role() {
    let emulator = with(&["delete:linger=5"]).await;
    let [(api, body), _] = services(&emulator);
    let (secret, id) = issued(&api.post("", body.clone()).await.ok());
    api.delete(&format!("/{id}")).await.ok();
    api.with_key(&secret).post("", body).await.refused(403);
    api.with_key(&secret).get("").await.ok();
}

#[tokio::test]
async fn a_revoked_secret_lingers_and_counts_as_live_meanwhile() {
    let emulator = with(&["revoke:linger=1"]).await;
    let [(api, body), _] = services(&emulator);
    let (secret, id) = issued(&api.post("", body.clone()).await.ok());
    let revoke = format!("/{id}/revoke");
    api.post(&revoke, body.clone()).await.ok();
    let key = || emulator.keys().into_iter().find(|key| key.id == id).unwrap();
    assert_eq!((key().status, key().live_secrets), (KeyStatus::Revoked, 1));
    assert!(api.accepts(&secret).await);
    assert_eq!(key().live_secrets, 0);
    assert!(!api.accepts(&secret).await);
    api.post(&revoke, body).await.ok();
    assert!(!api.accepts(&secret).await, "revoking again does not revive the secret");
}

#[tokio::test]
async fn a_regenerated_secret_lingers_beside_the_new_one_which_may_be_late() {
    for revision in [Revision::Current, Revision::Documented] {
        let emulator =
            with_builder(builder().0.revision(revision), &["regenerate:linger=2", "regenerate:late=1"]).await;
        let [_, (api, body)] = services(&emulator);
        let (old, id) = issued(&api.post("", body).await.ok());
        let regenerated = api.send("POST", &format!("/{id}/regenerate"), None).await.ok();
        let (new, new_id) = issued(&regenerated);
        assert_eq!(new_id == id, revision == Revision::Current);
        let key = emulator.keys().into_iter().find(|key| key.id == new_id).unwrap();
        assert_eq!(key.live_secrets, if revision == Revision::Current { 2 } else { 1 });
        assert!(!api.accepts(&new).await);
        assert!(api.accepts(&old).await && api.accepts(&new).await && api.accepts(&old).await);
        assert!(!api.accepts(&old).await && api.accepts(&new).await);
    }
}

#[tokio::test]
async fn a_lingering_secret_still_expires() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["delete:linger=9"]).await;
    let expiry = ("2026-01-01T00:01:00Z", ["expires_at", "expiration_time"]);
    for ((api, mut body), field) in services(&emulator).into_iter().zip(expiry.1) {
        clock.set(crate::client::START.parse().unwrap());
        body[field] = json!(expiry.0);
        let (secret, id) = issued(&api.post("", body).await.ok());
        api.delete(&format!("/{id}")).await.ok();
        assert!(api.accepts(&secret).await);
        clock.advance(Duration::from_secs(60));
        assert!(!api.accepts(&secret).await);
    }
}

#[tokio::test]
async fn a_deleted_keys_older_secrets_end_with_it() {
    let emulator = with(&[]).await;
    for (api, body) in services(&emulator) {
        let made = api.post("", body.clone()).await.ok();
        let secret = made.get("token").unwrap_or(&made["data"]["key"]).as_str().unwrap();
        let id = id_of(made.get("data").unwrap_or(&made));
        for fault in ["monad.regenerate:linger=5:1", "spartera.revoke:linger=5:1"] {
            emulator.inject(fault.parse::<Fault>().unwrap());
        }
        if made.get("token").is_some() {
            api.send("POST", &format!("/{id}/regenerate"), None).await.ok();
        } else {
            api.post(&format!("/{id}/revoke"), body).await.ok();
        }
        assert!(api.accepts(secret).await, "the old secret lingers");
        api.delete(&format!("/{id}")).await.ok();
        assert!(!api.accepts(secret).await);
        emulator.clear_faults();
    }
}
