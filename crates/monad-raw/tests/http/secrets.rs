//! No printed form of a value shows a secret, and the caller never loses a new one.

use api_keyring_test_support::redaction::{CANARY, assert_debug_redacts, assert_error_redacts, assert_no_canary};
use api_keyring_transport::exposed_json;
use monad_raw::{Client, Credential, Error, Secret, types};
use serde_json::{Value, json};

use crate::support::{KEY, ORGANIZATION, Operation, new_key, stub, stub_with};

fn canaries() -> [Credential; 2] {
    [Credential::api_key(CANARY).unwrap(), Credential::bearer(CANARY).unwrap()]
}

async fn issue(client: &Client, operation: Operation) -> Result<types::ApiKeyWithToken, Error<types::Error>> {
    let answer = match operation {
        Operation::Create => {
            let call = client.create_api_key().organization_id(ORGANIZATION).body(new_key());
            call.send().await?
        }
        _ => {
            let call = client.regenerate_api_key().organization_id(ORGANIZATION).api_key_id(KEY);
            call.send().await?
        }
    };
    // Checks the answer together with its status and headers.
    assert_debug_redacts(&answer);
    Ok(answer.into_inner())
}

const ISSUING: [Operation; 2] = [Operation::Create, Operation::Regenerate];

#[test]
fn every_operation_that_issues_is_tested() {
    assert!(Operation::ALL.into_iter().filter(|operation| operation.issues()).eq(ISSUING));
}

#[test]
fn no_value_that_holds_the_credential_prints_it() {
    for credential in canaries() {
        let client = Client::connect("http://127.0.0.1:1/", credential).unwrap();
        assert_debug_redacts(&client);
        assert_debug_redacts(client.transport());
        assert_debug_redacts(client.transport().credential());
        assert_debug_redacts(&client.list_api_keys().organization_id(ORGANIZATION));
        assert_debug_redacts(&client.create_api_key().organization_id(ORGANIZATION).body(new_key()));
        assert_eq!(client.transport().credential().secret().expose(), CANARY);
    }
}

#[test]
fn a_builder_does_not_print_its_token() {
    let builder = types::ApiKeyWithToken::builder().token(Secret::new(CANARY));
    assert_debug_redacts(&builder);
    let value = types::ApiKeyWithToken::try_from(builder).unwrap();
    assert_debug_redacts(&value);
    assert_eq!(value.token.unwrap().expose(), CANARY);
}

#[tokio::test]
async fn a_token_in_the_documented_field_is_not_printed() {
    let stub = stub().await;
    for operation in ISSUING {
        let client = stub.answer_with(200, json!({"id": "key-1", "token": CANARY}).to_string()).await;
        let key = issue(client, operation).await.unwrap();
        assert_debug_redacts(&key);
        assert_eq!(key.token.as_ref().unwrap().expose(), CANARY);
        assert_no_canary(&serde_json::to_string(&key).unwrap_err().to_string());
        assert_eq!(exposed_json(&key).unwrap(), json!({"id": "key-1", "token": CANARY}));
        assert!(serde_json::to_string(&key).is_err(), "exposed_json must expose only its own call");
    }
}

#[tokio::test]
async fn a_token_in_an_undocumented_field_is_not_printed() {
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
            let body = json!({"id": "key-1", "jwt": planted});
            let client = stub.answer_with(200, body.to_string()).await;
            let key = issue(client, operation).await.unwrap();
            assert_debug_redacts(&key);
            assert_eq!(key.extra.expose().get("jwt").as_ref(), Some(&planted));
            assert_no_canary(&serde_json::to_string(&key).unwrap_err().to_string());
            assert_eq!(exposed_json(&key).unwrap(), body);
        }
    }
}

/// A field of another type than documented is kept like an undocumented one, and costs nothing else.
#[tokio::test]
async fn a_token_beside_or_in_a_field_of_another_type_is_kept_and_not_printed() {
    let stub = stub().await;
    let broken = |field: &str| [b"{\"token\":\"", CANARY.as_bytes(), b"\",", field.as_bytes(), b":\"\xff\"}"].concat();
    for body in [
        json!({"id": "key-1", "token": {"value": CANARY}}).to_string().into_bytes(),
        json!({"id": "key-1", "token": [CANARY]}).to_string().into_bytes(),
        json!({"token_version": CANARY}).to_string().into_bytes(),
        json!({"id": [1], "name": {}, "created_at": [], "token": CANARY}).to_string().into_bytes(),
        format!(r#"{{"name":"\ud800","token_version":1e400,"token":"{CANARY}","x":"\ud800"}}"#).into_bytes(),
        format!(r#"{{"name":"a","name":"b","token":"{CANARY}"}}"#).into_bytes(),
        broken("\"name\""),
        broken("\"x\""),
    ] {
        for operation in ISSUING {
            let client = stub.answer_with(200, &body).await;
            let key = issue(client, operation).await.unwrap();
            assert_debug_redacts(&key);
            let token = key.token.as_ref().map(Secret::expose);
            let kept = key.extra.expose().to_json();
            assert!(token == Some(CANARY) || kept.contains(CANARY), "{}", String::from_utf8_lossy(&body));
        }
    }
}

#[tokio::test]
async fn a_token_in_an_undecodable_answer_is_kept_and_not_printed() {
    let stub = stub().await;
    let object = |token: Value| json!({"id": "key-1", "token": token}).to_string().into_bytes();
    let bodies: [(&str, Vec<u8>); 6] = [
        ("a bare token", json!(CANARY).to_string().into_bytes()),
        ("a list of keys", json!([{"token": CANARY}]).to_string().into_bytes()),
        ("the same field twice", format!(r#"{{"token": "{CANARY}", "token": "x"}}"#).into_bytes()),
        ("truncated JSON", format!(r#"{{"id": "key-1", "token": "{CANARY}"#).into_bytes()),
        ("HTML", format!("<html><code>{CANARY}</code></html>").into_bytes()),
        ("not UTF-8", [b"\xff{\"token\": \"", CANARY.as_bytes(), b"\"}"].concat()),
    ];
    for operation in ISSUING {
        for (case, body) in &bodies {
            let client = stub.answer_with(200, body).await;
            let error = issue(client, operation).await.unwrap_err();
            assert_error_redacts(&error);
            let Error::Undecoded(answer) = &error else { panic!("{case}: {error:?}") };
            assert_debug_redacts(answer.body());
            assert!(answer.body().expose().contains(CANARY), "{case}: the caller must receive the token");
        }
        // An undocumented status must not lose the token, either.
        let client = stub.answer_with(201, object(json!(CANARY))).await;
        let error = issue(client, operation).await.unwrap_err();
        assert_error_redacts(&error);
        let Error::Undecoded(answer) = &error else { panic!("{error:?}") };
        assert!(answer.body().expose().contains(CANARY));
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
                    json!(format!("unknown key {CANARY}")).to_string(),
                    json!({"error": format!("{CANARY} {CANARY}"), "additional_details": {"key": [CANARY]}}).to_string(),
                    json!({CANARY: CANARY, "extra": {CANARY: CANARY}}).to_string(),
                    json!({"code": CANARY}).to_string(),
                    json!([CANARY]).to_string(),
                    format!("<html>Authorization: Bearer {CANARY}</html>"),
                    format!(r#"{{"error": "{CANARY}"#),
                ] {
                    let client = stub.answer_with(status, body).await;
                    assert_error_redacts(&operation.call(client, ORGANIZATION, KEY).await.unwrap_err());
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
