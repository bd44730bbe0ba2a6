//! Spartera's operations in every revision and shape, and the requests that each refuses.

use api_keyring_emulator::{Emulator, ManualClock, Revision, SparteraShape};
use serde_json::{Value, json};

use crate::client::{Api, builder, variants};

/// Returns the model of a key right after `create` below.
fn expected_key(fixture: (Revision, SparteraShape), company: &str, id: &str, masked: &str) -> Value {
    match fixture {
        (revision, SparteraShape::Documented) => {
            let mut key = json!({
                "api_key_id": id.parse::<u64>().unwrap(),
                "company_id": company,
                "role_id": 2,
                "user_id": "user-7",
                "name": "deploy",
                "key": masked,
                "expiration_date_utc": "2026-04-01 00:00:00+00:00",
                "date_created": "2026-01-01 00:00:00+00:00",
                "last_updated": "2026-01-01 00:00:00+00:00",
            });
            if revision == Revision::Current {
                key["key_type"] = json!("mcp");
                key["mcp_deployment_id"] = json!("mcp-1");
                key["is_system_generated"] = json!(true);
                key["status"] = json!("active");
            }
            key
        }
        (_, SparteraShape::Guide) => json!({
            "id": id,
            "name": "deploy",
            "key": masked,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-04-01T00:00:00Z",
            "last_used": null,
            "status": "active",
            "rate_limit": 50,
            "permissions": ["read", "export"],
            "description": "for the pipeline",
        }),
        _ => unreachable!("the match covers all shapes"),
    }
}

fn new_key(company: &str) -> Value {
    json!({
        "company_id": company,
        "role_id": 2,
        "user_id": "user-7",
        "name": "deploy",
        "expiration_date_utc": "2026-04-01 00:00:00+00:00",
        "mcp_deployment_id": "mcp-1",
        "is_system_generated": true,
        "rate_limit": 50,
        "permissions": ["read", "export"],
        "description": "for the pipeline",
    })
}

fn id_of(created: &Value) -> String {
    let data = &created["data"];
    let id = data.get("api_key_id").or_else(|| data.get("id")).unwrap();
    id.as_str().expect("create returns the id as text").to_owned()
}

/// Returns the masked form of a secret.
fn mask(secret: &str) -> String {
    let (prefix, last) = (secret.split('_').next().unwrap(), &secret[secret.len() - 4..]);
    format!("{prefix}_****{last}")
}

struct Fixture {
    emulator: Emulator,
    api: Api,
    company: String,
    clock: ManualClock,
}

async fn fixture(which: (Revision, SparteraShape)) -> Fixture {
    let (builder, clock) = builder();
    let emulator = builder.revision(which.0).spartera_shape(which.1).start().await.unwrap();
    let api = Api::spartera(&emulator);
    let company = emulator.spartera().company_id();
    Fixture { emulator, api, company, clock }
}

