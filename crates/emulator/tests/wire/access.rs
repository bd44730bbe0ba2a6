//! Authentication, roles, and the end of keys.

use std::time::Duration;

use api_keyring_emulator::{Clock as _, Emulator, KeyStatus, Revision};
use serde_json::{Value, json};

use crate::client::{Api, Reply, builder, services, variants};

const SPARTERA_401: &str = r#"{"code":401,"message":"Authentication required"}"#;
const SPARTERA_403: &str = r#"{"code":403,"message":"Permission denied"}"#;

#[track_caller]
fn is_refused(reply: &Reply, status: u16, body: &str) {
    assert_eq!(reply.refused(status), serde_json::from_str::<Value>(body).unwrap());
}

/// Sends every operation of Spartera for one key.
async fn all_of_spartera(api: &Api, id: &str, company: &str) -> Vec<(&'static str, Reply)> {
    let body = json!({"company_id": company, "role_id": 3});
    vec![
        ("read", api.get("").await),
        ("read", api.get(&format!("/{id}")).await),
        ("read", api.get(&format!("/{id}/stats")).await),
        ("write", api.post("", body.clone()).await),
        ("write", api.patch(&format!("/{id}"), json!({"name": "x"})).await),
        ("delete", api.post(&format!("/{id}/revoke"), body).await),
        ("delete", api.delete(&format!("/{id}")).await),
    ]
}

/// Sends every operation of Monad for one key.
async fn all_of_monad(api: &Api, id: &str) -> Vec<(&'static str, Reply)> {
    let body = json!({"name": "x", "role_id": "role-reader", "expiration_time": "2026-04-01T00:00:00Z"});
    vec![
        ("read", api.get("").await),
        ("read", api.get(&format!("/{id}")).await),
        ("write", api.post("", body).await),
        ("write", api.patch(&format!("/{id}"), json!({"name": "x"})).await),
        ("write", api.send("POST", &format!("/{id}/regenerate"), None).await),
        ("delete", api.delete(&format!("/{id}")).await),
    ]
}

#[tokio::test]
async fn no_operation_works_without_a_valid_credential() {
    for (revision, shape) in variants() {
        let (builder, _) = builder();
        let emulator = builder.revision(revision).spartera_shape(shape).start().await.unwrap();
        let (spartera, monad) = (Api::spartera(&emulator), Api::monad(&emulator));
        let (company, id) = (emulator.spartera().company_id(), emulator.spartera().add_keys(1)[0].id.clone());
        let spartera_key = emulator.spartera().admin_key();
        let bad = [
            String::new(),
            "x-api-key:".to_owned(),
            "x-api-key: sk_live_00000000000000000000000000000000".to_owned(),
            format!("x-api-key: {}x", spartera_key),
            format!("x-api-key: {}", emulator.monad().admin_key()),
            format!("Authorization: Bearer {spartera_key}"),
        ];
        for header in &bad {
            for (_, reply) in all_of_spartera(&spartera.with_header(header), &id, &company).await {
                is_refused(&reply, 401, SPARTERA_401);
            }
        }

        let id = emulator.monad().add_keys(1)[0].id.clone();
        let token = emulator.monad().admin_key();
        let bad = [
            String::new(),
            "x-api-key: not.a.token".to_owned(),
            format!("x-api-key: {spartera_key}"),
            format!("Authorization: {token}"),
            format!("Authorization: Basic {token}"),
            "Authorization: Bearer".to_owned(),
            format!("Authorization: Bearer {token}x"),
            // `x-api-key` takes precedence over `Authorization`, even with a wrong secret.
            format!("x-api-key: wrong\r\nAuthorization: Bearer {token}"),
        ];
        for header in &bad {
            for (_, reply) in all_of_monad(&monad.with_header(header), &id).await {
                is_refused(&reply, 401, "\"Unauthorized\"");
            }
        }
    }
}

#[tokio::test]
async fn monad_accepts_a_token_in_three_ways() {
    let emulator = Emulator::start().await.unwrap();
    let (api, token) = (Api::monad(&emulator), emulator.monad().admin_key());
    for header in ["x-api-key: ", "Authorization: Bearer ", "Authorization: ApiKey ", "authorization: bearer "] {
        api.with_header(&format!("{header}{token}")).get("").await.ok();
    }
}

#[tokio::test]
async fn a_key_has_access_only_to_its_own_company() {
    let emulator = Emulator::start().await.unwrap();
    let another = Emulator::start().await.unwrap();
    let mut api = Api::spartera(&emulator);
    api.keys = Api::spartera(&another).keys;
    for (_, reply) in all_of_spartera(&api, "1001", "any").await {
        is_refused(&reply, 403, SPARTERA_403);
    }
    let mut api = Api::monad(&emulator);
    api.keys = Api::monad(&another).keys;
    for (_, reply) in all_of_monad(&api, "any").await {
        is_refused(&reply, 403, "\"Forbidden\"");
    }
    // The keys of another emulator have no access either: another signing key signs its tokens.
    let api = Api::monad(&emulator);
    is_refused(&api.with_key(&another.monad().admin_key()).get("").await, 401, "\"Unauthorized\"");
}

