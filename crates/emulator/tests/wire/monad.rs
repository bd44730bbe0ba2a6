//! Monad's operations in both revisions, and the requests that each refuses.

use api_keyring_emulator::{Emulator, ManualClock, MonadErrorShape, Revision};
use serde_json::{Value, json};

use crate::client::{Api, builder};

const REVISIONS: [Revision; 2] = [Revision::Documented, Revision::Current];

struct Fixture {
    emulator: Emulator,
    api: Api,
    organization: String,
    clock: ManualClock,
}

async fn fixture(revision: Revision) -> Fixture {
    let (builder, clock) = builder();
    let emulator = builder.revision(revision).start().await.unwrap();
    let api = Api::monad(&emulator);
    let organization = emulator.monad().organization_id();
    Fixture { emulator, api, organization, clock }
}

fn new_key() -> Value {
    json!({
        "name": "deploy",
        "description": "for the pipeline",
        "role_id": "role-writer",
        "expiration_time": "2026-04-01T00:00:00Z",
    })
}

/// Returns the model of such a key right after its creation.
fn expected_key(revision: Revision, organization: &str, seen: &Value) -> Value {
    let mut key = json!({
        "id": seen["id"],
        "name": "deploy",
        "description": "for the pipeline",
        "organization_id": organization,
        "role_id": "role-writer",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "expiration_time": "2026-04-01T00:00:00Z",
    });
    if revision == Revision::Current {
        key["token_version"] = json!(1);
        key["jwt_signing_key_id"] = seen["jwt_signing_key_id"].clone();
    }
    key
}

fn id_of(key: &Value) -> String {
    key["id"].as_str().unwrap().to_owned()
}

fn token_of(key: &Value) -> String {
    key["token"].as_str().unwrap().to_owned()
}

/// Decodes a part of a token by hand, so that the test does not depend on a library.
fn token_part(token: &str, index: usize) -> Value {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let part = token.split('.').nth(index).unwrap();
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in part.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn create_returns_the_key_with_its_token() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let created = fixture.api.post("", new_key()).await.ok();
        let mut expected = expected_key(revision, &fixture.organization, &created);
        let shown = fixture.api.get(&format!("/{}", id_of(&created))).await.ok();
        assert_eq!(shown, expected);
        let token = token_of(&created);
        expected["token"] = json!(token);
        assert_eq!(created, expected, "{revision:?}");

        assert_eq!(token.split('.').count(), 3, "{token}");
        let head = token_part(&token, 0);
        assert_eq!(head["alg"], "HS256");
        assert_eq!(head["typ"], "JWT");
        if revision == Revision::Current {
            assert_eq!(head["kid"], created["jwt_signing_key_id"]);
        }
        assert_eq!(
            token_part(&token, 1),
            json!({
                "sub": created["id"],
                "organization_id": fixture.organization,
                "token_version": 1,
                "iat": 1_767_225_600,
                "exp": 1_775_001_600,
            }),
        );
        fixture.api.with_key(&token).get("").await.ok();
    }
}

#[tokio::test]
async fn a_description_may_be_left_out() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let mut body = new_key();
        body.as_object_mut().unwrap().remove("description");
        let mut created = fixture.api.post("", body).await.ok();
        let mut expected = expected_key(revision, &fixture.organization, &created);
        expected.as_object_mut().unwrap().remove("description");
        created.as_object_mut().unwrap().remove("token").unwrap();
        assert_eq!(created, expected);
        assert_eq!(fixture.api.get(&format!("/{}", id_of(&created))).await.ok(), expected);
        assert_eq!(fixture.api.get("").await.ok()["api_keys"][1], expected);
    }
}