impl Fixture {
    async fn create(&self) -> (String, String) {
        let created = self.api.post("", new_key(&self.company)).await.ok();
        (id_of(&created), created["data"]["key"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn create_shows_the_secret_once_and_get_masks_it() {
    for which in variants() {
        let fixture = fixture(which).await;
        let created = fixture.api.post("", new_key(&fixture.company)).await.ok();
        let id = id_of(&created);
        let secret = created["data"]["key"].as_str().unwrap().to_owned();
        let random = secret.strip_prefix("sk_live_").unwrap();
        assert!(random.len() >= 32 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
        match which.1 {
            SparteraShape::Documented => {
                assert_eq!(created, json!({"message": "API key created", "data": {"api_key_id": id, "key": secret}}));
            }
            _ => {
                let data = expected_key(which, &fixture.company, &id, &secret);
                assert_eq!(created, json!({"message": "API key created", "data": data}));
            }
        }

        let masked = mask(&secret);
        let got = fixture.api.get(&format!("/{id}")).await.ok();
        let expected = expected_key(which, &fixture.company, &id, &masked);
        assert_eq!(got, json!({"message": "API key retrieved", "data": expected}), "{which:?}");
    }
}

#[tokio::test]
async fn list_has_every_key_and_no_secret() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, secret) = fixture.create().await;
        let masked = mask(&secret);
        let reply = fixture.api.get("").await;
        let listed = reply.ok();
        let admin = fixture.emulator.spartera().admin_key();
        let admins = admins_key(which, &fixture, &listed["data"][0], &mask(&admin));
        let mut expected = json!({
            "message": "API keys retrieved",
            "data": [admins, expected_key(which, &fixture.company, &id, &masked)],
        });
        let meta = match which {
            (_, SparteraShape::Documented) => None,
            (Revision::Documented, _) => Some(json!({"total": 2, "page": 1, "per_page": 2})),
            _ => Some(json!({"total": 2, "page": 1, "per_page": 20})),
        };
        if let Some(meta) = meta {
            expected["meta"] = meta;
        }
        assert_eq!(listed, expected, "{which:?}");
        assert!(!String::from_utf8(reply.body).unwrap().contains(&secret));
    }
}

/// Returns the model of the administrator's key after only a create and this list. Its id is random in the guide's
/// shape.
fn admins_key(which: (Revision, SparteraShape), fixture: &Fixture, seen: &Value, masked: &str) -> Value {
    let mut key = bare_key(which, &fixture.company, &seen["id"], 1001, masked);
    key["name"] = json!("administrator");
    match which.1 {
        SparteraShape::Documented => key["role_id"] = json!(1),
        _ => {
            key["permissions"] = json!(["read", "write", "delete"]);
            key["last_used"] = json!("2026-01-01T00:00:00Z");
        }
    }
    key
}

/// Returns the model of a key that was created with only a company and role 3.
fn bare_key(which: (Revision, SparteraShape), company: &str, id: &Value, number: u64, masked: &str) -> Value {
    match which {
        (revision, SparteraShape::Documented) => {
            let mut key = json!({
                "api_key_id": number,
                "company_id": company,
                "role_id": 3,
                "key": masked,
                "date_created": "2026-01-01 00:00:00+00:00",
                "last_updated": "2026-01-01 00:00:00+00:00",
            });
            if revision == Revision::Current {
                key["key_type"] = json!("analytics");
                key["is_system_generated"] = json!(false);
                key["status"] = json!("active");
            }
            key
        }
        _ => json!({
            "id": id,
            "name": null,
            "key": masked,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": null,
            "last_used": null,
            "status": "active",
            "rate_limit": 1000,
            "permissions": ["read"],
        }),
    }
}

#[tokio::test]
async fn unset_fields_are_left_out_or_null() {
    for which in variants() {
        let fixture = fixture(which).await;
        let mut created = fixture.api.post("", json!({"company_id": fixture.company, "role_id": 3})).await.ok();
        let (id, secret) = (id_of(&created), created["data"]["key"].take());
        let secret = secret.as_str().unwrap();
        let masked = mask(secret);
        let mut expected = bare_key(which, &fixture.company, &json!(id), 1002, &masked);
        assert_eq!(fixture.api.get(&format!("/{id}")).await.ok()["data"], expected, "{which:?}");
        assert_eq!(fixture.api.get("").await.ok()["data"][1], expected, "{which:?}");
        expected["key"] = Value::Null;
        if which.1 == SparteraShape::Documented {
            expected = json!({"api_key_id": id, "key": null});
        }
        assert_eq!(created["data"], expected, "{which:?}");
    }
}

#[tokio::test]
async fn update_changes_only_the_given_fields() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, secret) = fixture.create().await;
        let path = format!("/{id}");
        let before = fixture.api.get(&path).await.ok()["data"].clone();

        let updated = fixture.api.patch(&path, json!({"name": "renamed"})).await.ok();
        assert_eq!(updated, json!({"message": "API key updated", "data": {"api_key_id": id}}));
        let mut expected = before.clone();
        expected["name"] = json!("renamed");
        assert_eq!(fixture.api.get(&path).await.ok()["data"], expected);

