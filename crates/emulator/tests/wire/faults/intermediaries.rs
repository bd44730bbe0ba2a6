//! Answers of what stands between the client and the service.

use std::collections::HashSet;

use api_keyring_emulator::{Fault, FaultKind, GatewayForm, Intermediary, MonadErrorShape};
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{Reply, builder, services};

const FORMS: [&str; 11] =
    ["html", "json", "kong", "azure", "google", "problem", "spring", "envoy", "text", "xml", "empty"];

/// Returns whether a careful client can tell that the answer is not one of the vendors'.
fn is_foreign(reply: &Reply) -> bool {
    let media_type = reply.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type != "application/json" {
        return true;
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let code_fits = body["code"].as_u64() == Some(reply.status.into()) || body["code"].is_string();
    let is_sparteras = code_fits && body["message"].is_string();
    let is_monads = body.is_string()
        || body["error"].is_string() && body["error_type"].is_string() && body["code"] == json!(reply.status);
    !is_sparteras && !is_monads
}

#[tokio::test]
async fn a_gateway_answers_in_the_form_of_a_real_one() {
    let emulator = with(&[]).await;
    let mut bodies = HashSet::new();
    for status in [403, 404, 500, 502, 503, 504] {
        for form in FORMS {
            for (api, body) in services(&emulator) {
                emulator.inject(format!("*:gateway-{status}={form}:1").parse::<Fault>().unwrap());
                let reply = api.post("", body).await;
                assert_eq!(reply.status, status, "{form}");
                assert!(is_foreign(&reply), "{form}: {reply:?}");
                assert_eq!(reply.header("content-type").is_none(), form == "empty", "{form}: {reply:?}");
                bodies.insert((status, form, reply.body));
            }
        }
    }
    // The services' own bodies do not matter, so both get the same.
    assert_eq!(bodies.len(), 6 * FORMS.len());
    assert_eq!(count(&emulator), 2, "no request has reached a service");
    assert!(emulator.requests().iter().all(|seen| seen.authenticated_as.is_none()));
}

#[tokio::test]
async fn the_forms_that_look_most_like_the_vendors_are_exact() {
    let emulator = with(&[]).await;
    let [(api, _), _] = services(&emulator);
    for (fault, status, body) in [
        ("gateway-403=json", 403, json!({"message": "Forbidden"})),
        ("gateway-404=azure", 404, json!({"statusCode": 404, "message": "Not Found"})),
        ("gateway-404=google", 404, json!({"code": 5, "message": "Not Found", "details": []})),
        ("gateway-403=google", 403, json!({"code": 7, "message": "Forbidden", "details": []})),
        ("gateway-200=json", 200, json!({"message": "OK"})),
    ] {
        emulator.inject(format!("*:{fault}:1").parse::<Fault>().unwrap());
        let reply = api.get("").await;
        assert_eq!((reply.status, reply.json()), (status, body), "{fault}");
    }
    emulator.inject("*:gateway-404:1".parse::<Fault>().unwrap());
    let reply = api.get("").await;
    assert_eq!((reply.header("content-type"), reply.header("server")), (Some("text/html"), Some("nginx/1.26.2")));
    assert!(String::from_utf8(reply.body).unwrap().contains("<center><h1>404 Not Found</h1></center>"));
    emulator.inject("*:gateway-200:1".parse::<Fault>().unwrap());
    assert!(String::from_utf8(api.get("").await.body).unwrap().contains("Welcome to nginx!"));
}

#[tokio::test]
async fn firewalls_and_portals_have_their_own_statuses() {
    for (fault, status, text) in [
        ("waf", 403, "Sorry, you have been blocked"),
        ("waf=challenge", 403, "Just a moment..."),
        ("waf=akamai", 403, "Reference&#32;"),
        ("waf=f5", 200, "Your support ID is"),
        ("waf=json", 403, "\"code\":1020"),
        ("captive-portal", 200, "<form method=\"post\""),
        ("captive-portal=redirect", 302, ""),
        ("captive-portal=511", 511, "authenticate with the local network"),
    ] {
        for (fault, acts) in [(fault.to_owned(), false), (fault.replacen(['='], "-after=", 1), true)] {
            let fault = if acts && !fault.contains("-after") { format!("{fault}-after") } else { fault };
            let emulator = with(&[&format!("create:{fault}")]).await;
            for (api, body) in services(&emulator) {
                let reply = api.post("", body).await;
                assert_eq!(reply.status, status, "{fault}");
                assert!(is_foreign(&reply), "{fault}: {reply:?}");
                assert!(String::from_utf8_lossy(&reply.body).contains(text), "{fault}: {reply:?}");
                assert_eq!(reply.header("location").is_some(), status == 302, "{fault}");
            }
            assert_eq!(count(&emulator), if acts { 4 } else { 2 }, "{fault}");
        }
    }
}

#[tokio::test]
async fn a_gateway_answers_before_or_after_the_service_acts() {
    for (when, keys) in [("", 2), ("-after", 4)] {
        for status in [200, 403, 404, 502] {
            let fault = format!("create:gateway-{status}{when}=json");
            let emulator = with(&[&fault]).await;
            for (api, body) in services(&emulator) {
                assert_eq!(api.post("", body).await.status, status, "{fault}");
            }
            assert_eq!(count(&emulator), keys, "{fault}");
            let seen = emulator.requests();
            assert!(seen.iter().all(|seen| seen.authenticated_as.is_some() == (keys == 4)), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_status_that_http_does_not_have_is_sent_as_500() {
    let emulator = with(&[]).await;
    let [(api, _), _] = services(&emulator);
    for status in [0, 100, 600, 9999] {
        emulator.inject(Fault::new(FaultKind::Intermediary(Intermediary::gateway(status))).times(1));
        assert_eq!(api.get("").await.status, 500);
    }
}

#[tokio::test]
async fn an_unknown_secret_may_be_answered_with_403() {
    for (fault, forms) in [
        ("*:unknown-is-403", [json!({"message": "Forbidden"}), json!({"message": "Forbidden"})]),
        (
            "*:unknown-is-403=azure",
            [json!({"statusCode": 403, "message": "Forbidden"}), json!({"statusCode": 403, "message": "Forbidden"})],
        ),
        ("*:unknown-is-403=own", [json!({"code": 403, "message": "Permission denied"}), json!("Forbidden")]),
    ] {
        let emulator = with(&[fault, "create:late=1"]).await;
        for ((api, body), form) in services(&emulator).into_iter().zip(forms) {
            let made = api.post("", body).await.ok();
            let secret = made.get("token").unwrap_or(&made["data"]["key"]).as_str().unwrap().to_owned();
            let id = crate::client::id_of(made.get("data").unwrap_or(&made));
            let holder = api.with_key(&secret);
            // Unknown, not known yet, and ended.
            let wrong = api.with_key("sk_live_wrong").get("").await;
            assert_eq!((wrong.status, wrong.json()), (403, form.clone()), "{fault}");
            let late = holder.get("").await;
            assert_eq!((late.status, late.json()), (403, form.clone()), "{fault}");
            holder.get("").await.ok();
            api.delete(&format!("/{id}")).await.ok();
            let ended = holder.get("").await;
            assert_eq!((ended.status, ended.json()), (403, form), "{fault}");
        }
    }
    // The right credential without the right is refused in the service's own words.
    let emulator = with_builder(builder().0.monad_error_shape(MonadErrorShape::Object), &["*:unknown-is-403"]).await;
    let reader = emulator.spartera().add_keys(1).remove(0);
    let [(api, body), _] = services(&emulator);
    let refused = api.with_key(&reader.secret).post("", body).await.refused(403);
    assert_eq!(refused, json!({"code": 403, "message": "Permission denied"}));
    let fault: FaultKind = "unknown-is-403=json".parse().unwrap();
    assert_eq!(fault, FaultKind::UnknownIs403(Some(GatewayForm::Json)));
}
