//! Checks the exact request of every operation: method, path, query, headers and body.

use std::num::NonZeroU64;

use api_keyring_test_support::Expectation;
use chrono::{DateTime, Utc};
use httpmock::MockServer;
use serde_json::{Value, json};
use spartera_raw::mock::MockServerExt as _;
use spartera_raw::{Error, types};

use crate::support::{COMPANY, KEY, Operation, SECRET, client, new_key, revocation, stub};

fn company() -> types::CompanyId {
    COMPANY.parse().unwrap()
}

fn key() -> types::ApiKeyId {
    KEY.parse().unwrap()
}

fn moment() -> DateTime<Utc> {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// Decodes the value that a mock answers with.
fn value<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn list_without_a_page_has_no_query() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.list_api_keys(|when, then| {
        let when = when.company_id(&company()).page(None).limit(None).search(None);
        expected.recorder.record(when.sort_by(None).sort_order(None).into_inner());
        then.ok(&value(json!({"data": []})));
    });
    let client = client(&expected.base_url());
    client.list_api_keys().company_id(COMPANY).send().await.unwrap();
    expected.assert_sent(&mock, "GET", &Operation::List.path(COMPANY, ""), None);
}

#[tokio::test]
async fn list_sends_every_parameter() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.list_api_keys(|when, then| {
        let when = when.company_id(&company()).page(NonZeroU64::new(2)).limit(NonZeroU64::new(100));
        let when = when.search("a&b=c d").sort_by("name").sort_order(types::SortOrder::Desc);
        expected.recorder.record(when.into_inner());
        then.ok(&value(json!({"data": []})));
    });
    let client = client(&expected.base_url());
    let call = client.list_api_keys().company_id(COMPANY).page(2_u64).limit(100_u64);
    let call = call.search("a&b=c d").sort_by("name").sort_order(types::SortOrder::Desc);
    call.send().await.unwrap();
    let query = "limit=100&page=2&search=a%26b%3Dc+d&sort_by=name&sort_order=desc";
    let target = format!("{}?{query}", Operation::List.path(COMPANY, ""));
    expected.assert_sent(&mock, "GET", &target, None);
}

#[tokio::test]
async fn a_page_number_of_zero_is_not_sent() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.list_api_keys(|_, then| {
        then.ok(&value(json!({"data": []})));
    });
    let client = client(&expected.base_url());
    let list = || client.list_api_keys().company_id(COMPANY);
    for call in [list().page(0_u64), list().limit(0_u64), list().sort_order("up")] {
        let error = call.send().await.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest(_)), "{error:?}");
    }
    mock.assert_calls(0);
}

#[tokio::test]
async fn create_sends_the_required_fields() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.create_api_key(|when, then| {
        let when = when.company_id(&company()).body(&new_key().try_into().unwrap());
        expected.recorder.record(when.into_inner());
        then.ok(&value(json!({"data": {"key": "k"}})));
    });
    let client = client(&expected.base_url());
    client.create_api_key().company_id(COMPANY).body(new_key()).send().await.unwrap();
    let body = json!({"company_id": COMPANY, "role_id": 3});
    expected.assert_sent(&mock, "POST", &Operation::Create.path(COMPANY, ""), Some(body));
}

/// Returns two bodies: one with the fields of the SDK documentation, and one with the fields that newer sources add.
fn every_field() -> [Value; 2] {
    [
        json!({
            "company_id": COMPANY, "role_id": 3, "user_id": "u", "name": "für \"CI\"",
            "expiration_date_utc": "2030-01-01T00:00:00Z",
        }),
        json!({
            "company_id": COMPANY, "role_id": 3,
            "endpoint_id": "e", "mcp_deployment_id": "m", "key_type": "endpoint", "is_system_generated": false,
            "expires_at": "2030-01-01T00:00:00Z", "rate_limit": 0, "permissions": ["read", "write"],
            "description": "",
        }),
    ]
}

#[tokio::test]
async fn create_sends_every_field() {
    let [documented, newer] = every_field();
    let by_document = new_key().user_id("u".to_owned()).name("für \"CI\"".to_owned());
    let by_document = by_document.expiration_date_utc(moment());
    let by_newer = new_key().endpoint_id("e".to_owned()).mcp_deployment_id("m".to_owned());
    let by_newer = by_newer.key_type(types::KeyType::Endpoint).is_system_generated(false).expires_at(moment());
    let by_newer = by_newer.rate_limit(0).permissions(["read".to_owned(), "write".to_owned()].to_vec());
    let by_newer = by_newer.description(String::new());
    for (body, json) in [(by_document, documented), (by_newer, newer)] {
        let expected = Expectation::start(SECRET).await;
        let mock = expected.server.create_api_key(|when, then| {
            expected.recorder.record(when.company_id(&company()).into_inner());
            then.ok(&value(json!({"data": {"key": "k"}})));
        });
        let client = client(&expected.base_url());
        client.create_api_key().company_id(COMPANY).body(body).send().await.unwrap();
        expected.assert_sent(&mock, "POST", &Operation::Create.path(COMPANY, ""), Some(json));
    }
}

#[tokio::test]
async fn a_body_without_a_required_field_is_not_sent() {
    let server = MockServer::start_async().await;
    let mock = server.mock(|_, then| {
        then.status(200).body("{}");
    });
    let client = client(&server.base_url());
    let request = types::CreateApiKeyRequest::builder;
    for body in [request().role_id(3), request().company_id(COMPANY), request().company_id("..").role_id(3)] {
        let error = client.create_api_key().company_id(COMPANY).body(body).send().await.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest(_)), "{error:?}");
    }
    let request = types::RevokeApiKeyRequest::builder;
    for body in [request().role_id(3), request().company_id(COMPANY)] {
        let call = client.revoke_api_key().company_id(COMPANY).api_key_id(KEY).body(body);
        let error = call.send().await.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest(_)), "{error:?}");
    }
    mock.assert_calls(0);
}