        let changes = json!({
            "company_id": fixture.company,
            "role_id": 3,
            "user_id": "user-8",
            "expires_at": "2027-01-01T00:00:00Z",
            "description": "another",
            "rate_limit": 7,
            "permissions": [],
            "key_type": "analytics",
            "is_system_generated": false,
            "mcp_deployment_id": "mcp-2",
            "endpoint_id": "endpoint-2",
        });
        fixture.api.patch(&path, changes).await.ok();
        match which.1 {
            SparteraShape::Documented => {
                expected["role_id"] = json!(3);
                expected["user_id"] = json!("user-8");
                expected["expiration_date_utc"] = json!("2027-01-01 00:00:00+00:00");
                if which.0 == Revision::Current {
                    expected["key_type"] = json!("analytics");
                    expected["is_system_generated"] = json!(false);
                    expected["mcp_deployment_id"] = json!("mcp-2");
                    expected["endpoint_id"] = json!("endpoint-2");
                }
            }
            _ => {
                expected["expires_at"] = json!("2027-01-01T00:00:00Z");
                expected["description"] = json!("another");
                expected["rate_limit"] = json!(7);
                expected["permissions"] = json!([]);
            }
        }
        assert_eq!(fixture.api.get(&path).await.ok()["data"], expected, "{which:?}");
        // The service enforces the new role.
        let holder = fixture.api.with_key(&secret);
        holder.get("").await.ok();
        holder.patch(&path, json!({})).await.refused(403);
    }
}

#[tokio::test]
async fn update_stamps_the_key() {
    let (builder, clock) = builder();
    let emulator = builder.start().await.unwrap();
    let api = Api::spartera(&emulator);
    let id = emulator.spartera().add_keys(1)[0].id.clone();
    clock.set("2026-01-02T03:04:05.678Z".parse().unwrap());
    api.patch(&format!("/{id}"), json!({"name": "renamed"})).await.ok();
    let key = api.get(&format!("/{id}")).await.ok()["data"].clone();
    assert_eq!(key["date_created"], "2026-01-01 00:00:00+00:00");
    assert_eq!(key["last_updated"], "2026-01-02 03:04:05+00:00");
}

#[tokio::test]
async fn delete_removes_the_key() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, _) = fixture.create().await;
        let path = format!("/{id}");
        let deleted = fixture.api.delete(&path).await.ok();
        assert_eq!(deleted, json!({"message": "API key deleted", "data": {"api_key_id": id}}));
        let missing = json!({"code": 404, "message": "Resource not found"});
        assert_eq!(fixture.api.get(&path).await.refused(404), missing);
        assert_eq!(fixture.api.delete(&path).await.refused(404), missing);
        assert_eq!(fixture.api.get("").await.ok()["data"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn revoke_keeps_the_key_and_the_first_reason() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, _) = fixture.create().await;
        let path = format!("/{id}");
        let mut expected = fixture.api.get(&path).await.ok()["data"].clone();
        let body = |reason: &str| json!({"company_id": fixture.company, "role_id": 2, "reason": reason});
        for (day, reason) in [("2026-01-02", "leaked"), ("2026-01-03", "again")] {
            fixture.clock.set(format!("{day}T03:04:05.678Z").parse().unwrap());
            let revoked = fixture.api.post(&format!("{path}/revoke"), body(reason)).await.ok();
            assert_eq!(revoked, json!({"message": "API key revoked", "data": {"api_key_id": id}}));
        }
        if which.1 == SparteraShape::Documented {
            expected["last_updated"] = json!("2026-01-02 03:04:05+00:00");
        }
        if which != (Revision::Documented, SparteraShape::Documented) {
            expected["status"] = json!("revoked");
        }
        if which.0 == Revision::Current {
            expected["revocation_reason"] = json!("leaked");
        }
        assert_eq!(fixture.api.get(&path).await.ok()["data"], expected, "{which:?}");
        assert_eq!(fixture.api.get("").await.ok()["data"][1], expected, "{which:?}");

        let update = fixture.api.patch(&path, json!({"name": "too late"})).await;
        match which.0 {
            Revision::Documented => assert_eq!(
                update.refused(400),
                json!({"code": 400, "message": "Invalid input", "errors": {"api_key_id": ["has been revoked"]}}),
            ),
            _ => assert_eq!(update.refused(409), json!({"code": 409, "message": "API key has been revoked"})),
        }
        assert_eq!(fixture.api.get(&path).await.ok()["data"], expected, "{which:?}");
        fixture.api.delete(&path).await.ok();
    }
}

