//! Injected errors and redirects.

use std::time::Duration;

use api_keyring_emulator::{ErrorStatus, Fault, FaultKind, MonadErrorShape, RetryAfter};
use serde_json::json;

use super::{count, recorded, with, with_builder};
use crate::client::{builder, monads_error, services};

#[tokio::test]
async fn a_status_has_each_services_form_and_the_service_does_not_act() {
    let emulator = with(&["*:status=503"]).await;
    let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
    let refused = spartera.post("", spartera_body).await.refused(503);
    assert_eq!(refused, json!({"code": 503, "message": "Service Unavailable"}));
    assert_eq!(monad.post("", monad_body).await.refused(503), json!("Service Unavailable"));
    assert_eq!(count(&emulator), 2);
    assert!(emulator.requests().iter().all(|seen| seen.status == 503 && seen.authenticated_as.is_none()));
}

#[tokio::test]
async fn every_status_has_its_usual_name() {
    for (status, name, kind) in [
        (400, "Bad Request", "bad_request"),
        (402, "Payment Required", "bad_request"),
        (408, "Request Timeout", "bad_request"),
        (410, "Gone", "bad_request"),
        (429, "Too Many Requests", "too_many_requests"),
        (499, "Unknown error", "bad_request"),
        (500, "Internal Server Error", "internal_error"),
        (501, "Not Implemented", "internal_error"),
        (502, "Bad Gateway", "internal_error"),
        (503, "Service Unavailable", "internal_error"),
        (504, "Gateway Timeout", "internal_error"),
        (599, "Unknown error", "internal_error"),
    ] {
        for shape in [MonadErrorShape::Text, MonadErrorShape::Object] {
            for when in ["status", "status-after"] {
                let fault = format!("create:{when}={status}");
                let emulator = with_builder(builder().0.monad_error_shape(shape), &[&fault]).await;
                let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
                let refused = spartera.post("", spartera_body).await.refused(status);
                assert_eq!(refused, json!({"code": status, "message": name}), "{fault}");
                let expected = monads_error(shape, status, name, kind);
                assert_eq!(monad.post("", monad_body).await.refused(status), expected, "{fault}");
                assert_eq!(count(&emulator), if when == "status" { 2 } else { 4 }, "{fault}");
            }
        }
    }
}

#[tokio::test]
async fn a_status_after_the_service_acted_hides_what_it_did() {
    let emulator = with(&["create:status-after=504"]).await;
    for (api, body) in services(&emulator) {
        assert_eq!(api.post("", body).await.status, 504);
    }
    assert_eq!(count(&emulator), 4);
    assert!(emulator.requests().iter().all(|seen| seen.status == 504 && seen.authenticated_as.is_some()));
}

#[tokio::test]
async fn faults_before_the_service_acts_ignore_the_credential() {
    let emulator = with(&["get:status=503:2", "get:redirect=http://127.0.0.1:9/:2", "get:reset-before:2"]).await;
    for round in 0..3 {
        for (api, _) in services(&emulator) {
            let reply = api.with_key("wrong").send_raw_closing("GET", "/1").await;
            match round {
                0 => assert!(reply.text().starts_with("HTTP/1.1 503 "), "{reply:?}"),
                1 => assert!(reply.text().starts_with("HTTP/1.1 307 "), "{reply:?}"),
                _ => assert!(reply.reset && reply.bytes.is_empty(), "{reply:?}"),
            }
        }
    }
    let [(api, _), _] = services(&emulator);
    api.with_key("wrong").get("/1").await.refused(401);
}

#[tokio::test]
async fn each_form_of_retry_after_is_sent() {
    let now = "Thu, 01 Jan 2026 00:00:00 GMT";
    // With `status-after`, the service has created a key.
    for (when, made) in [("status", 0), ("status-after", 1)] {
        for shape in [MonadErrorShape::Text, MonadErrorShape::Object] {
            for (form, header, field) in [
                ("", None, None),
                (",retry-after=2", Some("2"), Some(2)),
                (",retry-after-date=90s", Some("Thu, 01 Jan 2026 00:01:30 GMT"), None),
                (",retry-after-body=4", None, Some(4)),
            ] {
                let fault = format!("create:{when}=429{form}:1");
                let emulator = with_builder(builder().0.monad_error_shape(shape), &[]).await;
                let mut spartera = json!({"code": 429, "message": "Too Many Requests"});
                if let Some(seconds) = field {
                    spartera["retry_after"] = json!(seconds);
                }
                let monad = monads_error(shape, 429, "Too Many Requests", "too_many_requests");
                for ((api, body), expected) in services(&emulator).into_iter().zip([spartera, monad]) {
                    emulator.inject(fault.parse::<Fault>().unwrap());
                    let reply = api.post("", body.clone()).await;
                    assert_eq!(reply.refused(429), expected, "{fault}");
                    assert_eq!(reply.header("retry-after"), header, "{fault}");
                    // The client compares both dates, so both must follow the same clock.
                    assert_eq!(reply.header("date"), Some(now), "{fault}");
                    api.post("", body).await.ok();
                }
                assert_eq!(count(&emulator), 4 + 2 * made, "{fault}");
            }
        }
    }
}