#[tokio::test]
async fn a_role_limits_what_a_key_may_do() {
    for (revision, shape) in variants() {
        let (builder, _) = builder();
        let emulator = builder.revision(revision).spartera_shape(shape).start().await.unwrap();
        let roles: [(i64, &str, &[&str]); 4] = [
            (1, "role-admin", &["read", "write", "delete"]),
            (2, "role-writer", &["read", "write"]),
            (3, "role-reader", &["read"]),
            (4, "role-none", &[]),
        ];
        for (number, name, allowed) in roles {
            let (admin, company) = (Api::spartera(&emulator), emulator.spartera().company_id());
            let created = admin.post("", json!({"company_id": company, "role_id": number})).await.ok();
            let holder = admin.with_key(created["data"]["key"].as_str().unwrap());
            let subject = emulator.spartera().add_keys(1)[0].id.clone();
            for (needed, reply) in all_of_spartera(&holder, &subject, &company).await {
                match allowed.contains(&needed) {
                    true => drop(reply.ok()),
                    false => is_refused(&reply, 403, SPARTERA_403),
                }
            }

            let admin = Api::monad(&emulator);
            let body = json!({"name": "x", "role_id": name, "expiration_time": "2026-04-01T00:00:00Z"});
            let created = admin.post("", body).await.ok();
            let holder = admin.with_key(created["token"].as_str().unwrap());
            let subject = emulator.monad().add_keys(1)[0].id.clone();
            for (needed, reply) in all_of_monad(&holder, &subject).await {
                match allowed.contains(&needed) {
                    // Regenerate has replaced the key, so delete does not find it.
                    true if needed == "delete" && revision == Revision::Documented => drop(reply.refused(404)),
                    true => drop(reply.ok()),
                    false => is_refused(&reply, 403, "\"Forbidden\""),
                }
            }
        }
    }
}

#[tokio::test]
async fn spartera_keys_end_when_revoked_deleted_or_expired() {
    for (revision, shape) in variants() {
        let (builder, clock) = builder();
        let emulator = builder.revision(revision).spartera_shape(shape).start().await.unwrap();
        let (api, company) = (Api::spartera(&emulator), emulator.spartera().company_id());
        let create = async |expiry: Option<&str>| {
            let mut body = json!({"company_id": company, "role_id": 1});
            if let Some(expiry) = expiry {
                body["expiration_date_utc"] = json!(expiry);
            }
            let created = api.post("", body).await.ok()["data"].clone();
            let id = created.get("api_key_id").or(created.get("id")).unwrap().as_str().unwrap().to_owned();
            (id, api.with_key(created["key"].as_str().unwrap()))
        };

        let (id, holder) = create(None).await;
        holder.get("").await.ok();
        api.post(&format!("/{id}/revoke"), json!({"company_id": company, "role_id": 1})).await.ok();
        is_refused(&holder.get("").await, 401, SPARTERA_401);

        let (id, holder) = create(None).await;
        // A key may revoke or delete itself.
        holder.delete(&format!("/{id}")).await.ok();
        is_refused(&holder.get("").await, 401, SPARTERA_401);

        let (_, forever) = create(None).await;
        let (id, holder) = create(Some("2026-01-01T01:00:00Z")).await;
        clock.advance(Duration::from_secs(3599));
        holder.get("").await.ok();
        clock.advance(Duration::from_secs(1));
        is_refused(&holder.get("").await, 401, SPARTERA_401);
        let shown = api.get(&format!("/{id}")).await.ok()["data"].clone();
        if let Some(status) = shown.get("status") {
            assert_eq!(status, "expired");
        }
        // A later expiry makes the key work again.
        api.patch(&format!("/{id}"), json!({"expires_at": "2026-01-02T00:00:00Z"})).await.ok();
        holder.get("").await.ok();
        clock.advance(Duration::from_secs(3600 * 24 * 365 * 50));
        forever.get("").await.ok();
    }
}

#[tokio::test]
async fn monad_keys_end_when_they_expire_and_stay_listed() {
    for (revision, shape) in variants() {
        let (builder, clock) = builder();
        let emulator = builder.revision(revision).spartera_shape(shape).start().await.unwrap();
        let api = Api::monad(&emulator);
        let body = json!({"name": "x", "role_id": "role-admin", "expiration_time": "2026-01-01T01:00:00Z"});
        let created = api.post("", body).await.ok();
        let holder = api.with_key(created["token"].as_str().unwrap());
        clock.advance(Duration::from_secs(3599));
        holder.get("").await.ok();
        clock.advance(Duration::from_secs(1));
        is_refused(&holder.get("").await, 401, "\"Unauthorized\"");
        assert_eq!(api.get("").await.ok()["api_keys"][1]["id"], created["id"]);
        clock.advance(Duration::from_secs(3600 * 24 * 365 * 50));
        api.get("").await.ok();
    }
}

#[tokio::test]
async fn an_expired_secret_may_work_for_a_while() {
    for (revision, shape) in variants() {
        let (builder, clock) = builder();
        let builder = builder.revision(revision).spartera_shape(shape).expiry_lag(Duration::from_secs(60));
        let emulator = builder.start().await.unwrap();
        for (api, mut body) in services(&emulator) {
            let expiry = clock.now() + chrono::TimeDelta::hours(1);
            for field in ["expiration_date_utc", "expires_at", "expiration_time"] {
                body[field] = json!(expiry.to_rfc3339());
            }
            let created = api.post("", body).await.ok();
            let secret = created.get("token").unwrap_or(&created["data"]["key"]).as_str().unwrap();
            clock.advance(Duration::from_secs(3659));
            assert!(api.accepts(secret).await, "{revision:?} {shape:?}");
            let live: Vec<_> = emulator.keys().iter().map(|key| (key.status, key.live_secrets)).collect();
            assert!(live.contains(&(KeyStatus::Expired, 1)), "{live:?}");
            clock.advance(Duration::from_secs(1));
            assert!(!api.accepts(secret).await, "{revision:?} {shape:?}");
            assert!(emulator.keys().iter().all(|key| (key.status == KeyStatus::Active) == (key.live_secrets == 1)));
        }
    }
}
