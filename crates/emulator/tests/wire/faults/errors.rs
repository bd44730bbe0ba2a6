//! Errors that nobody has deserved, and answers that send the client elsewhere.

use std::time::Duration;

use api_keyring_emulator::{ErrorStatus, FaultKind, MonadErrorShape, RetryAfter};
use serde_json::json;

use super::{count, recorded, with, with_builder};
use crate::client::{builder, services};

#[tokio::test]
async fn a_status_comes_in_each_services_own_form_and_nothing_is_done() {
    let emulator = with(&["*:status=503"]).await;
    let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
    let refused = spartera.post("", spartera_body).await.refused(503);
    assert_eq!(refused, json!({"code": 503, "message": "Service Unavailable"}));
    assert_eq!(monad.post("", monad_body).await.refused(503), json!("Service Unavailable"));
    assert_eq!(count(&emulator), 2);
    assert!(emulator.requests().iter().all(|seen| seen.status == 503 && seen.authenticated_as.is_none()));
}

#[tokio::test]
async fn monads_error_object_carries_it_too() {
    let emulator = with_builder(builder().0.monad_error_shape(MonadErrorShape::Object), &["*:status=429"]).await;
    let [_, (monad, _)] = services(&emulator);
    let expected = json!({
        "error": "Too Many Requests", "error_type": "too_many_requests", "code": 429, "additional_details": null
    });
    assert_eq!(monad.get("").await.refused(429), expected);
}

#[tokio::test]
async fn a_status_after_the_service_acted_hides_what_it_did() {
    let emulator = with(&["create:status-after=504,retry-after=1"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.post("", body).await;
        assert_eq!(reply.status, 504);
        assert!(reply.has_header("retry-after: 1"));
    }
    assert_eq!(count(&emulator), 4);
    assert!(emulator.requests().iter().all(|seen| seen.status == 504 && seen.authenticated_as.is_some()));
}

#[tokio::test]
async fn each_form_of_retry_after_is_sent() {
    let emulator = with(&[
        "spartera.get:status=429:1",
        "spartera.get:status=429,retry-after=2:1",
        "spartera.get:status=429,retry-after-date=90s:1",
        "spartera.get:status=429,retry-after-body=4:1",
        "monad.list:status=429,retry-after=5:1",
    ])
    .await;
    let [(spartera, _), (monad, _)] = services(&emulator);
    let silent = spartera.get("/1001").await;
    assert_eq!(silent.refused(429), json!({"code": 429, "message": "Too Many Requests"}));
    assert!(!silent.head.contains("retry-after"), "{}", silent.head);
    let seconds = spartera.get("/1001").await;
    assert_eq!(seconds.refused(429), json!({"code": 429, "message": "Too Many Requests", "retry_after": 2}));
    assert!(seconds.has_header("retry-after: 2"), "{}", seconds.head);
    let date = spartera.get("/1001").await;
    assert_eq!(date.refused(429), json!({"code": 429, "message": "Too Many Requests"}));
    assert!(date.has_header("retry-after: Thu, 01 Jan 2026 00:01:30 GMT"), "{}", date.head);
    assert!(date.has_header("date: Thu, 01 Jan 2026 00:00:00 GMT"), "{}", date.head);
    let body = spartera.get("/1001").await;
    assert_eq!(body.refused(429), json!({"code": 429, "message": "Too Many Requests", "retry_after": 4}));
    assert!(!body.head.contains("retry-after"), "{}", body.head);
    spartera.get("/1001").await.ok();
    let text = monad.get("").await;
    assert_eq!(text.refused(429), json!("Too Many Requests"));
    assert!(text.has_header("retry-after: 5"), "{}", text.head);
    monad.get("").await.ok();
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
    assert_eq!(count(&emulator), 5, "what was refused was not done");
    let limit = "rate-limit=2/10s";
    assert_eq!(recorded(&emulator), ["", "", limit, "", limit, "", limit]);
}

#[tokio::test]
async fn what_is_no_error_is_sent_as_500() {
    let emulator = with(&[]).await;
    let [(api, _), _] = services(&emulator);
    emulator.inject(FaultKind::Status(ErrorStatus::new(200).retry_after(RetryAfter::Seconds(1))));
    assert_eq!(api.get("").await.status, 500);
    emulator.clear_faults();
    emulator.inject(FaultKind::HtmlStatus(99));
    assert_eq!(api.get("").await.status, 500);
}

#[tokio::test]
async fn a_redirect_names_another_address_and_does_nothing() {
    let emulator = with(&["create:redirect=http://127.0.0.1:9/elsewhere:2"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.post("", body).await;
        assert_eq!((reply.status, reply.body.len()), (307, 0));
        assert!(reply.has_header("location: http://127.0.0.1:9/elsewhere"), "{}", reply.head);
    }
    assert_eq!(count(&emulator), 2);
    let redirect = "redirect=http://127.0.0.1:9/elsewhere";
    assert_eq!(recorded(&emulator), [redirect, redirect]);
}

#[tokio::test]
async fn the_date_can_be_wrong() {
    let emulator = with(&["list:clock-ahead=5m:1", "list:clock-behind=1h:1", "list:status=503:1"]).await;
    let [(api, _), _] = services(&emulator);
    let failed = api.get("").await;
    assert_eq!(failed.status, 503);
    assert!(failed.has_header("date: Thu, 01 Jan 2026 00:05:00 GMT"), "{}", failed.head);
    let behind = api.get("").await;
    assert!(behind.has_header("date: Wed, 31 Dec 2025 23:00:00 GMT"), "{}", behind.head);
    assert!(!api.get("").await.head.contains("Jan 2026 00:0"));
    // A date that HTTP cannot write is not written.
    emulator.inject(FaultKind::ClockAhead(Duration::from_secs(1 << 38)));
    assert!(!api.get("").await.head.contains("date: +"));
    emulator.clear_faults();
    emulator.inject(FaultKind::ClockBehind(Duration::MAX));
    api.get("").await.ok();
}
