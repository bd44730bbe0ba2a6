//! The meaning of every failure: its kind, its outcome, and the vendor's message.

use std::time::Duration;

use api_keyring::{ErrorKind, NewKey, Operation, Outcome, Provider, Revocation, Spartera};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::stub::{Answer, Stub};
use crate::support::{CREDENTIAL, Fixture, SCOPE, SECRET, TOKEN, Vendor, assert_error, assert_readable, id, perform};

/// The meaning of each status that either vendor documents.
const DOCUMENTED: [(u16, ErrorKind, Outcome); 8] = [
    (400, ErrorKind::Rejected, Outcome::Rejected),
    (401, ErrorKind::Unauthenticated, Outcome::Rejected),
    (403, ErrorKind::PermissionDenied, Outcome::Rejected),
    (404, ErrorKind::NotFound, Outcome::Rejected),
    (409, ErrorKind::Conflict, Outcome::Rejected),
    (422, ErrorKind::Rejected, Outcome::Rejected),
    (429, ErrorKind::RateLimited, Outcome::Rejected),
    (500, ErrorKind::Server, Outcome::Unknown),
];

#[tokio::test]
async fn every_documented_status_has_its_kind_and_the_vendors_message() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            // A status means the same for an operation that does not document it.
            for (status, kind, outcome) in DOCUMENTED {
                let context = format!("{vendor:?} {operation} {status}");
                let words = format!("The vendor's own words about {status}");
                let answer = Answer::json(status, &vendor.failure(status, &words)).header("x-request-id", "req-42");
                let error = fixture.error(operation, answer).await;
                assert_error(&error, kind, outcome, &context);
                assert_eq!(error.status(), Some(status), "{context}");
                assert_eq!(error.vendor_message(), Some(&*words), "{context}");
                assert_eq!(error.request_id(), Some("req-42"), "{context}");
                assert_eq!(error.operation(), Some(operation), "{context}");
                assert_eq!(error.provider(), Some(fixture.provider.vendor()), "{context}");
                let is_about_a_key = !matches!(operation, Operation::List | Operation::Create);
                assert_eq!(error.key().cloned(), is_about_a_key.then(|| id("7")), "{context}");
                assert_eq!(error.may_have_taken_effect(), status == 500 && operation.is_write(), "{context}");
                let fields: Vec<_> =
                    error.field_errors().iter().map(|wrong| (wrong.field.as_str(), wrong.message.as_str())).collect();
                let wait = error.retry_after().map(|wait| wait.as_secs());
                match (vendor, status) {
                    (Vendor::Spartera, 400) => {
                        assert_eq!(fields, [("name", "is odd"), ("name", "is long")], "{context}")
                    }
                    (Vendor::Spartera, 429) => assert_eq!(wait, Some(17), "{context}"),
                    _ => assert_eq!((fields, wait), (vec![], None), "{context}"),
                }
                assert_eq!(error.unclaimed_secret(), None, "{context}");
                let line = error.to_string();
                assert!(line.contains(&words) && line.contains("req-42"), "{context}: {line}");
                assert_eq!(fixture.stub.requests().len(), 1, "{context}: the request is sent once");
            }
        }
    }
}

#[tokio::test]
async fn the_wait_in_the_header_takes_precedence_over_the_body() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for (header, wait) in [("9", Some(9)), ("0", Some(0)), ("99999999999", Some(99_999_999_999))] {
            let answer = Answer::json(429, &vendor.failure(429, "slow down")).header("retry-after", header);
            let error = fixture.error(Operation::Create, answer).await;
            assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{vendor:?} {header}");
        }
        // An unreadable wait is ignored and does not change the error.
        for header in ["soon", "-1", "1e3", "99999999999999999999999999"] {
            let answer = Answer::json(429, &json!("slow down")).header("retry-after", header);
            let error = fixture.error(Operation::Get, answer).await;
            assert_error(&error, ErrorKind::RateLimited, Outcome::Rejected, header);
            assert_eq!(error.retry_after(), None, "{vendor:?} {header}");
        }
    }
    // A malformed body can still report the wait.
    let fixture = Fixture::start(Vendor::Spartera).await;
    let body = json!({"message": ["odd"], "retry_after": 21});
    let error = fixture.error(Operation::Get, Answer::json(429, &body)).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(21)));
}

