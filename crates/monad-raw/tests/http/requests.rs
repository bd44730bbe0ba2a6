//! Checks the exact request of every operation: method, path, query, headers and body.

use api_keyring_test_support::Expectation;
use httpmock::MockServer;
use monad_raw::mock::MockServerExt as _;
use monad_raw::{Credential, Secret, types};
use serde_json::json;

use crate::support::{KEY, ORGANIZATION, Operation, SECRET, client, new_key, stub, stub_with};

fn organization() -> types::OrganizationId {
    ORGANIZATION.parse().unwrap()
}

fn key() -> types::ApiKeyId {
    KEY.parse().unwrap()
}

fn token() -> types::ApiKeyWithToken {
    types::ApiKeyWithToken::builder().id("k".to_owned()).token(Secret::new("t")).try_into().unwrap()
}

fn plain_key() -> types::ApiKey {
    let key = types::ApiKey::builder().id("k".to_owned());
    key.try_into().unwrap()
}

fn no_keys() -> types::ApiKeyList {
    types::ApiKeyList::builder().api_keys(None).try_into().unwrap()
}

#[tokio::test]
async fn list_without_a_page_has_no_query() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.list_api_keys(|when, then| {
        expected.recorder.record(when.organization_id(&organization()).limit(None).offset(None).into_inner());
        then.ok(&no_keys());
    });
    let call = client(&expected.base_url()).list_api_keys().organization_id(ORGANIZATION).send().await;
    assert!(call.unwrap().api_keys.is_none());
    expected.assert_sent(&mock, "GET", &Operation::List.path(ORGANIZATION, KEY), None);
}

#[tokio::test]
async fn list_sends_the_page() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.list_api_keys(|when, then| {
        expected.recorder.record(when.organization_id(&organization()).limit(100).offset(0).into_inner());
        then.ok(&no_keys());
    });
    let client = client(&expected.base_url());
    // The client sends an offset of zero, too.
    let call = client.list_api_keys().organization_id(ORGANIZATION).limit(100).offset(0);
    call.send().await.unwrap();
    let target = format!("{}?limit=100&offset=0", Operation::List.path(ORGANIZATION, KEY));
    expected.assert_sent(&mock, "GET", &target, None);
}

#[tokio::test]
async fn create_sends_the_required_fields() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.create_api_key(|when, then| {
        let when = when.organization_id(&organization()).body(&new_key().try_into().unwrap());
        expected.recorder.record(when.into_inner());
        then.ok(&token());
    });
    let client = client(&expected.base_url());
    client.create_api_key().organization_id(ORGANIZATION).body(new_key()).send().await.unwrap();
    let body = json!({"name": "ci", "role_id": "role-reader", "expiration_time": "2030-01-01T00:00:00Z"});
    expected.assert_sent(&mock, "POST", &Operation::Create.path(ORGANIZATION, KEY), Some(body));
}

#[tokio::test]
async fn create_sends_every_field() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.create_api_key(|when, then| {
        expected.recorder.record(when.organization_id(&organization()).into_inner());
        then.ok(&token());
    });
    let client = client(&expected.base_url());
    let body = new_key().description("für \"CI\"\n".to_owned());
    client.create_api_key().organization_id(ORGANIZATION).body(body).send().await.unwrap();
    let body = json!({
        "name": "ci", "role_id": "role-reader", "expiration_time": "2030-01-01T00:00:00Z",
        "description": "für \"CI\"\n",
    });
    expected.assert_sent(&mock, "POST", &Operation::Create.path(ORGANIZATION, KEY), Some(body));
}

/// The documentation requires three fields, and the service answers 400 if one is missing. The client rejects such a
/// request itself.
#[tokio::test]
async fn create_without_a_required_field_is_not_sent() {
    let server = MockServer::start_async().await;
    let mock = server.create_api_key(|_, then| {
        then.ok(&token());
    });
    let client = client(&server.base_url());
    let request = types::CreateApiKeyRequest::builder;
    for body in [
        request().role_id("r").expiration_time("2030-01-01T00:00:00Z"),
        request().name("n").expiration_time("2030-01-01T00:00:00Z"),
        request().name("n").role_id("r"),
    ] {
        let call = client.create_api_key().organization_id(ORGANIZATION).body(body);
        let error = call.send().await.unwrap_err();
        assert!(matches!(error, monad_raw::Error::InvalidRequest(_)), "{error:?}");
    }
    mock.assert_calls(0);
}

#[tokio::test]
async fn get_has_no_body() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.get_api_key(|when, then| {
        expected.recorder.record(when.organization_id(&organization()).api_key_id(&key()).into_inner());
        then.ok(&plain_key());
    });
    let client = client(&expected.base_url());
    client.get_api_key().organization_id(ORGANIZATION).api_key_id(KEY).send().await.unwrap();
    expected.assert_sent(&mock, "GET", &Operation::Get.path(ORGANIZATION, KEY), None);
}

