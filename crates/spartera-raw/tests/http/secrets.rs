//! No printed form of a value shows a secret, and the caller never loses a new one.

use api_keyring_test_support::redaction::{CANARY, assert_debug_redacts, assert_error_redacts, assert_no_canary};
use api_keyring_transport::exposed_json;
use serde_json::{Value, json};
use spartera_raw::{Client, Credential, Error, Secret, types};

use crate::support::{COMPANY, KEY, Operation, new_key, revocation, stub, stub_with};

fn canaries() -> [Credential; 2] {
    [Credential::api_key(CANARY).unwrap(), Credential::bearer(CANARY).unwrap()]
}

async fn issue(client: &Client, operation: Operation) -> Result<types::CreateApiKeyResponse, Error<types::Error>> {
    let answer = match operation {
        Operation::Create => client.create_api_key().company_id(COMPANY).body(new_key()).send().await?,
        _ => {
            let call = client.revoke_api_key().company_id(COMPANY).api_key_id(KEY);
            call.body(revocation()).send().await?
        }
    };
    // Checks the answer together with its status and headers.
    assert_debug_redacts(&answer);
    Ok(answer.into_inner())
}

/// The operations that issue a secret. The documentation gives a revoke the same answer as a create.
const ISSUING: [Operation; 2] = [Operation::Create, Operation::Revoke];

#[test]
fn every_operation_that_issues_is_tested() {
    let issuing = Operation::ALL.into_iter().filter(|operation| operation.issues());
    assert!(issuing.eq(ISSUING));
}

#[test]
fn no_value_that_holds_the_credential_prints_it() {
    for credential in canaries() {
        let client = Client::connect("http://127.0.0.1:1/", credential).unwrap();
        assert_debug_redacts(&client);
        assert_debug_redacts(client.transport());
        assert_debug_redacts(client.transport().credential());
        assert_debug_redacts(&client.list_api_keys().company_id(COMPANY));
        assert_debug_redacts(&client.create_api_key().company_id(COMPANY).body(new_key()));
        assert_eq!(client.transport().credential().secret().expose(), CANARY);
    }
}

#[test]
fn a_builder_does_not_print_its_secret() {
    let builder = types::IssuedApiKey::builder().key(Secret::new(CANARY));
    assert_debug_redacts(&builder);
    let value = types::IssuedApiKey::try_from(builder).unwrap();
    assert_debug_redacts(&value);
    assert_eq!(value.key.unwrap().expose(), CANARY);
    let masked = types::ApiKey::builder().key(Secret::new(CANARY));
    assert_debug_redacts(&masked);
    assert_debug_redacts(&types::ApiKey::try_from(masked).unwrap());
}

#[tokio::test]
async fn a_secret_in_the_documented_field_is_not_printed() {
    let stub = stub().await;
    for operation in ISSUING {
        let body = json!({"data": {"api_key_id": "17", "key": CANARY}});
        let client = stub.answer_with(200, body.to_string()).await;
        let answer = issue(client, operation).await.unwrap();
        assert_debug_redacts(&answer);
        assert_eq!(answer.data.key.as_ref().unwrap().expose(), CANARY);
        assert_no_canary(&serde_json::to_string(&answer).unwrap_err().to_string());
        assert_eq!(exposed_json(&answer).unwrap(), body);
        assert!(serde_json::to_string(&answer).is_err(), "exposed_json must expose only its own call");
    }
}

/// The undocumented field is in the key or next to it.
#[tokio::test]
async fn a_secret_in_an_undocumented_field_is_not_printed() {
    let stub = stub().await;
    for operation in ISSUING {
        for planted in [
            json!(CANARY),
            json!({"value": CANARY}),
            json!({"deep": {"er": [{"value": CANARY}]}}),
            json!([CANARY, 1]),
            // The name of a field may be the secret, too.
            json!({CANARY: true}),
        ] {
            for (body, place) in [
                (json!({"data": {"api_key_id": "17", "api_key": planted}}), "data"),
                (json!({"data": {"api_key_id": "17"}, "api_key": planted}), "envelope"),
            ] {
                let client = stub.answer_with(200, body.to_string()).await;
                let answer = issue(client, operation).await.unwrap();
                assert_debug_redacts(&answer);
                assert_debug_redacts(&answer.data);
                let extra = if place == "data" { &answer.data.extra } else { &answer.extra };
                assert_eq!(extra.expose().get("api_key").as_ref(), Some(&planted), "{place}");
                assert_no_canary(&serde_json::to_string(&answer).unwrap_err().to_string());
                assert_eq!(exposed_json(&answer).unwrap(), body);
            }
        }
    }
}

