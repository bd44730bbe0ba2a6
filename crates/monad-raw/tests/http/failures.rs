//! The client decodes every documented failure, and keeps every undocumented answer with its status and body.

use api_keyring_test_support::samples::{HTML, STATUSES};
use monad_raw::{Error, UndecodedReason, types};
use serde_json::json;

use crate::support::{KEY, ORGANIZATION, Operation, stub};

/// Returns the failures of an operation that some source documents.
fn documented(operation: Operation) -> &'static [u16] {
    match operation {
        Operation::List => &[401, 403, 429, 500],
        Operation::Create => &[400, 401, 403, 429, 500],
        Operation::Get | Operation::Delete => &[401, 403, 404, 429, 500],
        Operation::Update => &[400, 401, 403, 404, 429, 500],
        Operation::Regenerate => &[400, 401, 403, 404, 422, 429, 500],
    }
}

#[tokio::test]
async fn a_documented_failure_is_decoded_as_a_sentence_and_as_an_object() {
    let stub = stub().await;
    for operation in Operation::ALL {
        for status in documented(operation).iter().copied() {
            let case = format!("{operation:?} {status}");
            let client = stub.answer_with(status, r#""API key not found""#).await;
            match operation.call(client, ORGANIZATION, KEY).await.unwrap_err() {
                Error::ErrorResponse(answer) => {
                    assert_eq!(answer.status(), status, "{case}");
                    assert!(
                        matches!(&*answer, types::Error::Message(message) if message == "API key not found"),
                        "{case}: {answer:?}"
                    );
                }
                other => panic!("{case}: {other:?}"),
            }

            let object = json!({
                "error": "API key not found", "error_type": "not_found", "code": 17,
                "additional_details": {"a": [1]}, "trace": "t",
            });
            let client = stub.answer_with(status, object.to_string()).await;
            let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
            assert_eq!(error.status().unwrap(), status, "{case}");
            let Error::ErrorResponse(answer) = error else { panic!("{case}: {error:?}") };
            let types::Error::ErrorObject(body) = &*answer else { panic!("{case}: {answer:?}") };
            assert_eq!(body.error.as_deref(), Some("API key not found"), "{case}");
            assert_eq!(body.error_type.as_deref(), Some("not_found"), "{case}");
            assert_eq!(body.code, Some(17), "{case}");
            assert_eq!(body.additional_details, Some(json!({"a": [1]}).into()), "{case}");
            assert_eq!(body.extra.get("trace"), Some(json!("t")), "{case}");
        }
    }
}

#[tokio::test]
async fn a_failure_object_may_be_empty_or_full_of_nulls() {
    let stub = stub().await;
    for body in ["{}", r#"{"error": null, "error_type": null, "code": null, "additional_details": null}"#] {
        let client = stub.answer_with(500, body).await;
        let error = Operation::Get.call(client, ORGANIZATION, KEY).await.unwrap_err();
        let Error::ErrorResponse(answer) = error else { panic!("{error:?}") };
        let types::Error::ErrorObject(object) = &*answer else { panic!("{answer:?}") };
        assert!(object.error.is_none() && object.error_type.is_none() && object.code.is_none());
    }
}

/// An error with an undocumented status keeps the status and the body.
#[tokio::test]
async fn an_undocumented_status_is_kept() {
    let stub = stub().await;
    for operation in Operation::ALL {
        for status in STATUSES.into_iter().filter(|status| !documented(operation).contains(status)) {
            // Answers with these two statuses never have a body.
            let body = if matches!(status, 204 | 304) { "" } else { r#"{"token": "abc"}"# };
            let client = stub.answer_with(status, body).await;
            let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
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
        let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
        assert_undecoded(&error, 502, HTML, |reason| reason == UndecodedReason::UndocumentedStatus);
        for status in documented(operation).iter().copied().chain([200]) {
            let client = stub.answer_with(status, HTML).await;
            let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
            let expected = UndecodedReason::UnexpectedBody { line: 1, column: 1 };
            assert_undecoded(&error, status, HTML, |reason| reason == expected);
        }
    }
}

/// Sends bodies of other shapes, such as a sentence instead of an object, or an object instead of a sentence.
#[tokio::test]
async fn a_body_of_another_shape_is_kept() {
    let stub = stub().await;
    for operation in Operation::ALL {
        let wrong_answer = match operation {
            Operation::Delete => json!({"message": "deleted"}).to_string(),
            _ => json!("API key").to_string(),
        };
        for body in [&*wrong_answer, "", "{\"id\": \"key-1\", \"na", "\"API ke", "[]", "17", "null", "{}{}"] {
            let client = stub.answer_with(200, body).await;
            let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
            assert_undecoded(&error, 200, body, is_unexpected_body);
        }
        for status in documented(operation).iter().copied() {
            for body in ["", "{\"error\": \"x", "\"API ke", "[]", "17", "null", "{\"code\": \"x\"}"] {
                let client = stub.answer_with(status, body).await;
                let error = operation.call(client, ORGANIZATION, KEY).await.unwrap_err();
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