#[tokio::test]
async fn list_has_every_key_and_no_token() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let created = fixture.api.post("", new_key()).await.ok();
        let reply = fixture.api.get("").await;
        let listed = reply.ok();
        let mut admins = expected_key(revision, &fixture.organization, &listed["api_keys"][0]);
        admins.as_object_mut().unwrap().remove("description");
        admins["name"] = json!("administrator");
        admins["role_id"] = json!("role-admin");
        // The key works for a hundred years of 365 days.
        admins["expiration_time"] = json!("2125-12-08T00:00:00Z");
        if revision == Revision::Current {
            admins["last_used_at"] = json!("2026-01-01T00:00:00Z");
        }
        let expected = json!({
            "api_keys": [admins, expected_key(revision, &fixture.organization, &created)],
            "pagination": {"limit": 50, "offset": 0, "total": 2},
        });
        assert_eq!(listed, expected);
        assert!(!String::from_utf8(reply.body).unwrap().contains("eyJ"));
    }
}

#[tokio::test]
async fn update_changes_name_and_description_only() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let created = fixture.api.post("", new_key()).await.ok();
        let path = format!("/{}", id_of(&created));
        fixture.clock.set("2026-01-02T03:04:05.678901234Z".parse().unwrap());
        let mut expected = expected_key(revision, &fixture.organization, &created);
        expected["updated_at"] = json!("2026-01-02T03:04:05.678901Z");

        let body = json!({"name": "renamed", "role_id": "role-admin", "expiration_time": "2030-01-01T00:00:00Z"});
        expected["name"] = json!("renamed");
        assert_eq!(fixture.api.patch(&path, body).await.ok(), expected);

        expected["description"] = json!("another");
        let body = json!({"name": "renamed", "description": "another"});
        assert_eq!(fixture.api.patch(&path, body).await.ok(), expected);
        assert_eq!(fixture.api.get(&path).await.ok(), expected);

        let nameless = fixture.api.patch(&path, json!({"description": "a third"})).await;
        match revision {
            Revision::Documented => {
                assert_eq!(nameless.refused(400), json!("Invalid JSON request body: name is required"));
            }
            _ => {
                expected["description"] = json!("a third");
                assert_eq!(nameless.ok(), expected);
                assert_eq!(fixture.api.patch(&path, json!({})).await.ok(), expected, "an empty update is a change too");
            }
        }
        // Update ignores the fields that it cannot change, even with a wrong type.
        expected["name"] = json!("last");
        assert_eq!(fixture.api.patch(&path, json!({"name": "last", "role_id": 5})).await.ok(), expected);
        assert_eq!(fixture.api.get("").await.ok()["api_keys"][1], expected);
    }
}

#[tokio::test]
async fn delete_removes_the_key() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let created = fixture.api.post("", new_key()).await.ok();
        let path = format!("/{}", id_of(&created));
        assert_eq!(fixture.api.delete(&path).await.ok(), json!("API key deleted successfully"));
        assert_eq!(fixture.api.get(&path).await.refused(404), json!("API key not found"));
        assert_eq!(fixture.api.delete(&path).await.refused(404), json!("API key not found"));
        assert_eq!(fixture.api.get("").await.ok()["pagination"]["total"], 1);
        let unauthorized = fixture.api.with_key(&token_of(&created)).get("").await.refused(401);
        assert_eq!(unauthorized, json!("Unauthorized"));
    }
}

#[tokio::test]
async fn documented_regenerate_replaces_the_key() {
    let fixture = fixture(Revision::Documented).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let old = format!("/{}", id_of(&created));
    fixture.clock.set("2026-02-01T00:00:00Z".parse().unwrap());

    let new = fixture.api.send("POST", &format!("{old}/regenerate"), None).await.ok();
    assert_ne!(new["id"], created["id"]);
    let mut expected = created.clone();
    expected["id"] = new["id"].clone();
    expected["token"] = new["token"].clone();
    expected["created_at"] = json!("2026-02-01T00:00:00Z");
    expected["updated_at"] = json!("2026-02-01T00:00:00Z");
    assert_eq!(new, expected);

    assert_eq!(
        token_part(&token_of(&new), 1),
        json!({
            "sub": new["id"],
            "organization_id": fixture.organization,
            "token_version": 1,
            "iat": 1_769_904_000,
            "exp": 1_775_001_600,
        }),
    );
    expected.as_object_mut().unwrap().remove("token");
    assert_eq!(fixture.api.get(&format!("/{}", id_of(&new))).await.ok(), expected);
    assert_eq!(fixture.api.get("").await.ok()["api_keys"][1], expected);

    assert_eq!(fixture.api.get(&old).await.refused(404), json!("API key not found"));
    fixture.api.with_key(&token_of(&created)).get("").await.refused(401);
    fixture.api.with_key(&token_of(&new)).get("").await.ok();
    assert_eq!(fixture.api.get("").await.ok()["pagination"]["total"], 2);
    let again = fixture.api.send("POST", &format!("{old}/regenerate"), None).await;
    assert_eq!(again.refused(404), json!("API key not found"));
}