#[tokio::test]
async fn a_rate_limit_is_a_token_bucket_on_the_emulators_clock() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:rate-limit=2/10s"]).await;
    let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
    spartera.post("", spartera_body.clone()).await.ok();
    monad.post("", monad_body.clone()).await.ok();
    let refused = spartera.post("", spartera_body.clone()).await;
    assert_eq!(refused.refused(429), json!({"code": 429, "message": "Too Many Requests", "retry_after": 5}));
    assert!(refused.has_header("retry-after: 5"), "{}", refused.head);
    // Other operations have no limit.
    spartera.get("").await.ok();
    clock.advance(Duration::from_millis(4100));
    let refused = monad.post("", monad_body.clone()).await;
    assert_eq!(refused.refused(429), json!("Too Many Requests"));
    assert!(refused.has_header("retry-after: 1"), "{}", refused.head);
    clock.advance(Duration::from_millis(900));
    monad.post("", monad_body).await.ok();
    spartera.post("", spartera_body).await.refused(429);
    assert_eq!(count(&emulator), 5, "refused creates made no key");
    let limit = "rate-limit=2/10s";
    assert_eq!(recorded(&emulator), ["", "", limit, "", limit, "", limit]);
}

#[tokio::test]
async fn a_rate_limit_of_zero_allows_one_request() {
    let emulator = with(&[]).await;
    emulator.inject(FaultKind::RateLimit { requests: 0, per: Duration::from_secs(60) });
    let [(api, _), _] = services(&emulator);
    api.get("/1001").await.ok();
    assert_eq!(api.get("/1001").await.refused(429)["retry_after"], 60);
}

#[tokio::test]
async fn a_status_that_is_not_an_error_is_sent_as_500() {
    let emulator = with(&[]).await;
    let [(api, _), _] = services(&emulator);
    emulator.inject(FaultKind::Status(ErrorStatus::new(200).retry_after(RetryAfter::Seconds(1))));
    assert_eq!(api.get("").await.status, 500);
    emulator.clear_faults();
    emulator.inject(FaultKind::HtmlStatus(99));
    assert_eq!(api.get("").await.status, 500);
}

#[tokio::test]
async fn a_redirect_names_the_address_and_the_service_does_not_act() {
    let emulator = with(&["create:redirect=http://127.0.0.1:9/elsewhere:2"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.post("", body).await;
        assert_eq!((reply.status, reply.body.len()), (307, 0));
        assert!(reply.has_header("location: http://127.0.0.1:9/elsewhere"), "{}", reply.head);
    }
    assert_eq!(count(&emulator), 2);
    let redirect = "redirect=http://127.0.0.1:9/elsewhere";
    assert_eq!(recorded(&emulator), [redirect, redirect]);
    // The emulator drops an address that is not a valid header value.
    emulator.inject(FaultKind::Redirect("http://127.0.0.1:9/\r\nset-cookie: a=b".to_owned()));
    let [(api, _), _] = services(&emulator);
    let reply = api.get("").await;
    assert_eq!((reply.status, reply.body.len()), (307, 0));
    assert!(!reply.head.contains("location") && !reply.head.contains("cookie"), "{}", reply.head);
}

#[tokio::test]
async fn the_date_can_be_wrong() {
    let emulator = with(&[]).await;
    for (api, _) in services(&emulator) {
        for fault in ["list:clock-ahead=5m:1", "list:clock-behind=1h:1", "list:status=503,retry-after-date=90s:1"] {
            emulator.inject(fault.parse::<Fault>().unwrap());
        }
        let failed = api.get("").await;
        assert_eq!(failed.status, 503);
        assert!(failed.has_header("date: Thu, 01 Jan 2026 00:05:00 GMT"), "{}", failed.head);
        // A client that compares both dates waits for the intended time.
        assert!(failed.has_header("retry-after: Thu, 01 Jan 2026 00:06:30 GMT"), "{}", failed.head);
        let behind = api.get("").await;
        behind.ok();
        assert!(behind.has_header("date: Wed, 31 Dec 2025 23:00:00 GMT"), "{}", behind.head);
        let right = api.get("").await;
        assert!(right.has_header("date: Thu, 01 Jan 2026 00:00:00 GMT"), "{}", right.head);
    }
    let [(api, _), _] = services(&emulator);
    // The emulator leaves out a date that HTTP cannot write.
    emulator.inject(FaultKind::ClockAhead(Duration::from_secs(1 << 38)));
    assert!(!api.get("").await.head.contains("date: +"));
    emulator.clear_faults();
    emulator.inject(FaultKind::ClockBehind(Duration::MAX));
    api.get("").await.ok();
}