#[tokio::test]
async fn a_status_counts_whatever_its_body_holds() {
    use ErrorKind::{PermissionDenied, RateLimited, Rejected, Server, Timeout, Unauthenticated, UnexpectedAnswer};
    let text = |status, body: &str| Answer::text(status, "application/json", body);
    let cases: [(&str, Answer, ErrorKind, Outcome, Option<&str>); 18] = [
        ("HTML 502", Answer::html(502), Server, Outcome::Unknown, None),
        ("HTML 403", Answer::html(403), PermissionDenied, Outcome::Rejected, None),
        ("empty 500", Answer::empty(500), Server, Outcome::Unknown, None),
        ("empty 401", Answer::empty(401), Unauthenticated, Outcome::Rejected, None),
        ("truncated 401", text(401, r#"{"message": "no"#), Unauthenticated, Outcome::Rejected, None),
        ("cut 401", text(401, r#"{"mess"#).cut_short(), Unauthenticated, Outcome::Rejected, None),
        ("cut 500", text(500, r#""mess"#).cut_short(), Server, Outcome::Unknown, None),
        ("no UTF-8", Answer::text(500, "text/plain", [0xff, 0xfe]), Server, Outcome::Unknown, None),
        ("null", text(403, "null"), PermissionDenied, Outcome::Rejected, None),
        ("a list", text(403, r#"["no"]"#), PermissionDenied, Outcome::Rejected, None),
        ("a string", text(403, r#""words""#), PermissionDenied, Outcome::Rejected, Some("words")),
        (
            "an object",
            text(429, r#"{"message": "words", "code": "R1"}"#),
            RateLimited,
            Outcome::Rejected,
            Some("words"),
        ),
        (
            "Monad's object",
            text(403, r#"{"error": "words", "error_type": "forbidden", "code": 403, "additional_details": {"a": 1}}"#),
            PermissionDenied,
            Outcome::Rejected,
            Some("words"),
        ),
        (
            "an object in an object",
            text(403, r#"{"error": {"message": "words", "code": 403}}"#),
            PermissionDenied,
            Outcome::Rejected,
            Some("words"),
        ),
        ("418", text(418, r#"{"message": "words"}"#), UnexpectedAnswer, Outcome::Rejected, Some("words")),
        ("413", Answer::html(413), Rejected, Outcome::Rejected, None),
        ("408", Answer::empty(408), Timeout, Outcome::Unknown, None),
        ("503", text(503, r#"{"message": "words"}"#), Server, Outcome::Unknown, Some("words")),
    ];
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for (name, answer, kind, outcome, words) in &cases {
                let context = format!("{vendor:?} {operation} {name}");
                let error = fixture.error(operation, answer.clone()).await;
                assert_error(&error, *kind, *outcome, &context);
                assert_eq!(error.vendor_message(), *words, "{context}");
                assert!(error.status().is_some_and(|status| status >= 400), "{context}");
                assert_eq!(
                    error.may_have_taken_effect(),
                    operation.is_write() && *outcome == Outcome::Unknown,
                    "{context}"
                );
                assert_eq!(error.unclaimed_secret(), None, "{context}: the vendor issued no key");
                assert_eq!(fixture.stub.requests().len(), 1, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn field_errors_are_read_in_every_form() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let body = json!({"message": "no", "errors": {"name": "is odd", "role_id": ["is missing", 3, null], "x": 1}});
    let error = fixture.error(Operation::Create, Answer::json(422, &body)).await;
    let fields: Vec<_> = error.field_errors().iter().map(|wrong| (&*wrong.field, &*wrong.message)).collect();
    assert_eq!(fields, [("name", "is odd"), ("role_id", "is missing")]);
    assert_eq!(error.vendor_message(), Some("no"));
    assert!(error.to_string().contains("role_id: is missing"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_an_error_and_is_not_followed() {
    let other = Stub::start().await;
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for status in [301, 302, 307, 308] {
                let context = format!("{vendor:?} {operation} {status}");
                let answer = Answer::empty(status).header("location", &other.base_url());
                let error = fixture.error(operation, answer).await;
                assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Unknown, &context);
                assert_eq!(error.status(), Some(status), "{context}");
                assert!(error.to_string().contains("redirect"), "{context}: {error}");
            }
        }
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    // The socket keeps the port to itself but does not listen.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}", socket.local_addr().unwrap());
    for vendor in Vendor::ALL {
        let provider = vendor.connect(&base_url, SCOPE, CREDENTIAL);
        for &operation in vendor.operations() {
            let context = format!("{vendor:?} {operation}");
            let error = perform(&*provider, operation).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connection, Outcome::NotSent), "{context}");
            assert!(!error.may_have_taken_effect(), "{context}");
            assert_eq!(error.status(), None, "{context}");
        }
    }
}

#[tokio::test]
async fn a_broken_connection_leaves_the_outcome_unknown() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for answer in [Answer::hang_up(), Answer::reset()] {
                let context = format!("{vendor:?} {operation} {answer:?}");
                let error = fixture.error(operation, answer).await;
                assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connection, Outcome::Unknown), "{context}");
                assert_eq!(error.may_have_taken_effect(), operation.is_write(), "{context}");
                assert_eq!(fixture.stub.requests().len(), 1, "{context}: the request is sent once");
                if operation.is_write() {
                    // The message says what to do next.
                    assert!(error.to_string().contains("before trying again"), "{context}: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_timeout_leaves_the_outcome_unknown() {
    // The system accepts the connection, but nothing answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let builder = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(base_url);
    let builder = builder.transport(|transport| transport.timeout(Duration::from_millis(300)));
    let error = perform(&builder.build().unwrap(), Operation::Create).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert!(error.may_have_taken_effect());
}

#[tokio::test]
async fn a_connection_failure_does_not_repeat_its_source() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let error = fixture.error(Operation::Get, Answer::hang_up()).await;
    assert_readable(&error, "hang up");
}

#[tokio::test]
async fn a_truncated_success_counts_as_applied_and_returns_what_arrived() {
    for (vendor, operation) in [
        (Vendor::Spartera, Operation::Create),
        (Vendor::Monad, Operation::Create),
        (Vendor::Monad, Operation::Regenerate),
    ] {
        let fixture = Fixture::start(vendor).await;
        let whole = vendor.success(operation).to_string();
        // Without its last character the body is not valid JSON, but the secret is there.
        let arrived = &whole[..whole.len() - 1];
        let context = format!("{vendor:?} {operation}");
        let answer = Answer::text(200, "application/json", arrived).cut_short();
        let error = fixture.error(operation, answer).await;
        assert_error(&error, ErrorKind::Connection, Outcome::Applied, &context);
        assert!(error.may_have_taken_effect(), "{context}");
        let unclaimed = error.unclaimed_secret().unwrap().expose();
        assert_eq!(unclaimed, arrived, "{context}");
        assert!(unclaimed.contains(SECRET) || unclaimed.contains(TOKEN), "{context}");
    }
}

#[tokio::test]
async fn another_success_status_counts_with_the_documented_body() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            // The first page of the list is also the last.
            let answer = Answer::json(201, &vendor.success(operation));
            let result = fixture.perform(operation, answer).await;
            assert!(result.is_ok(), "{vendor:?} {operation}: {result:?}");
        }
    }
    let fixture = Fixture::start(Vendor::Monad).await;
    fixture.stub.answer_all(Answer::json(201, &Vendor::Monad.success(Operation::Create)));
    let issued = fixture.provider.create(&crate::support::new_key()).await.unwrap();
    assert_eq!((issued.id().as_str(), issued.secret().expose()), ("7", TOKEN));
}

/// Returns the operations for which the status is enough, because their answer holds nothing of interest.
fn succeeds_by_status(vendor: Vendor) -> &'static [Operation] {
    match vendor {
        Vendor::Spartera => &[Operation::Update, Operation::Revoke, Operation::Delete],
        Vendor::Monad => &[Operation::Delete],
    }
}

#[tokio::test]
async fn an_empty_answer_counts_if_no_content_is_needed() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in succeeds_by_status(vendor) {
            for answer in [Answer::empty(204), Answer::json(200, &json!({})), Answer::json(200, &Value::Null)] {
                let result = fixture.perform(operation, answer.clone()).await;
                assert!(result.is_ok(), "{vendor:?} {operation} {answer:?}: {result:?}");
            }
        }
        // The other operations need the content.
        for &operation in vendor.operations() {
            if !succeeds_by_status(vendor).contains(&operation) {
                let error = fixture.error(operation, Answer::empty(204)).await;
                let context = format!("{vendor:?} {operation}");
                assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Applied, &context);
                assert_eq!(error.unclaimed_secret(), None, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn an_uncertain_success_is_an_error() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in succeeds_by_status(vendor) {
            for (name, answer) in [
                // A 202 only promises to act later.
                ("202 with a body", Answer::json(202, &vendor.success(operation))),
                ("202 without a body", Answer::empty(202)),
                // A proxy or a captive portal may send such a page.
                ("200 HTML", Answer::html(200)),
                ("200 empty", Answer::empty(200)),
            ] {
                let context = format!("{vendor:?} {operation} {name}");
                let error = fixture.error(operation, answer).await;
                assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer, "{context}");
                assert!(error.may_have_taken_effect(), "{context}");
                assert_readable(&error, &context);
            }
        }
    }
}

#[tokio::test]
async fn an_uncertain_success_has_an_unknown_outcome() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in succeeds_by_status(vendor) {
            for answer in [Answer::json(202, &vendor.success(operation)), Answer::html(200)] {
                let context = format!("{vendor:?} {operation} {answer:?}");
                let error = fixture.error(operation, answer).await;
                assert_eq!(error.outcome(), Outcome::Unknown, "{context}: {error}");
            }
        }
    }
}

/// Revoking at Spartera first reads the key's role, and updating a description at Monad first reads the name. If that
/// read fails, the operation itself is not sent.
#[tokio::test]
async fn a_failed_lookup_changes_nothing() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for answer in [
            Answer::json(500, &vendor.failure(500, "down")),
            Answer::html(200),
            Answer::json(200, &json!({})),
            Answer::hang_up(),
            Answer::json(404, &vendor.failure(404, "gone")),
        ] {
            let context = format!("{vendor:?} {answer:?}");
            fixture.stub.answer_all(answer);
            let (operation, error) = match vendor {
                Vendor::Spartera => {
                    let result = fixture.provider.revoke(&id("7"), &Revocation::new()).await;
                    (Operation::Revoke, result.unwrap_err())
                }
                Vendor::Monad => {
                    let update = api_keyring::KeyUpdate::new().description("new");
                    let result = fixture.provider.update(&id("7"), &update).await;
                    (Operation::Update, result.unwrap_err())
                }
            };
            let sent: Vec<_> = fixture.stub.requests().iter().map(|sent| sent.method.clone()).collect();
            assert_eq!(sent, ["GET"], "{context}");
            assert_eq!(error.operation(), Some(operation), "{context}");
            assert_eq!(error.key(), Some(&id("7")), "{context}");
            assert_ne!(error.outcome(), Outcome::Applied, "{context}: {error}");
            assert!(!error.may_have_taken_effect(), "{context}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_vendors_message_cannot_do_harm() {
    let escape = "\u{1b}[2J\u{1b}]0;owned\u{7}line one\r\nline two\u{0}\u{9b}31m\u{7f}";
    let long = "x".repeat(1_000_000);
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for status in [400, 401, 418, 500] {
            let error = fixture.error(Operation::Create, Answer::json(status, &vendor.failure(status, escape))).await;
            assert_readable(&error, "control characters");
            let words = error.vendor_message().unwrap();
            assert!(!words.chars().any(char::is_control), "{words:?}");
            assert!(words.contains("line one") && words.contains("line two"), "{words:?}");

            let error = fixture.error(Operation::Create, Answer::json(status, &vendor.failure(status, &long))).await;
            assert_readable(&error, "a megabyte");
            let length = error.vendor_message().unwrap().len();
            assert!((100..2000).contains(&length), "{length}");
            assert!(format!("{error:?}").len() < 4000);
        }
        // A blank message counts as no message.
        let error = fixture.error(Operation::Get, Answer::json(403, &vendor.failure(403, " \n\t "))).await;
        assert_eq!(error.vendor_message(), None);
    }
    let fixture = Fixture::start(Vendor::Spartera).await;
    let fields: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("f{n}\u{1b}[31m"), json!([escape]))).collect();
    let body = json!({"message": "no", "errors": fields});
    let error = fixture.error(Operation::Create, Answer::json(400, &body)).await;
    let shown: Vec<_> = error.field_errors().iter().flat_map(|wrong| [&wrong.field, &wrong.message]).collect();
    assert!((2..=200).contains(&shown.len()), "{}", shown.len());
    assert!(shown.iter().all(|text| !text.chars().any(char::is_control)));
    assert!(!error.to_string().chars().any(char::is_control));
}

#[tokio::test]
async fn an_answer_beyond_the_size_limit_is_an_error() {
    let stub = Stub::start().await;
    let builder = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(stub.base_url());
    let builder = builder.transport(|transport| transport.max_response_bytes(1000));
    let provider = builder.build().unwrap();
    let mut body = Vendor::Spartera.success(Operation::Get);
    body["data"]["name"] = "x".repeat(1000).into();
    stub.answer_all(Answer::json(200, &body));
    let error = provider.get(&id("7")).await.unwrap_err();
    assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Applied, "too large");
    assert!(!error.may_have_taken_effect(), "a read changes nothing");
    assert!(error.to_string().contains("1000 bytes"), "{error}");
    // A failure keeps its kind.
    stub.answer_all(Answer::text(401, "text/html", "x".repeat(5000)));
    let error = provider.create(&NewKey::new("ci").role("3")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, Outcome::Rejected, "too large 401");
}