#[tokio::test]
async fn revoke_reads_only_the_optional_reason() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, _) = fixture.create().await;
        let path = format!("/{id}");
        let before = fixture.api.get(&path).await.ok()["data"].clone();
        let other = json!({
            "company_id": fixture.company, "role_id": 1, "name": "other", "user_id": "user-9", "rate_limit": 1,
            "expires_at": "2020-01-01T00:00:00Z", "permissions": ["all"], "description": "other",
        });
        fixture.api.post(&format!("{path}/revoke"), other).await.ok();
        let after = fixture.api.get(&path).await.ok()["data"].clone();
        assert_eq!(after.get("revocation_reason"), None, "{which:?}");
        for (name, value) in before.as_object().unwrap() {
            let expected = if name == "status" { &json!("revoked") } else { value };
            assert_eq!(&after[name], expected, "{which:?} {name}");
        }
        for (reason, problem) in [(json!(null), "may not be null"), (json!(5), "must be a string")] {
            let body = json!({"company_id": fixture.company, "role_id": 2, "reason": reason});
            let refused = fixture.api.post(&format!("{path}/revoke"), body).await.refused(400);
            assert_eq!(refused["errors"], json!({"reason": [problem]}), "{which:?}");
        }
    }
}

#[tokio::test]
async fn revoke_accepts_the_key_as_it_was_read() {
    let (builder, clock) = builder();
    let emulator = builder.start().await.unwrap();
    let api = Api::spartera(&emulator);
    let company = emulator.spartera().company_id();
    let created = api.post("", new_key(&company)).await.ok();
    let path = format!("/{}/revoke", id_of(&created));
    clock.set("2027-01-01T00:00:00Z".parse().unwrap());
    // The key's own expiry has passed by now, and revoke accepts it.
    api.post(&path, new_key(&company)).await.ok();
}

/// Returns the key with the usage that the current revision's stats add.
fn with_usage(which: (Revision, SparteraShape), key: &Value, count: u64, failed: u64) -> Value {
    let mut stats = key.clone();
    if which.0 == Revision::Documented {
        return json!([stats]);
    }
    stats["usage_count"] = json!(count);
    stats["failed_attempts"] = json!(failed);
    // The guide's key always has `last_used`.
    if which.1 == SparteraShape::Documented && count > 0 {
        stats["last_used"] = json!("2026-01-02 03:04:05+00:00");
    }
    stats
}

#[tokio::test]
async fn stats_show_the_usage_of_a_key() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, secret) = fixture.create().await;
        let key = async || fixture.api.get(&format!("/{id}")).await.ok()["data"].clone();
        let stats = async || fixture.api.get(&format!("/{id}/stats")).await.ok();
        let in_envelope = |data: Value| json!({"message": "API key usage retrieved", "data": data});
        let unused = key().await;
        assert_eq!(stats().await, in_envelope(with_usage(which, &unused, 0, 0)), "{which:?}");

        fixture.clock.set("2026-01-02T03:04:05.678Z".parse().unwrap());
        let holder = fixture.api.with_key(&secret);
        holder.get("").await.ok();
        holder.get("").await.ok();
        let used = key().await;
        let mut expected = unused;
        if which.1 == SparteraShape::Guide {
            expected["last_used"] = json!("2026-01-02T03:04:05Z");
        }
        assert_eq!(used, expected, "{which:?}");
        assert_eq!(fixture.api.get("").await.ok()["data"][1], expected, "{which:?}");
        assert_eq!(stats().await, in_envelope(with_usage(which, &used, 2, 0)), "{which:?}");

        // The key expires and is then revoked as well; the service refuses it in both states.
        fixture.clock.set("2026-04-01T00:00:00Z".parse().unwrap());
        holder.get("").await.refused(401);
        let body = json!({"company_id": fixture.company, "role_id": 2});
        fixture.api.post(&format!("/{id}/revoke"), body).await.ok();
        holder.get("").await.refused(401);
        assert_eq!(stats().await, in_envelope(with_usage(which, &key().await, 2, 2)), "{which:?}");
    }
}

