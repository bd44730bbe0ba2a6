//! The client decodes every documented failure, and keeps every undocumented answer with its status and body.

use api_keyring_test_support::samples::{HTML, STATUSES};
use serde_json::json;
use spartera_raw::types::ErrorCode;
use spartera_raw::{Error, UndecodedReason, types};

use crate::support::{COMPANY, KEY, Operation, stub};

/// Returns the failures of an operation that some source documents.
fn documented(operation: Operation) -> &'static [u16] {
    match operation {
        Operation::List | Operation::Get | Operation::Delete | Operation::Stats => &[401, 403, 404, 429, 500],
        Operation::Create => &[400, 401, 403, 409, 422, 429, 500],
        Operation::Update | Operation::Revoke => &[400, 401, 403, 404, 409, 422, 429, 500],
    }
}

#[tokio::test]
async fn a_documented_failure_is_decoded() {
    let stub = stub().await;
    for operation in Operation::ALL {
        for status in documented(operation).iter().copied() {
            let case = format!("{operation:?} {status}");
            let body = json!({
                "code": status, "message": "API key not found", "retry_after": 7, "trace": "t",
                "errors": {"name": ["too short", "too plain"], "role_id": []},
            });
            let client = stub.answer_with(status, body.to_string()).await;
            let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
            assert_eq!(error.status().unwrap(), status, "{case}");
            let Error::ErrorResponse(answer) = error else { panic!("{case}: {error:?}") };
            assert!(matches!(&answer.code, Some(ErrorCode::Number(code)) if *code == i64::from(status)), "{case}");
            assert_eq!(answer.message.as_deref(), Some("API key not found"), "{case}");
            assert_eq!(answer.retry_after, Some(7), "{case}");
            assert_eq!(answer.errors.as_ref().unwrap()["name"], ["too short", "too plain"], "{case}");
            assert!(answer.errors.as_ref().unwrap()["role_id"].is_empty(), "{case}");
            assert_eq!(answer.extra.get("trace"), Some(json!("t")), "{case}");

            let body = json!({"code": "KEY_NOT_FOUND", "message": "API key not found"});
            let client = stub.answer_with(status, body.to_string()).await;
            let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
            let Error::ErrorResponse(answer) = error else { panic!("{case}: {error:?}") };
            assert!(matches!(&answer.code, Some(ErrorCode::Text(code)) if code == "KEY_NOT_FOUND"), "{case}");
            assert!(answer.errors.is_none() && answer.retry_after.is_none(), "{case}");
        }
    }
}

/// The SDK documentation shows no body for failures, so every field of the newer body may be missing.
#[tokio::test]
async fn a_failures_fields_may_be_absent_or_null() {
    let stub = stub().await;
    for body in ["{}", r#"{"code": null, "message": null, "retry_after": null, "errors": null}"#] {
        let client = stub.answer_with(400, body).await;
        let error = Operation::Create.call(client, COMPANY, KEY).await.unwrap_err();
        let Error::ErrorResponse(answer) = error else { panic!("{body}: {error:?}") };
        assert!(answer.code.is_none() && answer.message.is_none() && answer.retry_after.is_none());
        assert!(answer.errors.is_none());
    }
}

/// An error with an undocumented status keeps the status and the body.
#[tokio::test]
async fn an_undocumented_status_is_kept() {
    let stub = stub().await;
    for operation in Operation::ALL {
        for status in STATUSES.into_iter().filter(|status| !documented(operation).contains(status)) {
            // Answers with these two statuses never have a body.
            let body = if matches!(status, 204 | 304) { "" } else { r#"{"data": {"key": "abc"}}"# };
            let client = stub.answer_with(status, body).await;
            let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
            assert_undecoded(&error, status, body, |reason| reason == UndecodedReason::UndocumentedStatus);
        }
    }
}

/// A proxy in front of the service may answer with HTML.
#[tokio::test]
async fn html_is_kept_under_any_status() {
    let stub = stub().await;
    for operation in Operation::ALL {
        let client = stub.answer_with(502, HTML).await;
        let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
        assert_undecoded(&error, 502, HTML, |reason| reason == UndecodedReason::UndocumentedStatus);
        for status in documented(operation).iter().copied().chain([200]) {
            let client = stub.answer_with(status, HTML).await;
            let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
            let expected = UndecodedReason::UnexpectedBody { line: 1, column: 1 };
            assert_undecoded(&error, status, HTML, |reason| reason == expected);
        }
    }
}

/// Sends bodies of other shapes, such as a sentence instead of an object, or an object instead of a list.
#[tokio::test]
async fn a_body_of_another_shape_is_kept() {
    let stub = stub().await;
    for operation in Operation::ALL {
        let wrong_data = match operation {
            Operation::List => r#"{"message": "ok", "data": {"api_key_id": 17}}"#,
            Operation::Stats => r#"{"message": "ok", "data": "key_abc123"}"#,
            _ => r#"{"message": "ok", "data": [{"api_key_id": 17}]}"#,
        };
        for body in [
            wrong_data,
            "",
            "{\"message\": \"ok\", \"data",
            "\"API ke",
            "\"API key\"",
            "[]",
            "17",
            "null",
            "{}",
            "{\"data\": null}",
            "{\"data\": 17}",
            "{\"data\": []}}",
        ] {
            let client = stub.answer_with(200, body).await;
            let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
            assert_undecoded(&error, 200, body, is_unexpected_body);
        }
        for status in documented(operation).iter().copied() {
            for body in ["", "{\"message\": \"x", "\"API key not found\"", "[]", "17", "null", "{\"message\": 1}"] {
                let client = stub.answer_with(status, body).await;
                let error = operation.call(client, COMPANY, KEY).await.unwrap_err();
                assert_undecoded(&error, status, body, is_unexpected_body);
            }
        }
    }
}

fn is_unexpected_body(reason: UndecodedReason) -> bool {
    matches!(reason, UndecodedReason::UnexpectedBody { .. } | UndecodedReason::UnexpectedForm(_))
}

#[track_caller]
fn assert_undecoded(
    error: &Error<types::Error>,
    status: u16,
    body: &str,
    is_expected: impl FnOnce(UndecodedReason) -> bool,
) {
    let Error::Undecoded(answer) = error else { panic!("{status} with {body:?}: {error:?}") };
    assert_eq!(answer.status(), status, "with {body:?}");
    assert_eq!(error.status().unwrap(), status);
    assert_eq!(answer.body().expose(), body, "under {status}");
    assert!(is_expected(answer.reason()), "{status} with {body:?}: {error:?}");
    assert!(error.to_string().contains(&status.to_string()), "{error}");
}