#[tokio::test]
async fn update_sends_only_the_fields_that_are_set() {
    let request = || types::UpdateApiKeyRequest::builder().name("ci");
    for (body, json) in [
        (request(), json!({"name": "ci"})),
        (request().description("d".to_owned()), json!({"name": "ci", "description": "d"})),
        // An empty description differs from an absent one.
        (request().description(String::new()), json!({"name": "ci", "description": ""})),
    ] {
        let expected = Expectation::start(SECRET).await;
        let mock = expected.server.update_api_key(|when, then| {
            expected.recorder.record(when.organization_id(&organization()).api_key_id(&key()).into_inner());
            then.ok(&plain_key());
        });
        let client = client(&expected.base_url());
        let call = client.update_api_key().organization_id(ORGANIZATION).api_key_id(KEY).body(body);
        call.send().await.unwrap();
        expected.assert_sent(&mock, "PATCH", &Operation::Update.path(ORGANIZATION, KEY), Some(json));
    }
}

#[tokio::test]
async fn delete_has_no_body() {
    let expected = Expectation::start(SECRET).await;
    let mock = expected.server.delete_api_key(|when, then| {
        expected.recorder.record(when.organization_id(&organization()).api_key_id(&key()).into_inner());
        then.ok("deleted");
    });
    let client = client(&expected.base_url());
    let call = client.delete_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
    assert_eq!(*call.send().await.unwrap(), "deleted");
    expected.assert_sent(&mock, "DELETE", &Operation::Delete.path(ORGANIZATION, KEY), None);
}

/// An older server rejects every body here, even `{}`.
#[tokio::test]
async fn regenerate_without_an_expiration_has_no_body() {
    for with_empty_body in [false, true] {
        let expected = Expectation::start(SECRET).await;
        let mock = expected.server.regenerate_api_key(|when, then| {
            expected.recorder.record(when.organization_id(&organization()).api_key_id(&key()).into_inner());
            then.ok(&token());
        });
        let client = client(&expected.base_url());
        let mut call = client.regenerate_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
        if with_empty_body {
            call = call.body(types::RegenerateApiKeyRequest::builder());
        }
        call.send().await.unwrap();
        mock.assert();
        let sent = expected.recorder.sent();
        sent.assert_is(SECRET, "POST", &Operation::Regenerate.path(ORGANIZATION, KEY), None);
        assert!(sent.header("content-type").is_empty() && sent.header("transfer-encoding").is_empty());
    }
}

#[tokio::test]
async fn regenerate_sends_the_expiration() {
    let expected = Expectation::start(SECRET).await;
    let body = types::RegenerateApiKeyRequest::builder().expiration_time("2031-01-01T00:00:00Z".to_owned());
    let mock = expected.server.regenerate_api_key(|when, then| {
        let when = when.organization_id(&organization()).api_key_id(&key());
        expected.recorder.record(when.body(&body.clone().try_into().unwrap()).into_inner());
        then.ok(&token());
    });
    let client = client(&expected.base_url());
    let call = client.regenerate_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
    call.body(body).send().await.unwrap();
    let target = Operation::Regenerate.path(ORGANIZATION, KEY);
    let body = json!({"expiration_time": "2031-01-01T00:00:00Z"});
    expected.assert_sent(&mock, "POST", &target, Some(body));
}

/// The service accepts an API key or a bearer token. The client sends only the header of the one in use.
#[tokio::test]
async fn either_credential_goes_into_its_own_header() {
    let key = stub().await;
    let bearer = stub_with(Credential::bearer("aaa.bbb.ccc").unwrap()).await;
    for operation in Operation::ALL {
        let recorder = bearer.record().await;
        operation.call(bearer.client(), ORGANIZATION, KEY).await.unwrap_err();
        let sent = recorder.sent();
        assert_eq!(sent.header("authorization"), ["Bearer aaa.bbb.ccc"], "{operation:?}");
        assert_eq!(sent.header("x-api-key"), [""; 0], "{operation:?}");
        assert_eq!(sent.header("api-version"), [""; 0], "{operation:?}");

        let recorder = key.record().await;
        operation.call(key.client(), ORGANIZATION, KEY).await.unwrap_err();
        let sent = recorder.sent();
        assert_eq!(sent.header("authorization"), [""; 0], "{operation:?}");
        assert_eq!(sent.header("x-api-key"), [SECRET], "{operation:?}");
    }
}

/// The documented base URLs end with a path, which precedes the path of every operation.
#[tokio::test]
async fn the_path_of_the_base_url_is_kept() {
    let stub = stub().await;
    for slash in ["", "/"] {
        let client = client(&format!("{}/api{slash}", stub.base_url()));
        for operation in Operation::ALL {
            let recorder = stub.record().await;
            operation.call(&client, "o", "k").await.unwrap_err();
            let expected = format!("/api{}", operation.path("o", "k"));
            assert_eq!(recorder.sent().target, expected, "{operation:?}");
        }
    }
}