/// A field of another type than documented is kept like an undocumented one, and costs nothing else.
#[tokio::test]
async fn a_secret_beside_or_in_a_field_of_another_type_is_kept_and_not_printed() {
    let stub = stub().await;
    let broken =
        |field: &str| [b"{\"data\":{\"key\":\"", CANARY.as_bytes(), b"\",", field.as_bytes(), b":\"\xff\"}}"].concat();
    for body in [
        json!({"data": {"api_key_id": "17", "key": {"value": CANARY}}}).to_string().into_bytes(),
        json!({"data": {"api_key_id": "17", "key": [CANARY]}}).to_string().into_bytes(),
        json!({"data": {"id": [CANARY]}}).to_string().into_bytes(),
        json!({"message": [1], "data": {"id": {}, "name": [], "key": CANARY}}).to_string().into_bytes(),
        format!(r#"{{"message":"\ud800","data":{{"id":1e400,"key":"{CANARY}","x":"\ud800"}}}}"#).into_bytes(),
        format!(r#"{{"data":{{"id":"a","id":"b","key":"{CANARY}"}}}}"#).into_bytes(),
        broken("\"name\""),
        broken("\"id\""),
    ] {
        for operation in ISSUING {
            let client = stub.answer_with(200, &body).await;
            let answer = issue(client, operation).await.unwrap();
            assert_debug_redacts(&answer);
            let key = answer.data.key.as_ref().map(Secret::expose);
            let kept = answer.data.extra.expose().to_json();
            assert!(key == Some(CANARY) || kept.contains(CANARY), "{}", String::from_utf8_lossy(&body));
        }
    }
}

#[tokio::test]
async fn a_secret_in_an_undecodable_answer_is_kept_and_not_printed() {
    let stub = stub().await;
    let object = |key: Value| json!({"data": {"api_key_id": "17", "key": key}}).to_string().into_bytes();
    let bodies: [(&str, Vec<u8>); 8] = [
        ("a secret in the data's place", json!({"data": CANARY}).to_string().into_bytes()),
        ("no data", json!({"key": CANARY}).to_string().into_bytes()),
        ("a bare secret", json!(CANARY).to_string().into_bytes()),
        ("a list of keys", json!({"data": [{"key": CANARY}]}).to_string().into_bytes()),
        ("the same field twice", format!(r#"{{"data": {{"key": "{CANARY}", "key": "x"}}}}"#).into_bytes()),
        ("truncated JSON", format!(r#"{{"data": {{"key": "{CANARY}"#).into_bytes()),
        ("HTML", format!("<html><code>{CANARY}</code></html>").into_bytes()),
        ("not UTF-8", [b"\xff{\"data\": {\"key\": \"", CANARY.as_bytes(), b"\"}}"].concat()),
    ];
    for operation in ISSUING {
        for (case, body) in &bodies {
            let client = stub.answer_with(200, body).await;
            let error = issue(client, operation).await.unwrap_err();
            assert_error_redacts(&error);
            let Error::Undecoded(answer) = &error else { panic!("{case}: {error:?}") };
            assert_debug_redacts(answer.body());
            assert!(answer.body().expose().contains(CANARY), "{case}: the caller must receive the secret");
        }
        // An undocumented status must not lose the secret, either.
        let client = stub.answer_with(201, object(json!(CANARY))).await;
        let error = issue(client, operation).await.unwrap_err();
        assert_error_redacts(&error);
        let Error::Undecoded(answer) = &error else { panic!("{error:?}") };
        assert!(answer.body().expose().contains(CANARY));
    }
}

/// The documentation promises the mask only in words, so a list may show the secret.
#[tokio::test]
async fn a_secret_in_a_list_or_a_read_is_not_printed() {
    let stub = stub().await;
    let client = stub.answer_with(200, json!({"data": [{"id": 1, "key": CANARY}]}).to_string()).await;
    let list = client.list_api_keys().company_id(COMPANY).send().await.unwrap();
    assert_debug_redacts(&list);
    assert_no_canary(&serde_json::to_string(&*list).unwrap_err().to_string());
    for data in [json!({"id": 1, "key": CANARY}), json!([{"id": 1, "key": CANARY}])] {
        let client = stub.answer_with(200, json!({"data": data}).to_string()).await;
        let call = client.get_api_key_stats().company_id(COMPANY).api_key_id(KEY);
        assert_debug_redacts(&call.send().await.unwrap());
        if data.is_object() {
            let call = client.get_api_key().company_id(COMPANY).api_key_id(KEY);
            assert_debug_redacts(&call.send().await.unwrap());
        }
    }
}

/// The server may repeat the credential in a failure, and the failure may be undecodable.
#[tokio::test]
async fn a_credential_that_the_server_repeats_is_not_printed() {
    for credential in canaries() {
        let stub = stub_with(credential).await;
        for operation in Operation::ALL {
            for status in [401, 500, 502] {
                for body in [
                    json!({"message": format!("unknown key {CANARY}")}).to_string(),
                    json!(format!("unknown key {CANARY}")).to_string(),
                    json!({"code": CANARY, "errors": {CANARY: [CANARY]}}).to_string(),
                    json!({CANARY: CANARY, "extra": {CANARY: CANARY}}).to_string(),
                    json!({"retry_after": CANARY}).to_string(),
                    json!([CANARY]).to_string(),
                    format!("<html>Authorization: Bearer {CANARY}</html>"),
                    format!(r#"{{"message": "{CANARY}"#),
                ] {
                    let client = stub.answer_with(status, body).await;
                    assert_error_redacts(&operation.call(client, COMPANY, KEY).await.unwrap_err());
                }
            }
        }
    }
}

/// A caller may pass a secret as an id by mistake.
#[tokio::test]
async fn a_rejected_argument_is_not_repeated() {
    let stub = stub().await;
    let hostile = format!("{CANARY}/..");
    for operation in Operation::ALL {
        assert_error_redacts(&operation.call(stub.client(), &hostile, &hostile).await.unwrap_err());
    }
}
