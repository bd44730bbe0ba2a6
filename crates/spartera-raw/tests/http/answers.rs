//! The client decodes every shape of answer that a source documents, and keeps all of its fields.

use api_keyring_transport::exposed_json;
use httpmock::MockServer;
use serde_json::{Value, json};
use spartera_raw::mock::MockServerExt as _;
use spartera_raw::types::{self, AnsweredApiKeyId};

use crate::support::{COMPANY, KEY, Operation, client, new_key, revocation, stub};

/// Returns a key as the SDK documentation shows it.
fn documented_key() -> Value {
    json!({
        "api_key_id": 17, "company_id": "acme", "role_id": 3, "user_id": "u-1", "name": "ci",
        "expiration_date_utc": "2030-01-01T00:00:00Z", "date_created": "2025-04-01T00:00:00Z",
        "last_updated": "2025-04-02T00:00:00Z",
    })
}

/// Returns a key as the current description shows it, with timestamps from its examples.
fn newer_key() -> Value {
    json!({
        "api_key_id": "key_abc123", "company_id": "acme", "role_id": 3, "user_id": "u-1", "name": "ci",
        "expiration_date_utc": "2030-01-01 00:00:00+00:00", "date_created": "2025-04-01 00:00:00+00:00",
        "last_updated": "2025-04-02 00:00:00+00:00", "endpoint_id": "ep-1", "mcp_deployment_id": "mcp-1",
        "key_type": "mcp", "is_system_generated": true,
    })
}

/// Returns a key as the reference guide shows it.
fn guide_key() -> Value {
    json!({
        "id": "key_abc123", "name": "ci", "key": "sk_****1234", "created_at": "2025-04-01T00:00:00Z",
        "expires_at": "2030-01-01T00:00:00Z", "last_used": "2025-04-03T00:00:00Z", "status": "active",
        "rate_limit": 1000, "permissions": ["read", "write"],
    })
}

async fn get(data: Value) -> types::ApiKey {
    let server = MockServer::start_async().await;
    let mock = server.get_api_key(|_, then| {
        let body = json!({"message": "ok", "data": data});
        then.into_inner().status(200).header("content-type", "application/json").json_body(body);
    });
    let client = client(&server.base_url());
    let answer = client.get_api_key().company_id(COMPANY).api_key_id(KEY).send().await.unwrap();
    mock.assert();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.message.as_deref(), Some("ok"));
    assert!(answer.extra.is_empty());
    answer.into_inner().data
}

#[track_caller]
fn assert_number(id: &Option<AnsweredApiKeyId>, expected: i64) {
    assert!(matches!(id, Some(AnsweredApiKeyId::Number(id)) if *id == expected), "{id:?}");
}

#[track_caller]
fn assert_text(id: &Option<AnsweredApiKeyId>, expected: &str) {
    assert!(matches!(id, Some(AnsweredApiKeyId::Text(id)) if id == expected), "{id:?}");
}

#[tokio::test]
async fn a_documented_key_is_decoded() {
    let key = get(documented_key()).await;
    assert_number(&key.api_key_id, 17);
    assert_eq!((key.company_id.as_deref(), key.role_id.as_ref().unwrap().to_string().as_str()), (Some("acme"), "3"));
    assert_eq!((key.user_id.as_deref(), key.name.as_deref()), (Some("u-1"), Some("ci")));
    let expiration = key.expiration_date_utc.as_ref().unwrap();
    assert_eq!(expiration.utc().unwrap().to_rfc3339(), "2030-01-01T00:00:00+00:00");
    assert!(key.date_created.is_some() && key.last_updated.is_some());
    assert!(key.extra.is_empty(), "{:?}", key.extra);
    assert_eq!(exposed_json(&key).unwrap(), documented_key(), "the client must keep every field");
}

#[tokio::test]
async fn a_newer_key_is_decoded() {
    let key = get(newer_key()).await;
    assert_text(&key.api_key_id, "key_abc123");
    let created = key.date_created.as_ref().unwrap();
    assert_eq!(created.as_str(), "2025-04-01 00:00:00+00:00");
    assert_eq!(created.utc().unwrap().to_rfc3339(), "2025-04-01T00:00:00+00:00");
    assert_eq!(key.endpoint_id.as_deref(), Some("ep-1"));
    assert_eq!(key.mcp_deployment_id.as_deref(), Some("mcp-1"));
    assert_eq!((key.key_type.as_deref(), key.is_system_generated), (Some("mcp"), Some(true)));
    assert!(key.extra.is_empty(), "{:?}", key.extra);
    assert_eq!(exposed_json(&key).unwrap(), newer_key(), "the client must keep every field");
}