#[tokio::test]
async fn an_expired_key_is_replaced_by_an_expired_key() {
    let fixture = fixture(Revision::Documented).await;
    let created = fixture.api.post("", new_key()).await.ok();
    fixture.clock.set("2026-04-01T00:00:00Z".parse().unwrap());
    let new = fixture.api.send("POST", &format!("/{}/regenerate", id_of(&created)), None).await.ok();
    assert_eq!(new["expiration_time"], "2026-04-01T00:00:00Z");
    fixture.api.with_key(&token_of(&new)).get("").await.refused(401);
}

#[tokio::test]
async fn documented_regenerate_refuses_any_body() {
    let fixture = fixture(Revision::Documented).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let path = format!("/{}/regenerate", id_of(&created));
    for body in ["{}", "[1]", "{", r#"{"expiration_time": "2026-05-01T00:00:00Z"}"#] {
        let refused = fixture.api.send("POST", &path, Some(("application/json", body))).await.refused(415);
        assert_eq!(refused, json!("Unsupported media type"));
    }
    // The old key is unchanged.
    fixture.api.with_key(&token_of(&created)).get("").await.ok();
    // A content type without content is not a body.
    fixture.api.send("POST", &path, Some(("application/json", ""))).await.ok();
}

#[tokio::test]
async fn current_regenerate_renews_the_secret_in_place() {
    let fixture = fixture(Revision::Current).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let path = format!("/{}", id_of(&created));
    fixture.clock.set("2026-02-01T00:00:00Z".parse().unwrap());

    let second = fixture.api.send("POST", &format!("{path}/regenerate"), None).await.ok();
    let mut expected = created.clone();
    expected["token"] = second["token"].clone();
    expected["token_version"] = json!(2);
    expected["updated_at"] = json!("2026-02-01T00:00:00Z");
    assert_eq!(second, expected);
    assert_eq!(
        token_part(&token_of(&second), 1),
        json!({
            "sub": created["id"],
            "organization_id": fixture.organization,
            "token_version": 2,
            "iat": 1_769_904_000,
            "exp": 1_775_001_600,
        }),
    );
    let without_token = |key: &Value| {
        let mut key = key.clone();
        key.as_object_mut().unwrap().remove("token").unwrap();
        key
    };
    assert_eq!(fixture.api.get(&path).await.ok(), without_token(&second));
    assert_eq!(fixture.api.get("").await.ok()["api_keys"][1], without_token(&second));

    let third =
        fixture.api.post(&format!("{path}/regenerate"), json!({"expiration_time": "2026-05-01T00:00:00Z"})).await;
    let third = third.ok();
    expected["token"] = third["token"].clone();
    expected["token_version"] = json!(3);
    expected["expiration_time"] = json!("2026-05-01T00:00:00Z");
    assert_eq!(third, expected);

    for old in [&created, &second] {
        fixture.api.with_key(&token_of(old)).get("").await.refused(401);
    }
    fixture.api.with_key(&token_of(&third)).get("").await.ok();

    let kept = fixture.api.post(&format!("{path}/regenerate"), json!({})).await.ok();
    assert_eq!(kept["expiration_time"], "2026-05-01T00:00:00Z");
    assert_eq!(fixture.api.get("").await.ok()["pagination"]["total"], 2);
}

