//! The client decodes every shape of answer that a source documents, and keeps all of its fields.

use httpmock::MockServer;
use monad_raw::mock::MockServerExt as _;
use monad_raw::{Client, Error, ResponseValue, types};
use serde_json::{Value, json};

use crate::support::{KEY, ORGANIZATION, client, new_key, stub};

/// Returns a key as the SDK documentation shows it.
fn documented_key() -> Value {
    json!({
        "id": "key-1", "name": "ci", "description": "for CI", "organization_id": "acme", "role_id": "role-reader",
        "created_at": "2025-04-01T00:00:00Z", "updated_at": "2025-04-02T00:00:00Z",
        "expiration_time": "2030-01-01T00:00:00Z",
    })
}

/// Adds the fields of `more` to `value`.
fn with(mut value: Value, more: Value) -> Value {
    let more = more.as_object().cloned().unwrap();
    value.as_object_mut().unwrap().extend(more);
    value
}

async fn get(body: Value) -> types::ApiKey {
    let server = MockServer::start_async().await;
    let mock = server.get_api_key(|_, then| {
        then.into_inner().status(200).header("content-type", "application/json").json_body(body);
    });
    let client = client(&server.base_url());
    let call = client.get_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
    let key = call.send().await.unwrap();
    assert_eq!(key.status(), 200);
    mock.assert();
    key.into_inner()
}

fn text(value: &Option<String>) -> Option<&str> {
    value.as_deref()
}

#[tokio::test]
async fn a_documented_key_is_decoded() {
    let key = get(documented_key()).await;
    assert_eq!(text(&key.id), Some("key-1"));
    assert_eq!(text(&key.name), Some("ci"));
    assert_eq!(text(&key.description), Some("for CI"));
    assert_eq!(text(&key.organization_id), Some("acme"));
    assert_eq!(text(&key.role_id), Some("role-reader"));
    assert_eq!(key.created_at.unwrap().as_str(), "2025-04-01T00:00:00Z");
    assert_eq!(key.updated_at.unwrap().as_str(), "2025-04-02T00:00:00Z");
    assert_eq!(key.expiration_time.unwrap().as_str(), "2030-01-01T00:00:00Z");
    assert!(key.token_version.is_none() && key.jwt_signing_key_id.is_none() && key.last_used_at.is_none());
    assert!(key.extra.is_empty(), "{:?}", key.extra);
}

#[tokio::test]
async fn newer_fields_are_decoded() {
    let newer = json!({"token_version": 3, "jwt_signing_key_id": "sig-1", "last_used_at": "2025-04-03T00:00:00Z"});
    let key = get(with(documented_key(), newer)).await;
    assert_eq!(key.token_version, Some(3));
    assert_eq!(text(&key.jwt_signing_key_id), Some("sig-1"));
    assert_eq!(key.last_used_at.unwrap().as_str(), "2025-04-03T00:00:00Z");
    assert!(key.extra.is_empty(), "{:?}", key.extra);
}

#[tokio::test]
async fn no_field_is_required_and_each_may_be_null() {
    let nothing = get(json!({})).await;
    let mut nulls = with(documented_key(), json!({"token_version": 1, "jwt_signing_key_id": "", "last_used_at": ""}));
    for value in nulls.as_object_mut().unwrap().values_mut() {
        *value = Value::Null;
    }
    let nulls = get(nulls).await;
    for key in [nothing, nulls] {
        assert_eq!(serde_json::to_value(&key).unwrap(), json!({}), "an absent field must stay absent");
        assert!(key.extra.is_empty());
    }
}

#[tokio::test]
async fn unknown_fields_are_kept_unchanged() {
    let unknown = json!({"scopes": ["a", {"b": null}], "ratio": 1.5, "big": 18446744073709551615_u64, "nil": null});
    let key = get(with(documented_key(), unknown.clone())).await;
    assert_eq!(serde_json::to_value(&key.extra).unwrap(), unknown);
    assert_eq!(serde_json::to_value(&key).unwrap(), with(documented_key(), unknown));
}

#[tokio::test]
async fn no_form_of_timestamp_makes_a_key_unreadable() {
    let key = get(json!({
        "id": "key-1",
        "created_at": "2025-04-01T00:00:00.123456Z",
        "updated_at": "2025-04-01 00:00:00+00:00",
        "expiration_time": "one day",
        "last_used_at": "2025-04-01T02:00:00+02:00",
    }))
    .await;
    let created = key.created_at.unwrap().utc().unwrap();
    assert_eq!(created.to_rfc3339(), "2025-04-01T00:00:00.123456+00:00");
    let updated = key.updated_at.unwrap();
    assert_eq!(updated.as_str(), "2025-04-01 00:00:00+00:00");
    assert_eq!(updated.utc().unwrap().to_rfc3339(), "2025-04-01T00:00:00+00:00");
    assert_eq!(key.last_used_at.unwrap().utc(), updated.utc());
    let odd = key.expiration_time.unwrap();
    assert_eq!((odd.as_str(), odd.utc()), ("one day", None));
}

async fn list(body: Value) -> types::ApiKeyList {
    try_list(body).await.unwrap()
}