#[tokio::test]
async fn get_has_no_body() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.get_api_key(|when, then| {
        expected.recorder.record(when.company_id(&company()).api_key_id(&key()).into_inner());
        then.ok(&value(json!({"data": {}})));
    });
    let client = client(&expected.base_url());
    client.get_api_key().company_id(COMPANY).api_key_id(KEY).send().await.unwrap();
    expected.assert_sent(&mock, "GET", &Operation::Get.path(COMPANY, KEY), None);
}

#[tokio::test]
async fn update_sends_only_the_fields_that_are_set() {
    let request = types::UpdateApiKeyRequest::builder;
    let [documented, newer] = every_field();
    let by_document = request().company_id(Some(company())).role_id(3).user_id("u".to_owned());
    let by_document = by_document.name("für \"CI\"".to_owned()).expiration_date_utc(moment());
    let by_newer = request().company_id(Some(company())).role_id(3).endpoint_id("e".to_owned());
    let by_newer = by_newer.mcp_deployment_id("m".to_owned()).key_type(types::KeyType::Endpoint);
    let by_newer = by_newer.is_system_generated(false).expires_at(moment()).rate_limit(0);
    let by_newer = by_newer.permissions(["read".to_owned(), "write".to_owned()].to_vec());
    for (body, json) in [
        (request().name("ci".to_owned()), json!({"name": "ci"})),
        // An update without changes still sends a body, because the documentation requires one.
        (request(), json!({})),
        (by_document, documented),
        (by_newer.description(String::new()), newer),
    ] {
        let expected = Expectation::start(SECRET).await;
        let mock = expected.server.update_api_key(|when, then| {
            expected.recorder.record(when.company_id(&company()).api_key_id(&key()).into_inner());
            then.ok(&value(json!({"data": {"api_key_id": "1"}})));
        });
        let client = client(&expected.base_url());
        let call = client.update_api_key().company_id(COMPANY).api_key_id(KEY).body(body);
        call.send().await.unwrap();
        expected.assert_sent(&mock, "PATCH", &Operation::Update.path(COMPANY, KEY), Some(json));
    }
}

#[tokio::test]
async fn delete_has_no_body() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.delete_api_key(|when, then| {
        expected.recorder.record(when.company_id(&company()).api_key_id(&key()).into_inner());
        then.ok(&value(json!({"data": {"api_key_id": "1"}})));
    });
    let client = client(&expected.base_url());
    client.delete_api_key().company_id(COMPANY).api_key_id(KEY).send().await.unwrap();
    expected.assert_sent(&mock, "DELETE", &Operation::Delete.path(COMPANY, KEY), None);
}

#[tokio::test]
async fn revoke_sends_the_reason() {
    for (body, json) in [
        (revocation(), json!({"company_id": COMPANY, "role_id": 3})),
        (revocation().reason("leaked".to_owned()), json!({"company_id": COMPANY, "role_id": 3, "reason": "leaked"})),
    ] {
        let expected = Expectation::start(SECRET).await;
        let mock = expected.server.revoke_api_key(|when, then| {
            let when = when.company_id(&company()).api_key_id(&key());
            expected.recorder.record(when.body(&body.clone().try_into().unwrap()).into_inner());
            then.ok(&value(json!({"data": {"api_key_id": "1"}})));
        });
        let client = client(&expected.base_url());
        let call = client.revoke_api_key().company_id(COMPANY).api_key_id(KEY).body(body);
        call.send().await.unwrap();
        expected.assert_sent(&mock, "POST", &Operation::Revoke.path(COMPANY, KEY), Some(json));
    }
}

#[tokio::test]
async fn stats_has_no_body() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.get_api_key_stats(|when, then| {
        expected.recorder.record(when.company_id(&company()).api_key_id(&key()).into_inner());
        then.ok(&value(json!({"data": {}})));
    });
    let client = client(&expected.base_url());
    let call = client.get_api_key_stats().company_id(COMPANY).api_key_id(KEY);
    call.send().await.unwrap();
    expected.assert_sent(&mock, "GET", &Operation::Stats.path(COMPANY, KEY), None);
}

/// A caller can read a key by the numeric id in an answer.
#[tokio::test]
async fn a_numeric_id_is_a_valid_id() {
    let stub = stub().await;
    let recorder = stub.record().await;
    let id = types::AnsweredApiKeyId::from(42).to_string();
    Operation::Get.call(stub.client(), COMPANY, &id).await.unwrap_err();
    assert_eq!(recorder.sent().target, Operation::Get.path(COMPANY, "42"));
}

#[tokio::test]
async fn the_credential_goes_into_its_own_header() {
    let stub = stub().await;
    for operation in Operation::ALL {
        let recorder = stub.record().await;
        operation.call(stub.client(), COMPANY, KEY).await.unwrap_err();
        let sent = recorder.sent();
        assert_eq!(sent.header("authorization"), [""; 0], "{operation:?}");
        assert_eq!(sent.header("x-api-key"), [SECRET], "{operation:?}");
        assert_eq!(sent.header("api-version"), [""; 0], "{operation:?}");
    }
}

#[tokio::test]
async fn the_path_of_the_base_url_is_kept() {
    let stub = stub().await;
    for slash in ["", "/"] {
        let client = client(&format!("{}/gate/way{slash}", stub.base_url()));
        for operation in Operation::ALL {
            let recorder = stub.record().await;
            operation.call(&client, "c", "k").await.unwrap_err();
            let expected = format!("/gate/way{}", operation.path("c", "k"));
            assert_eq!(recorder.sent().target, expected, "{operation:?}");
        }
    }
}