#[tokio::test]
async fn an_expired_key_is_regenerated_only_with_a_new_expiry() {
    let fixture = fixture(Revision::Current).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let path = format!("/{}/regenerate", id_of(&created));
    fixture.clock.set("2026-04-01T00:00:00Z".parse().unwrap());
    let expired = json!("API key has expired: an expiration_time is needed");
    assert_eq!(fixture.api.send("POST", &path, None).await.refused(422), expired);
    assert_eq!(fixture.api.post(&path, json!({})).await.refused(422), expired);
    let renewed = fixture.api.post(&path, json!({"expiration_time": "2026-05-01T00:00:00Z"})).await.ok();
    assert_eq!(renewed["token_version"], 2, "the refused regenerate changed nothing");
    fixture.api.with_key(&token_of(&renewed)).get("").await.ok();
}

#[tokio::test]
async fn current_regenerate_checks_its_body() {
    let fixture = fixture(Revision::Current).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let path = format!("/{}/regenerate", id_of(&created));
    for (value, problem) in [
        (json!(null), "may not be null"),
        (json!(5), "must be a string"),
        (json!("2026-05-01 00:00:00Z"), "must be a timestamp with an offset"),
        (json!("2025-05-01T00:00:00Z"), "must be in the future"),
    ] {
        let refused = fixture.api.post(&path, json!({"expiration_time": value})).await.refused(400);
        assert_eq!(refused, json!(format!("Invalid JSON request body: expiration_time {problem}")));
    }
    let text = fixture.api.send("POST", &path, Some(("text/plain", "{}"))).await;
    assert_eq!(text.refused(415), json!("Unsupported media type"));
    for (body, problem) in
        [("{", "the body is not valid JSON (line 1, column 1)"), ("[1]", "the body must be an object")]
    {
        let refused = fixture.api.send("POST", &path, Some(("application/json", body))).await.refused(400);
        assert_eq!(refused, json!(format!("Invalid JSON request body: {problem}")));
    }
    fixture.api.send("POST", "/unknown/regenerate", None).await.refused(404);
    fixture.api.with_key(&token_of(&created)).get("").await.ok();
}

#[tokio::test]
async fn last_use_lags_by_at_most_a_minute() {
    let fixture = fixture(Revision::Current).await;
    let created = fixture.api.post("", new_key()).await.ok();
    let (path, holder) = (format!("/{}", id_of(&created)), fixture.api.with_key(&token_of(&created)));
    let seen = async || fixture.api.get(&path).await.ok().get("last_used_at").cloned();
    assert_eq!(seen().await, None);
    for (time, shown) in [
        ("2026-01-01T00:00:10Z", "2026-01-01T00:00:10Z"),
        ("2026-01-01T00:01:09Z", "2026-01-01T00:00:10Z"),
        ("2026-01-01T00:01:10Z", "2026-01-01T00:01:10Z"),
    ] {
        fixture.clock.set(time.parse().unwrap());
        holder.get("").await.ok();
        assert_eq!(seen().await, Some(json!(shown)));
    }
    assert_eq!(fixture.api.get("").await.ok()["api_keys"][1]["last_used_at"], "2026-01-01T00:01:10Z");
}

#[tokio::test]
async fn the_documented_revision_does_not_show_the_last_use() {
    let fixture = fixture(Revision::Documented).await;
    let created = fixture.api.post("", new_key()).await.ok();
    fixture.api.with_key(&token_of(&created)).get("").await.ok();
    let expected = expected_key(Revision::Documented, &fixture.organization, &created);
    assert_eq!(fixture.api.get(&format!("/{}", id_of(&created))).await.ok(), expected);
    assert_eq!(fixture.api.get("").await.ok()["api_keys"][1], expected);
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let path = "/00000000-0000-4000-8000-000000000000";
        let replies = [
            fixture.api.get(path).await,
            fixture.api.delete(path).await,
            fixture.api.patch(path, json!({"name": "x"})).await,
            fixture.api.send("POST", &format!("{path}/regenerate"), None).await,
        ];
        for reply in replies {
            assert_eq!(reply.refused(404), json!("API key not found"));
        }
    }
}

