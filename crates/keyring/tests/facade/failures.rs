//! The meaning of every failure: its kind, its outcome, and the vendor's message.

use std::time::Duration;

use api_keyring::{ErrorKind, NewKey, Operation, Outcome, Provider, Revocation, Spartera};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::stub::{Answer, Stub};
use crate::support::{
    CREDENTIAL, Fixture, SCOPE, SECRET, TOKEN, Vendor, assert_error, assert_readable, id, perform, printed,
};

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
            let answer = Answer::json(429, &vendor.failure(429, "slow down")).header("retry-after", header);
            let error = fixture.error(Operation::Get, answer).await;
            assert_error(&error, ErrorKind::RateLimited, Outcome::Rejected, header);
            let in_body = (vendor == Vendor::Spartera).then_some(Duration::from_secs(17));
            assert_eq!(error.retry_after(), in_body, "{vendor:?} {header}");
        }
        // A gateway may ask for a wait as well.
        let error = fixture.error(Operation::Get, Answer::html(429).header("retry-after", "21")).await;
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Intermediary, Some(Duration::from_secs(21))));
    }
}

/// Answers that look like a failure of the vendor's but come from something between the client and the vendor.
fn foreign_failures(status: u16) -> Vec<(&'static str, Answer)> {
    let json = |body: &str| Answer::text(status, "application/json", body.replace("STATUS", &status.to_string()));
    let text = |media_type, body: &str| Answer::text(status, media_type, body.as_bytes());
    vec![
        ("nginx", text("text/html", "<html><head><title>STATUS</title></head><body>nginx</body></html>")),
        ("Envoy", text("text/plain", "upstream connect error or disconnect/reset before headers")),
        ("AWS API Gateway", json(r#"{"message":"Forbidden"}"#)),
        ("AWS, null", json(r#"{"message":null}"#)),
        ("Kong", json(r#"{"message":"no Route matched with those values","request_id":"abc"}"#)),
        ("Azure API Management", json(r#"{"statusCode":STATUS,"message":"Resource not found"}"#)),
        ("gRPC gateway", json(r#"{"code":5,"message":"Not Found","details":[]}"#)),
        ("Google", json(r#"{"error":{"code":STATUS,"message":"not found","status":"NOT_FOUND"}}"#)),
        ("Apigee", json(r#"{"fault":{"faultstring":"Unable to route","detail":{"errorcode":"x"}}}"#)),
        ("Spring", json(r#"{"timestamp":"2026","status":STATUS,"error":"Not Found","path":"/x"}"#)),
        ("Traefik", text("text/plain; charset=utf-8", "404 page not found\n")),
        ("problem+json", text("application/problem+json", r#"{"title":"no","status":404}"#)),
        ("another status in the code", json(r#"{"code":599,"message":"words"}"#)),
        ("null", json("null")),
        ("a list", json(r#"["no"]"#)),
        ("a number", json("5")),
        ("an empty object", json("{}")),
        ("cut JSON", json(r#"{"code": STATUS, "message": "no"#)),
        ("empty", Answer::empty(status)),
        ("empty JSON", json("")),
        ("no media type", Answer::empty(status).with_body(format!(r#"{{"code":{status},"message":"words"}}"#))),
        ("no media type, text", Answer::empty(status).with_body(r#""words""#)),
        ("own form as HTML", text("text/html", &format!(r#"{{"code":{status},"message":"words"}}"#))),
        ("own text as text", text("text/plain", r#""words""#)),
        ("encoded", json(r#""words""#).header("content-encoding", "gzip")),
        ("no UTF-8", Answer::text(status, "application/json", [0xff, 0xfe])),
        ("two media types", json(r#""words""#).header("content-type", "text/html")),
    ]
}

#[tokio::test]
async fn the_status_of_an_answer_that_is_not_the_vendors_proves_nothing() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for status in [400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 500, 502, 503, 504, 511] {
                for (name, answer) in foreign_failures(status) {
                    let context = format!("{vendor:?} {operation} {status} {name}");
                    let error = fixture.error(operation, answer).await;
                    assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, &context);
                    assert_eq!(error.status(), Some(status), "{context}");
                    assert!(error.is_transient() && !error.is_not_found(), "{context}");
                    assert_eq!(error.may_have_taken_effect(), operation.is_write(), "{context}");
                    assert_eq!(error.vendor_message(), None, "{context}: these are not the vendor's words");
                    assert_eq!(error.unclaimed_secret(), None, "{context}: the vendor issued no key");
                    assert_eq!(fixture.stub.requests().len(), 1, "{context}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_text_of_a_foreign_answer_is_shown_without_its_markup() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let page = "<html><style>h1 {}</style><h1>403 \u{1b}[31mForbidden</h1>\r\n<p>Policy 7 of sk_live_0123456789abcdef";
    let error = fixture.error(Operation::Get, Answer::text(403, "text/html", page)).await;
    let line = error.to_string();
    assert!(line.contains(r"403 \u{1b}[31mForbidden Policy 7 of [REDACTED]"), "{line}");
    assert!(line.contains("text/html") && line.contains("gateway"), "{line}");
    let error = fixture.error(Operation::Get, Answer::json(403, &json!({"message": "Forbidden"}))).await;
    assert!(error.to_string().contains("Forbidden"), "{error}");
    let error = fixture.error(Operation::Get, Answer::text(404, "text/plain", "x".repeat(1_000_000))).await;
    assert!(error.to_string().len() < 1500, "{}", error.to_string().len());
    // A secret that the limit cuts is not shown either.
    for length in 440..500 {
        let page = format!("{}sk_live_0123456789abcdef0123456789abcdef", "x ".repeat(length / 2));
        for answer in
            [Answer::text(404, "text/plain", page.clone()), Answer::json(400, &Vendor::Spartera.failure(400, &page))]
        {
            let shown = format!("{:?}", fixture.error(Operation::Get, answer).await);
            assert!(!shown.contains("sk_live_"), "{shown}");
        }
    }
    let encoded = Answer::json(200, &json!({})).header("content-encoding", "br");
    assert!(fixture.error(Operation::Get, encoded).await.to_string().contains("encoding br"));
}

/// Some gateways repeat the request on their page. A credential need not look like a secret of the vendor's.
#[tokio::test]
async fn a_foreign_answer_that_repeats_the_credential_does_not_show_it() {
    let credential = "canary/0123456789+abcdef=";
    for vendor in Vendor::ALL {
        let fixture = Fixture::with(vendor, credential).await;
        for &operation in vendor.operations() {
            for status in [200, 202, 302, 404, 418, 502] {
                for body in [
                    format!("<pre>x-api-key: {credential}</pre>"),
                    format!("{} {credential}", "x".repeat(4080)),
                    format!(r#"{{"headers": {{"x-api-key": "{credential}"}}}}"#),
                    format!(r#"{{"echo": "{}"}}"#, credential.replace('/', r"\/").replace('+', r"\u002b")),
                ] {
                    for media_type in ["text/html", "application/json"] {
                        let answer = Answer::text(status, media_type, body.clone());
                        let shown = printed(&fixture.error(operation, answer).await);
                        let is_shown = ["canary", "0123456789", "abcdef"].iter().any(|part| shown.contains(part));
                        assert!(!is_shown, "{vendor:?} {operation} {status} {body}: {shown}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_undocumented_status_in_the_vendors_own_form_counts() {
    use ErrorKind::{NotFound, Rejected, Server, Timeout, UnexpectedAnswer};
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for (status, kind, outcome) in [
                (405, Rejected, Outcome::Rejected),
                (408, Timeout, Outcome::Unknown),
                (410, NotFound, Outcome::Rejected),
                (413, Rejected, Outcome::Rejected),
                (415, Rejected, Outcome::Rejected),
                (418, UnexpectedAnswer, Outcome::Rejected),
                (502, Server, Outcome::Unknown),
                (503, Server, Outcome::Unknown),
            ] {
                let context = format!("{vendor:?} {operation} {status}");
                let error = fixture.error(operation, Answer::json(status, &vendor.failure(status, "words"))).await;
                assert_error(&error, kind, outcome, &context);
                assert_eq!(error.vendor_message(), Some("words"), "{context}");
            }
        }
    }
}

#[tokio::test]
async fn every_documented_form_of_a_failure_is_the_vendors_own() {
    for (vendor, body) in [
        (Vendor::Spartera, json!({"code": 403, "message": "words"})),
        (Vendor::Spartera, json!({"code": "forbidden", "message": "words", "more": [1]})),
        (Vendor::Spartera, json!({"code": 1042, "message": "words", "errors": null})),
        (Vendor::Monad, json!("words")),
        (Vendor::Monad, json!({"error": "words", "error_type": "forbidden", "code": 403, "additional_details": {}})),
    ] {
        let fixture = Fixture::start(vendor).await;
        let error = fixture.error(Operation::Get, Answer::json(403, &body)).await;
        assert_error(&error, ErrorKind::PermissionDenied, Outcome::Rejected, &body.to_string());
        assert_eq!(error.vendor_message(), Some("words"), "{body}");
    }
}

#[tokio::test]
async fn an_answer_about_another_key_is_not_the_requested_one() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(Answer::json(200, &vendor.success(Operation::Get)));
        let error = fixture.provider.get(&id("8")).await.unwrap_err();
        assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, "another key");
        assert_eq!(fixture.provider.get(&id("7")).await.unwrap().id(), &id("7"));
    }
}

#[tokio::test]
async fn field_errors_are_read_in_every_form() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let body = json!({"code": "invalid", "message": "no", "errors": {"name": "is odd", "role_id": ["is missing", 3, null], "x": 1}});
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
                assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, &context);
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
async fn a_truncated_success_returns_what_arrived() {
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
        assert_error(&error, ErrorKind::Connection, Outcome::Unknown, &context);
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

/// Successes that do not prove that the vendor acted.
fn foreign_successes() -> Vec<(&'static str, Answer)> {
    let json = |body: &str| Answer::text(200, "application/json", body);
    vec![
        ("a captive portal", Answer::html(200)),
        ("empty", Answer::empty(200)),
        ("204", Answer::empty(204)),
        ("202 without a body", Answer::empty(202)),
        ("a health check", json(r#"{"status":"ok"}"#)),
        ("null", json("null")),
        ("a number", json("5")),
        ("cut JSON", json("{\"data\": {")),
        ("a failure", json(r#"{"code": 404, "message": "no such key"}"#)),
        ("encoded", json(r#""deleted""#).header("content-encoding", "gzip")),
        ("text", Answer::text(200, "text/plain", "\"deleted\"")),
    ]
}

#[tokio::test]
async fn a_success_that_is_not_the_vendors_leaves_the_outcome_unknown() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for &operation in vendor.operations() {
            for (name, answer) in foreign_successes() {
                let context = format!("{vendor:?} {operation} {name}");
                let error = fixture.error(operation, answer).await;
                assert!(matches!(error.kind(), ErrorKind::Intermediary | ErrorKind::UnexpectedAnswer), "{context}");
                assert_eq!(error.outcome(), Outcome::Unknown, "{context}: {error}");
                assert_eq!(error.may_have_taken_effect(), operation.is_write(), "{context}");
                assert_readable(&error, &context);
            }
        }
    }
}

#[tokio::test]
async fn a_202_only_promises_to_act() {
    for (vendor, operation) in [
        (Vendor::Spartera, Operation::Update),
        (Vendor::Spartera, Operation::Revoke),
        (Vendor::Spartera, Operation::Delete),
        (Vendor::Monad, Operation::Delete),
    ] {
        let fixture = Fixture::start(vendor).await;
        let error = fixture.error(operation, Answer::json(202, &vendor.success(operation))).await;
        assert_eq!(error.outcome(), Outcome::Unknown, "{vendor:?} {operation}: {error}");
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
    let long = "x".repeat(200_000);
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for status in [400, 401, 418, 500] {
            let error = fixture.error(Operation::Create, Answer::json(status, &vendor.failure(status, escape))).await;
            assert_readable(&error, "control characters");
            let words = error.vendor_message().unwrap();
            assert!(!words.chars().any(char::is_control), "{words:?}");
            assert!(words.contains("line one") && words.contains("line two"), "{words:?}");

            let error = fixture.error(Operation::Create, Answer::json(status, &vendor.failure(status, &long))).await;
            assert_readable(&error, "a long message");
            let length = error.to_string().len();
            assert!(length < 2000, "{length}");
            assert!(format!("{error:?}").len() < 4000);
        }
        // A blank message counts as no message.
        let error = fixture.error(Operation::Get, Answer::json(403, &vendor.failure(403, " \n\t "))).await;
        assert_eq!(error.vendor_message(), None);
    }
    let fixture = Fixture::start(Vendor::Spartera).await;
    let fields: serde_json::Map<String, Value> =
        (0..1000).map(|n| (format!("f{n}\u{1b}[31m"), json!([escape]))).collect();
    let body = json!({"code": 400, "message": "no", "errors": fields});
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
    assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Unknown, "too large");
    assert!(!error.may_have_taken_effect(), "a read changes nothing");
    assert!(error.to_string().contains("1000 bytes"), "{error}");
    // Nobody can tell whose failure that is.
    stub.answer_all(Answer::text(401, "application/json", "x".repeat(5000)));
    let error = provider.create(&NewKey::new("ci").role("3")).await.unwrap_err();
    assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, "too large 401");
}
