//! A server may repeat the credential. No printed form of the result shows it.
//!
//! Each test is named after the place where the server, or the caller, puts the credential.

use std::error::Error as _;
use std::time::{Duration, Instant};

use api_keyring_test_support::redaction::{CANARY, assert_debug_redacts, assert_error_redacts, assert_no_canary};
use api_keyring_transport::runtime::{Error, ResponseValue};
use api_keyring_transport::{Credential, Transport};
use serde_json::{Value, json};

use crate::support::{Api, answer_once};

#[track_caller]
fn assert_outcome_redacts(outcome: &Result<ResponseValue<Value>, Error<Value>>) {
    assert_debug_redacts(outcome);
    if let Err(error) = outcome {
        assert_error_redacts(error);
    }
}

fn answer(status: u16, header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Some\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A decoded failure repeats its body, so the runtime redacts the credential before it decodes.
#[tokio::test]
async fn in_a_failures_body() {
    for body in [json!(CANARY), json!({CANARY: [CANARY, {"x": format!("{CANARY}{CANARY}")}]})] {
        for status in [404, 418] {
            let (address, served) =
                answer_once(answer(status, "content-type: application/json", &body.to_string())).await;
            let api = Api::with_credential(address, Credential::api_key(CANARY).unwrap());
            let outcome = api.read().await;
            assert_outcome_redacts(&outcome);
            assert!(outcome.is_err());
            served.finish().await;
        }
    }
}

/// A JSON writer may escape any character, and the decoded text is still the credential.
#[tokio::test]
async fn in_a_failures_body_in_escaped_form() {
    for (credential, escaped) in [
        ("canary/0123456789abcdef", r"canary\/0123456789abcdef"),
        ("canary\"0123456789abcdef", r#"canary\"0123456789abcdef"#),
        ("canary\\0123456789abcdef", r"canary\\0123456789abcdef"),
        ("canary+0123456789abcdef", r"canary\u002B0123456789abcdef"),
        ("canary<0123456789abcdef", r"canary\u003c0123456789abcdef"),
    ] {
        let (address, served) =
            answer_once(answer(404, "content-type: application/json", &format!("[\"{escaped}\"]"))).await;
        let outcome = Api::with_credential(address, Credential::api_key(credential).unwrap()).read().await;
        assert!(matches!(outcome, Err(Error::ErrorResponse(_))));
        assert_outcome_redacts(&outcome);
        served.finish().await;
    }
}

/// A caller can read the headers, but no printed form shows them.
#[tokio::test]
async fn in_a_header() {
    for header in ["x-api-key", "set-cookie", "www-authenticate", "location", "content-type"] {
        for (status, body) in [(200, "{}"), (200, "no JSON"), (302, ""), (404, "\"no\""), (404, "no JSON"), (502, "")] {
            let (address, served) = answer_once(answer(status, &format!("{header}: {CANARY}"), body)).await;
            let api = Api::with_credential(address, Credential::api_key(CANARY).unwrap());
            assert_outcome_redacts(&api.create().await);
            served.finish().await;
        }
    }
}

/// The HTTP library reports an unreadable head, and its error is the source of ours.
#[tokio::test]
async fn in_an_unreadable_head() {
    for head in [
        format!("{CANARY}\r\n\r\n"),
        format!("HTTP/1.1 {CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {CANARY}\r\n\r\n"),
    ] {
        let (address, served) = answer_once(head).await;
        let api = Api::with_credential(address, Credential::api_key(CANARY).unwrap());
        let outcome = api.create().await;
        assert!(matches!(outcome, Err(Error::Communication(_))), "{outcome:?}");
        assert_outcome_redacts(&outcome);
        served.finish().await;
    }
}

/// The time to redact grows in proportion to the body. If it grew with the square, a single answer could block the
/// program.
///
/// The time limit here is a large multiple of the time needed.
#[tokio::test]
async fn many_times_in_a_failures_body() {
    let credential = "canary_0123456789abcdef";
    let body = credential.repeat((250 << 10) / credential.len());
    let (address, served) = answer_once(answer(500, "x: y", &body)).await;
    let api = Api::with_credential(address, Credential::api_key(credential).unwrap());
    let start = Instant::now();
    assert_outcome_redacts(&api.read().await);
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    served.finish().await;
}

/// The builder rejects a base URL with a password, and neither the builder nor the error shows it.
#[test]
fn in_the_base_url() {
    let credential = Credential::api_key("x").unwrap();
    let builder = Transport::builder(format!("https://user:{CANARY}@example.com"), credential);
    assert_debug_redacts(&builder);
    let error = builder.build().unwrap_err();
    assert_debug_redacts(&error);
    assert_no_canary(&error.to_string());
    assert_no_canary(&error.source().unwrap().to_string());
}