#[tokio::test]
async fn the_reference_guides_key_is_decoded() {
    let key = get(guide_key()).await;
    assert_text(&key.id, "key_abc123");
    assert!(key.api_key_id.is_none() && key.expiration_date_utc.is_none());
    assert_eq!(key.key.as_ref().unwrap().expose(), "sk_****1234");
    assert_eq!((key.status.as_deref(), key.rate_limit), (Some("active"), Some(1000)));
    assert_eq!(key.permissions.as_deref().unwrap(), ["read", "write"]);
    assert!(key.created_at.is_some() && key.expires_at.is_some() && key.last_used.is_some());
    assert!(key.extra.is_empty(), "{:?}", key.extra);
    assert_eq!(exposed_json(&key).unwrap(), guide_key(), "the client must keep every field");
}

#[tokio::test]
async fn no_field_is_required_and_each_may_be_null() {
    let nothing = get(json!({})).await;
    let mut nulls = newer_key();
    nulls.as_object_mut().unwrap().append(guide_key().as_object_mut().unwrap());
    nulls.as_object_mut().unwrap().values_mut().for_each(|value| *value = Value::Null);
    let nulls = get(nulls).await;
    for key in [nothing, nulls] {
        assert_eq!(exposed_json(&key).unwrap(), json!({}), "an absent field must stay absent");
    }
}

#[tokio::test]
async fn unknown_fields_and_unknown_values_are_kept() {
    let odd = json!({
        "api_key_id": 9223372036854775807_i64, "key_type": "quantum", "status": "sleeping", "last_used": "never",
        "date_created": 1743465600, "tags": ["a", {"b": null}], "big": 18446744073709551615_u64,
    });
    let key = get(odd.clone()).await;
    assert_number(&key.api_key_id, i64::MAX);
    assert_eq!(key.key_type.as_deref(), Some("quantum"));
    assert_eq!((key.last_used.as_ref().unwrap().as_str(), key.last_used.as_ref().unwrap().utc()), ("never", None));
    assert_eq!(key.date_created.unwrap().as_str(), "1743465600");
    assert_eq!(serde_json::to_value(&key.extra).unwrap(), json!({"tags": odd["tags"], "big": odd["big"]}));
}

async fn list(body: Value) -> types::ListApiKeysResponse {
    let server = MockServer::start_async().await;
    server.list_api_keys(|_, then| {
        then.into_inner().status(200).header("content-type", "application/json").json_body(body);
    });
    let client = client(&server.base_url());
    client.list_api_keys().company_id(COMPANY).send().await.unwrap().into_inner()
}

#[tokio::test]
async fn a_list_in_the_documented_shape_is_decoded() {
    let answer = list(json!({"message": "2 keys", "data": [documented_key(), newer_key()]})).await;
    assert_eq!(answer.message.as_deref(), Some("2 keys"));
    assert!(answer.meta.is_none() && answer.extra.is_empty());
    let keys: Vec<_> = answer.data.iter().map(Result::unwrap).collect();
    assert_number(&keys[0].api_key_id, 17);
    assert_text(&keys[1].api_key_id, "key_abc123");
    assert_eq!(keys.len(), 2);
}

#[tokio::test]
async fn a_list_in_the_reference_guides_shape_is_decoded() {
    let meta = json!({"total": 41, "page": 2, "per_page": 20, "pages": 3});
    let answer = list(json!({"data": [guide_key()], "meta": meta, "request_id": "r"})).await;
    assert!(answer.message.is_none());
    assert_text(&answer.data.iter().next().unwrap().unwrap().id, "key_abc123");
    let meta = answer.meta.unwrap();
    assert_eq!((meta.total, meta.page, meta.per_page), (Some(41), Some(2), Some(20)));
    assert_eq!(meta.extra.get("pages"), Some(json!(3)));
    assert_eq!(answer.extra.get("request_id"), Some(json!("r")));
}

#[tokio::test]
async fn an_empty_list_is_decoded() {
    let bare = list(json!({"data": []})).await;
    assert!(bare.data.is_empty() && bare.meta.is_none());
    let nulls = list(json!({"message": null, "data": [], "meta": null})).await;
    assert!(nulls.data.is_empty() && nulls.message.is_none() && nulls.meta.is_none());
    let meta = list(json!({"data": [], "meta": {"total": null}})).await.meta.unwrap();
    assert!(meta.total.is_none() && meta.page.is_none());
}