#[tokio::test]
async fn a_writer_may_create_an_administrator_and_unknown_fields_are_ignored() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (_, writer) = fixture.create().await;
        let body = json!({"company_id": fixture.company, "role_id": 1, "colour": null});
        let made = fixture.api.with_key(&writer).post("?colour=red", body).await.ok();
        let admin = fixture.api.with_key(made["data"]["key"].as_str().unwrap());
        admin.delete(&format!("/{}?colour=red", id_of(&made))).await.ok();
        assert_eq!(fixture.api.get("?colour=red").await.ok()["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    for which in variants() {
        let fixture = fixture(which).await;
        let body = json!({"company_id": fixture.company, "role_id": 1});
        let replies = [
            fixture.api.get("/999999").await,
            fixture.api.get("/999999/stats").await,
            fixture.api.delete("/999999").await,
            fixture.api.patch("/999999", json!({"name": "x"})).await,
            fixture.api.post("/999999/revoke", body).await,
            fixture.api.get("/..").await,
            fixture.api.get("/%2e%2e%2f").await,
        ];
        for reply in replies {
            assert_eq!(reply.refused(404), json!({"code": 404, "message": "Resource not found"}));
        }
    }
}

#[tokio::test]
async fn bodies_must_match_the_schema() {
    for which in variants() {
        let fixture = fixture(which).await;
        let (id, _) = fixture.create().await;
        let revoke = format!("/{id}/revoke");
        let key = format!("/{id}");
        let company = fixture.company.as_str();
        let with = |field: &str, value: Value| {
            let mut body = json!({"company_id": company, "role_id": 3});
            body[field] = value;
            body
        };

        let missing = json!({"company_id": ["is required"], "role_id": ["is required"]});
        for path in ["", revoke.as_str()] {
            let refused = fixture.api.post(path, json!({})).await.refused(400);
            assert_eq!(refused, json!({"code": 400, "message": "Invalid input", "errors": missing}));
        }

        let cases = [
            ("company_id", json!("another"), "must be the company of the path"),
            ("company_id", json!(1), "must be a string"),
            ("role_id", json!("3"), "must be an integer"),
            ("role_id", json!(3.5), "must be an integer"),
            ("role_id", json!(true), "must be an integer"),
            ("role_id", json!(5), "is not a role of this company"),
            ("role_id", json!(null), "may not be null"),
            ("name", json!(null), "may not be null"),
            ("name", json!(["a"]), "must be a string"),
            ("user_id", json!(null), "may not be null"),
            ("user_id", json!(7), "must be a string"),
            ("expiration_date_utc", json!(null), "may not be null"),
            ("expiration_date_utc", json!(1_800_000_000), "must be a string"),
            ("expiration_date_utc", json!("2026-04-01"), "must be a timestamp with an offset"),
            ("expiration_date_utc", json!("2026-04-01T00:00:00"), "must be a timestamp with an offset"),
        ];
        for (field, value, problem) in &cases {
            let expected = json!({"code": 400, "message": "Invalid input", "errors": {*field: [problem]}});
            let body = with(field, value.clone());
            assert_eq!(fixture.api.post("", body.clone()).await.refused(400), expected, "create {field} {value}");
            assert_eq!(fixture.api.post(&revoke, body).await.refused(400), expected, "revoke {field} {value}");
            let body = json!({*field: value});
            assert_eq!(fixture.api.patch(&key, body).await.refused(400), expected, "update {field} {value}");
        }

        let cases = [
            ("expiration_date_utc", json!("2025-12-31 23:59:59+00:00"), "must be in the future"),
            ("expiration_date_utc", json!("2026-01-01T00:00:00Z"), "must be in the future"),
            ("expires_at", json!("2025-12-31T23:59:59Z"), "must be in the future"),
            ("expires_at", json!(null), "may not be null"),
            ("description", json!(null), "may not be null"),
            ("rate_limit", json!("many"), "must be an integer"),
            ("rate_limit", json!(0), "must be at least 1"),
            ("permissions", json!("read"), "must be a list of strings"),
            ("permissions", json!(["read", 1]), "must be a list of strings"),
            ("endpoint_id", json!(null), "may not be null"),
            ("mcp_deployment_id", json!(1), "must be a string"),
            ("key_type", json!("other"), "must be analytics, mcp or endpoint"),
            ("is_system_generated", json!("yes"), "must be true or false"),
        ];
        for (field, value, problem) in &cases {
            let expected = json!({"code": 400, "message": "Invalid input", "errors": {*field: [problem]}});
            let created = fixture.api.post("", with(field, value.clone())).await;
            assert_eq!(created.refused(400), expected, "create {field} {value}");
            let updated = fixture.api.patch(&key, json!({*field: value})).await;
            assert_eq!(updated.refused(400), expected, "update {field} {value}");
            // Revoke accepts an expiry in the past.
            if *problem != "must be in the future" {
                let revoked = fixture.api.post(&revoke, with(field, value.clone())).await;
                assert_eq!(revoked.refused(400), expected, "revoke {field} {value}");
            }
        }
        // Both names of the expiry must be valid, although only one counts.
        let mut both = with("expiration_date_utc", json!("2026-04-01T00:00:00Z"));
        both["expires_at"] = json!("soon");
        for path in ["", revoke.as_str()] {
            let refused = fixture.api.post(path, both.clone()).await.refused(400);
            assert_eq!(refused["errors"], json!({"expires_at": ["must be a timestamp with an offset"]}));
        }

        // No refused request had an effect.
        let listed = fixture.api.get("").await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), 2);
        assert_ne!(listed["data"][1]["status"], "revoked");
    }
}