async fn try_list(body: Value) -> Result<types::ApiKeyList, Error<types::Error>> {
    let server = MockServer::start_async().await;
    server.list_api_keys(|_, then| {
        then.into_inner().status(200).header("content-type", "application/json").json_body(body);
    });
    let client = client(&server.base_url());
    let call = client.list_api_keys().organization_id(ORGANIZATION);
    call.send().await.map(ResponseValue::into_inner)
}

#[tokio::test]
async fn a_page_and_its_position_are_decoded() {
    let page = list(json!({
        "api_keys": [documented_key(), {"id": "key-2", "new": 1}],
        "pagination": {"limit": 2, "offset": 4, "total": 9, "next": "x"},
        "request_id": "r",
    }))
    .await;
    let keys: Vec<_> = page.api_keys.unwrap().into_iter().map(Result::unwrap).collect();
    let ids: Vec<_> = keys.iter().map(|key| text(&key.id)).collect();
    assert_eq!(ids, [Some("key-1"), Some("key-2")]);
    assert_eq!(keys[1].extra.get("new"), Some(json!(1)));
    let pagination = page.pagination.unwrap();
    assert_eq!((pagination.limit, pagination.offset, pagination.total), (Some(2), Some(4), Some(9)));
    assert_eq!(pagination.extra.get("next"), Some(json!("x")));
    assert_eq!(page.extra.get("request_id"), Some(json!("r")));
}

#[tokio::test]
async fn every_form_of_empty_page_is_decoded() {
    assert_eq!(list(json!({"api_keys": []})).await.api_keys.map(|keys| keys.count()), Some(0));
    assert!(list(json!({"api_keys": null, "pagination": null})).await.api_keys.is_none());
    let bare = list(json!({"api_keys": null})).await;
    assert!(bare.api_keys.is_none() && bare.pagination.is_none());
    let pagination = list(json!({"api_keys": null, "pagination": {"limit": null}})).await.pagination.unwrap();
    assert!(pagination.limit.is_none() && pagination.total.is_none());
}

/// Such an answer may come from a gateway, and would look like an empty list.
#[tokio::test]
async fn an_answer_without_the_field_of_the_rows_is_no_list() {
    for body in [json!({}), json!({"message": "OK"}), json!({"pagination": {"total": 0}}), json!({"data": []})] {
        let error = try_list(body.clone()).await.unwrap_err();
        assert!(error.to_string().contains("`api_keys` is missing"), "{body}: {error}");
    }
}

async fn create(client: &Client) -> types::ApiKeyWithToken {
    let call = client.create_api_key().organization_id(ORGANIZATION).body(new_key());
    call.send().await.unwrap().into_inner()
}

async fn regenerate(client: &Client) -> types::ApiKeyWithToken {
    let call = client.regenerate_api_key().organization_id(ORGANIZATION).api_key_id("key-1");
    call.send().await.unwrap().into_inner()
}

#[tokio::test]
async fn a_created_key_has_its_token() {
    let body = with(documented_key(), json!({"token": "aaa.bbb.ccc", "token_version": 1}));
    let stub = stub().await;
    let client = stub.answer_with(200, body.to_string()).await;
    let key = create(client).await;
    assert_eq!(key.token.as_ref().unwrap().expose(), "aaa.bbb.ccc");
    assert_eq!((text(&key.id), key.token_version), (Some("key-1"), Some(1)));
    assert_eq!(api_keyring_transport::exposed_json(&key).unwrap(), body, "the client must keep every field");
}

#[tokio::test]
async fn a_created_key_without_a_token_is_decoded() {
    let stub = stub().await;
    let client = stub.answer_with(200, r#"{"id": "key-1", "token": null}"#).await;
    let key = create(client).await;
    assert_eq!((text(&key.id), key.token), (Some("key-1"), None));
}

/// An older server makes a new key. The id changes, and the answer has no version.
#[tokio::test]
async fn a_regenerate_that_replaces_the_key_is_decoded() {
    let body = with(documented_key(), json!({"id": "key-2", "token": "new"}));
    let stub = stub().await;
    let client = stub.answer_with(200, body.to_string()).await;
    let key = regenerate(client).await;
    assert_eq!((text(&key.id), key.token_version), (Some("key-2"), None));
    assert_eq!(key.token.unwrap().expose(), "new");
}

/// A current server keeps the id and increases the version.
#[tokio::test]
async fn a_regenerate_in_place_is_decoded() {
    let body = with(documented_key(), json!({"token": "new", "token_version": 2}));
    let stub = stub().await;
    let client = stub.answer_with(200, body.to_string()).await;
    let key = regenerate(client).await;
    assert_eq!((text(&key.id), key.token_version), (Some("key-1"), Some(2)));
    assert_eq!(key.token.unwrap().expose(), "new");
}

#[tokio::test]
async fn an_update_answers_with_the_key() {
    let stub = stub().await;
    let client = stub.answer_with(200, documented_key().to_string()).await;
    let call = client.update_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
    let key = call.body(types::UpdateApiKeyRequest::builder().name("ci")).send().await.unwrap();
    assert_eq!(text(&key.id), Some("key-1"));
}

#[tokio::test]
async fn a_delete_answers_with_a_sentence() {
    let stub = stub().await;
    for sentence in ["API key deleted", ""] {
        let client = stub.answer_with(200, json!(sentence).to_string()).await;
        let call = client.delete_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
        assert_eq!(*call.send().await.unwrap(), sentence);
    }
}