/// Calls a create or a revoke that the service answers with this body.
async fn issue(operation: Operation, body: &Value) -> types::CreateApiKeyResponse {
    let stub = stub().await;
    let client = stub.answer_with(200, body.to_string()).await;
    let answer = if operation == Operation::Revoke {
        let call = client.revoke_api_key().company_id(COMPANY).api_key_id(KEY);
        call.body(revocation()).send().await
    } else {
        client.create_api_key().company_id(COMPANY).body(new_key()).send().await
    };
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn every_shape_of_issued_key_is_decoded() {
    for operation in [Operation::Create, Operation::Revoke] {
        let documented = json!({"message": "created", "data": {"api_key_id": "17"}});
        let answer = issue(operation, &documented).await;
        assert_text(&answer.data.api_key_id, "17");
        assert!(answer.data.key.is_none() && answer.data.extra.expose().is_empty());

        let number = json!({"data": {"api_key_id": 17, "key": "ep_1"}});
        let answer = issue(operation, &number).await;
        assert_number(&answer.data.api_key_id, 17);
        assert_eq!(answer.data.key.unwrap().expose(), "ep_1");

        // The guide shows the whole key, with the secret in the field that has the mask in lists.
        let mut guide = guide_key();
        guide["key"] = json!("sk_live_0123456789");
        let guide = json!({"data": guide, "meta": {"request_id": "r"}});
        let answer = issue(operation, &guide).await;
        assert_text(&answer.data.id, "key_abc123");
        assert_eq!(answer.data.key.as_ref().unwrap().expose(), "sk_live_0123456789");
        assert_eq!(answer.data.extra.expose().get("permissions"), Some(json!(["read", "write"])));
        assert_eq!(answer.extra.expose().get("meta"), Some(json!({"request_id": "r"})));
        assert_eq!(exposed_json(&answer).unwrap(), guide, "the client must keep every field");

        let nulls = json!({"message": null, "data": {"api_key_id": null, "id": null, "key": null}});
        let answer = issue(operation, &nulls).await;
        assert!(answer.data.api_key_id.is_none() && answer.data.id.is_none() && answer.data.key.is_none());
    }
}

#[tokio::test]
async fn a_changed_key_has_a_number_or_a_text_as_id() {
    let stub = stub().await;
    for (body, id) in [
        (json!({"message": "done", "data": {"api_key_id": "17"}}), "17"),
        (json!({"data": {"api_key_id": 17, "new": 1}}), "17"),
        (json!({"data": {"id": "key_abc123"}, "new": 1}), "key_abc123"),
    ] {
        let client = stub.answer_with(200, body.to_string()).await;
        let call = client.update_api_key().company_id(COMPANY).api_key_id(KEY);
        let updated = call.body(types::UpdateApiKeyRequest::builder()).send().await.unwrap();
        let call = client.delete_api_key().company_id(COMPANY).api_key_id(KEY);
        let deleted = call.send().await.unwrap();
        for data in [&updated.data, &deleted.data] {
            let found = data.api_key_id.as_ref().or(data.id.as_ref()).unwrap();
            assert_eq!(found.to_string(), id);
        }
        assert_eq!(serde_json::to_value(&*updated).unwrap(), body, "the client must keep every field");
        assert_eq!(serde_json::to_value(&*deleted).unwrap(), body, "the client must keep every field");
    }
}

async fn stats(data: Value) -> types::ApiKeyStats {
    let server = MockServer::start_async().await;
    server.get_api_key_stats(|_, then| {
        then.into_inner()
            .status(200)
            .header("content-type", "application/json")
            .json_body(json!({"message": "ok", "data": data}));
    });
    let client = client(&server.base_url());
    let call = client.get_api_key_stats().company_id(COMPANY).api_key_id(KEY);
    call.send().await.unwrap().into_inner().data
}

/// The SDK documentation shows a list, and the current description a single key. Neither names the statistics.
#[tokio::test]
async fn stats_are_decoded_as_a_list_and_as_a_single_key() {
    for key in [documented_key(), newer_key(), guide_key(), json!({})] {
        let mut key = key;
        key["usage_count"] = json!(5);
        key["failed_attempts"] = json!(1);
        let types::ApiKeyStats::ApiKey(single) = stats(key.clone()).await else { panic!("must be a single key") };
        let types::ApiKeyStats::List(list) = stats(json!([key])).await else { panic!("must be a list") };
        assert_eq!(list.count(), 1);
        for found in [&single, &list.iter().next().unwrap().unwrap()] {
            let numbers = ["usage_count", "failed_attempts"].map(|name| found.extra.get(name));
            assert_eq!(numbers, [Some(json!(5)), Some(json!(1))]);
            assert_eq!(exposed_json(found).unwrap(), key, "the client must keep every field");
        }
    }
    let types::ApiKeyStats::List(none) = stats(json!([])).await else { panic!("must be a list") };
    assert!(none.is_empty());
}