#[tokio::test]
async fn only_json_objects_are_accepted() {
    for which in variants() {
        only_json_objects_are_read_in(&fixture(which).await).await;
    }
}

async fn only_json_objects_are_read_in(fixture: &Fixture) {
    let (id, _) = fixture.create().await;
    for (method, path) in [("POST", String::new()), ("POST", format!("/{id}/revoke")), ("PATCH", format!("/{id}"))] {
        for content_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json"] {
            let refused = fixture.api.send(method, &path, Some((content_type, "{}"))).await.refused(415);
            assert_eq!(refused, json!({"code": 415, "message": "Request body must be application/json"}));
        }
        for (body, problem) in [
            ("{\"company_id\":", "the body is not valid JSON (line 1, column 14)"),
            ("", "the body is not valid JSON (line 1, column 0)"),
            ("[]", "the body must be an object"),
            ("\"text\"", "the body must be an object"),
        ] {
            let reply = fixture.api.send(method, &path, Some(("application/json", body))).await;
            let errors = json!({"body": [problem]});
            assert_eq!(reply.refused(400), json!({"code": 400, "message": "Invalid input", "errors": errors}));
        }
        let deep = "[".repeat(100_000);
        fixture.api.send(method, &path, Some(("application/json", &deep))).await.refused(400);
    }
    fixture.api.send("PATCH", &format!("/{id}"), Some(("Application/JSON; charset=utf-8", "{}"))).await.ok();
}