#[tokio::test]
async fn bodies_must_match_the_schema() {
    for revision in REVISIONS {
        let fixture = fixture(revision).await;
        let created = fixture.api.post("", new_key()).await.ok();
        let path = format!("/{}", id_of(&created));

        let empty = fixture.api.post("", json!({})).await.refused(400);
        let problem = "expiration_time is required, name is required, role_id is required";
        assert_eq!(empty, json!(format!("Invalid JSON request body: {problem}")));

        for (field, value, problem) in [
            ("name", json!(null), "may not be null"),
            ("name", json!(5), "must be a string"),
            ("name", json!(" "), "must not be empty"),
            ("description", json!(null), "may not be null"),
            ("description", json!({}), "must be a string"),
            ("role_id", json!(1), "must be a string"),
            ("role_id", json!("role-owner"), "is not a role of this organization"),
            ("expiration_time", json!(null), "may not be null"),
            ("expiration_time", json!("soon"), "must be a timestamp with an offset"),
            ("expiration_time", json!("2026-04-01 00:00:00Z"), "must be a timestamp with an offset"),
            ("expiration_time", json!("2026-01-01T00:00:00Z"), "must be in the future"),
        ] {
            let expected = json!(format!("Invalid JSON request body: {field} {problem}"));
            let mut body = new_key();
            body[field] = value.clone();
            assert_eq!(fixture.api.post("", body).await.refused(400), expected, "create {field} {value}");
            if matches!(field, "name" | "description") {
                let mut body = json!({"name": "deploy"});
                body[field] = value.clone();
                assert_eq!(fixture.api.patch(&path, body).await.refused(400), expected, "update {field} {value}");
            }
        }

        for (method, path) in [("POST", ""), ("PATCH", path.as_str())] {
            for (body, problem) in
                [("{", "the body is not valid JSON (line 1, column 1)"), ("[1]", "the body must be an object")]
            {
                let reply = fixture.api.send(method, path, Some(("application/json", body))).await;
                assert_eq!(reply.refused(400), json!(format!("Invalid JSON request body: {problem}")));
            }
            let reply = fixture.api.send(method, path, Some(("text/plain", "{}"))).await;
            assert_eq!(reply.refused(415), json!("Unsupported media type"));
        }
        assert_eq!(fixture.api.get("").await.ok()["pagination"]["total"], 2, "no refused request had an effect");
    }
}

#[tokio::test]
async fn errors_can_be_objects() {
    let emulator = Emulator::builder().monad_error_shape(MonadErrorShape::Object).start().await.unwrap();
    let api = Api::monad(&emulator);
    assert_eq!(
        api.get("/unknown").await.refused(404),
        json!({"error": "API key not found", "error_type": "not_found", "code": 404, "additional_details": null}),
    );
    assert_eq!(
        api.patch("/unknown", json!({"name": 5})).await.refused(400),
        json!({
            "error": "Invalid JSON request body: name must be a string",
            "error_type": "bad_request",
            "code": 400,
            "additional_details": {"name": ["must be a string"]},
        }),
    );
    let unauthorized = api.with_key("no such token").get("").await.refused(401);
    assert_eq!(unauthorized["error_type"], "unauthorized");
}

#[tokio::test]
async fn seeded_keys_are_listed_and_work() {
    let fixture = fixture(Revision::Current).await;
    let seeded = fixture.emulator.monad().add_keys(10_000);
    assert_eq!(fixture.api.get("").await.ok()["pagination"]["total"], 10_001);
    let last = seeded.last().unwrap();
    let key = fixture.api.with_key(&last.secret).get(&format!("/{}", last.id)).await.ok();
    assert_eq!(key["name"], "seeded-10000");
    assert_eq!(key["role_id"], "role-reader");
}
