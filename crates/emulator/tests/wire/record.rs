//! The record of requests, and the secrets that it must not contain.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring_emulator::{Emulator, Fault, Operation, Provider};
use serde_json::json;

use crate::client::{Api, builder};

#[tokio::test]
async fn every_request_is_recorded_with_its_outcome() {
    let (builder, clock) = builder();
    let emulator = builder.start().await.unwrap();
    let (api, company) = (Api::spartera(&emulator), emulator.spartera().company_id());
    let body = json!({"company_id": company, "role_id": 3});
    let size = body.to_string().len();
    api.post("", body).await.ok();
    clock.advance(Duration::from_secs(5));
    Api::monad(&emulator).get("?limit=1").await.ok();
    api.with_header("").get("/").await.refused(404);
    api.with_key("wrong").delete("/1001").await.refused(401);

    let seen = emulator.requests();
    assert_eq!(seen.len(), 4);

    let admin = emulator.spartera().admin_key();
    assert_eq!(seen[0].time, "2026-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!(seen[0].provider, Some(Provider::Spartera));
    assert_eq!(seen[0].operation, Some(Operation::Create));
    assert_eq!(seen[0].operation.unwrap().to_string(), "create_api_key");
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].target, api.keys);
    assert_eq!(seen[0].status, 200);
    assert_eq!(seen[0].credential, Some(format!("sk_****{}", &admin[admin.len() - 4..])));
    assert_eq!(seen[0].authenticated_as.as_deref(), Some("1001"));
    assert_eq!(seen[0].body_size, size);
    let mut headers = seen[0].headers.clone();
    headers.sort();
    assert_eq!(headers, ["connection", "content-length", "content-type", "host", "x-api-key"]);

    let token = emulator.monad().admin_key();
    assert_eq!(seen[1].time, "2026-01-01T00:00:05Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!(seen[1].provider.unwrap().to_string(), "monad");
    assert_eq!(seen[1].operation, Some(Operation::List));
    assert!(seen[1].target.ends_with("/api_keys?limit=1"), "{}", seen[1].target);
    assert_eq!(seen[1].credential, Some(format!("eyJ****{}", &token[token.len() - 4..])));

    assert_eq!((seen[2].provider, seen[2].operation), (None, None));
    assert_eq!((seen[2].status, seen[2].credential.as_deref()), (404, None));

    assert_eq!(seen[3].operation, Some(Operation::Delete));
    assert_eq!((seen[3].status, seen[3].credential.as_deref()), (401, Some("****")));
    assert_eq!(seen[3].authenticated_as, None);

    emulator.clear_requests();
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn no_part_of_a_request_leaks_a_secret_into_the_record() {
    let emulator = Emulator::start().await.unwrap();
    let secrets = [emulator.spartera().admin_key(), emulator.monad().admin_key()];
    let api = Api::spartera(&emulator);
    for secret in &secrets {
        api.with_key(secret).get(&format!("?search={secret}")).await;
        api.get(&format!("/{secret}")).await.refused(404);
        api.get(&format!("/companies/{secret}/elsewhere")).await.refused(404);
        api.send("POST", "", Some(("application/json", &json!({"name": secret}).to_string()))).await.refused(400);
        api.with_header(&format!("Authorization: Bearer {secret}")).get("").await.refused(401);
        api.with_header(&format!("Authorization: {secret}")).get("").await.refused(401);
        let broken = secret.replace('_', "%5F");
        api.get(&format!("?search={broken}%zz")).await.ok();
        api.get(&format!("?search={}", secret.replace('_', "%255F"))).await.ok();
    }
    // The secret stands in place of the method, and of a header name.
    let spartera = &secrets[0];
    api.send(spartera, "", None).await.refused(405);
    api.with_header(&format!("{}\r\n{spartera}: 1", api.credential)).get("").await.ok();
    let shown = format!("{:?}", emulator.requests());
    for secret in secrets.iter().chain([&secrets[0].to_ascii_lowercase()]) {
        assert!(!shown.contains(&secret[8..]), "{shown}");
    }
    api.send(&"x".repeat(1000), "", None).await.refused(405);
    assert_eq!(emulator.requests().pop().unwrap().method, "x".repeat(32));
    assert!(shown.contains("search=sk_****"), "{shown}");
}

#[tokio::test]
async fn the_oldest_requests_are_forgotten() {
    let emulator = Emulator::builder().record_limit(2).start().await.unwrap();
    let api = Api::spartera(&emulator);
    for page in 1..=3 {
        api.get(&format!("?page={page}")).await.ok();
    }
    let targets: Vec<_> = emulator.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, [format!("{}?page=2", api.keys), format!("{}?page=3", api.keys)]);

    let emulator = Emulator::builder().record_limit(0).start().await.unwrap();
    Api::spartera(&emulator).get("").await.ok();
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn the_observer_sees_every_request_as_a_line_without_a_secret() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&lines);
    let (builder, _) = builder();
    let builder = builder.record_limit(0).observe(move |seen| observed.lock().unwrap().push(seen.to_string()));
    let builder = builder.fault("list:delay=0ms:1".parse::<Fault>().unwrap());
    let emulator = builder.fault("get:reset-after".parse::<Fault>().unwrap()).start().await.unwrap();
    let api = Api::spartera(&emulator);
    api.get("").await.ok();
    api.send_raw("GET", "/1001", None).await;
    api.with_key("sk_live_abcdefghijklmnopqrstuvwxyz1234").get("").await.refused(401);
    api.with_header("").get("/").await.refused(404);
    let list = format!("2026-01-01T00:00:00Z spartera list GET {}", api.keys);
    let get = format!("2026-01-01T00:00:00Z spartera get GET {}/1001", api.keys);
    let expected = [
        format!("{list} -> 200 by 1001 (delay=0ms)"),
        format!("{get} -> reset by 1001 (reset-after)"),
        format!("{list} -> 401 with sk_****1234"),
        "2026-01-01T00:00:00Z - - GET / -> 404".to_owned(),
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
    assert!(emulator.requests().is_empty());
}