#[tokio::test]
async fn both_names_and_forms_of_expiry_are_accepted() {
    for which in variants() {
        let fixture = fixture(which).await;
        let shown = async |body: Value| {
            let id = id_of(&fixture.api.post("", body).await.ok());
            let key = fixture.api.get(&format!("/{id}")).await.ok()["data"].clone();
            key.get("expiration_date_utc").or(key.get("expires_at")).unwrap().as_str().unwrap().to_owned()
        };
        for (field, value, spaced, rfc3339) in [
            ("expiration_date_utc", "2026-04-01 00:00:00+00:00", "2026-04-01 00:00:00+00:00", "2026-04-01T00:00:00Z"),
            ("expiration_date_utc", "2026-04-01T02:00:00+02:00", "2026-04-01 00:00:00+00:00", "2026-04-01T00:00:00Z"),
            ("expires_at", "2026-04-01T00:00:00.5Z", "2026-04-01 00:00:00.500+00:00", "2026-04-01T00:00:00.500Z"),
        ] {
            let body = json!({"company_id": fixture.company, "role_id": 3, field: value});
            let expected = if which.1 == SparteraShape::Documented { spaced } else { rfc3339 };
            assert_eq!(shown(body).await, expected, "{which:?}");
        }
        let both = json!({
            "company_id": fixture.company,
            "role_id": 3,
            "expiration_date_utc": "2026-04-01T00:00:00Z",
            "expires_at": "2026-05-01T00:00:00Z",
        });
        assert_eq!(shown(both).await[..10], *"2026-04-01", "{which:?}");
    }
}

#[tokio::test]
async fn endpoint_keys_have_another_prefix_and_type() {
    for which in variants() {
        let fixture = fixture(which).await;
        let body = json!({"company_id": fixture.company, "role_id": 3, "endpoint_id": "endpoint-1"});
        let created = fixture.api.post("", body).await.ok();
        let secret = created["data"]["key"].as_str().unwrap();
        assert!(secret.starts_with("ep_"), "{secret}");
        let id = id_of(&created);
        let mut expected = bare_key(which, &fixture.company, &json!(id), 1002, &mask(secret));
        if which == (Revision::Current, SparteraShape::Documented) {
            expected["endpoint_id"] = json!("endpoint-1");
            expected["key_type"] = json!("endpoint");
        }
        assert_eq!(fixture.api.get(&format!("/{id}")).await.ok()["data"], expected, "{which:?}");
        fixture.api.with_key(secret).get("").await.ok();
    }
}

#[tokio::test]
async fn the_secret_field_can_be_renamed_or_left_out() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let emulator =
            Emulator::builder().spartera_shape(shape).spartera_secret_field("api_key").start().await.unwrap();
        let api = Api::spartera(&emulator);
        let body = json!({"company_id": emulator.spartera().company_id(), "role_id": 3});
        let created = api.post("", body).await.ok();
        assert_eq!(created["data"].get("key"), None);
        let secret = created["data"]["api_key"].as_str().unwrap();
        api.with_key(secret).get("").await.ok();

        let emulator = Emulator::builder().spartera_shape(shape).without_spartera_secret().start().await.unwrap();
        let api = Api::spartera(&emulator);
        let body = json!({"company_id": emulator.spartera().company_id(), "role_id": 3});
        let reply = api.post("", body).await;
        assert_eq!(reply.ok()["data"].get("key"), None);
        assert!(!String::from_utf8(reply.body).unwrap().contains("sk_"));
    }
}

#[tokio::test]
async fn seeded_keys_are_listed_and_work() {
    let fixture = fixture((Revision::Documented, SparteraShape::Documented)).await;
    let seeded = fixture.emulator.spartera().add_keys(10_000);
    assert_eq!(seeded.len(), 10_000);
    let listed = fixture.api.get("").await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 10_001);
    let last = seeded.last().unwrap();
    let key = fixture.api.with_key(&last.secret).get(&format!("/{}", last.id)).await.ok();
    assert_eq!(key["data"]["name"], "seeded-10000");
    assert!(fixture.emulator.spartera().add_keys(0).is_empty());
}
