//! The emulator's own paths.

use api_keyring_emulator::{Emulator, Fault};
use serde_json::{Value, json};

use crate::client::{Api, Reply, builder, raw, services};

/// Returns a client without a credential, because the paths need none.
fn control(emulator: &Emulator) -> Api {
    let keys = "/_emulator/".to_owned();
    Api { address: emulator.address(), keys, credential: String::new() }
}

async fn inject(api: &Api, faults: &str) -> Reply {
    api.send("POST", "faults", Some(("text/plain", faults))).await
}

#[tokio::test]
async fn the_paths_are_closed_by_default() {
    let emulator = Emulator::start().await.unwrap();
    let api = control(&emulator);
    for path in ["faults", "requests", "changes", "keys"] {
        api.get(path).await.refused(404);
    }
    inject(&api, "*:reset-before").await.refused(404);
    assert_eq!(emulator.requests().len(), 5);
}

#[tokio::test]
async fn faults_are_injected_shown_and_cleared() {
    let emulator = Emulator::builder().control(true).fault("*:flaky".parse::<Fault>().unwrap()).start().await.unwrap();
    let api = control(&emulator);
    let all = json!(["*:flaky", "create:reset-after:2@3", "monad.get:delay=1s"]);
    assert_eq!(inject(&api, "create:reset-after:2@3\n\n monad.get:delay=1s \r\n").await.ok(), all);
    for (wrong, message) in [("get:html\nget:explode", "`explode` is not a fault"), ("", "needs a fault")] {
        let refused = inject(&api, wrong).await.refused(400);
        assert!(refused["errors"]["fault"][0].as_str().unwrap().contains(message), "{refused}");
    }
    assert_eq!(api.get("faults").await.ok(), all, "a body with a wrong line injects nothing");
    assert_eq!(api.delete("faults").await.ok(), json!([]));
    assert_eq!(api.get("faults").await.ok(), json!([]));
}

#[tokio::test]
async fn the_records_are_returned_without_a_secret() {
    let (builder, _) = builder();
    let emulator = builder.control(true).start().await.unwrap();
    let api = control(&emulator);
    inject(&api, "spartera.create:reset-after:1").await.ok();
    for (service, body) in services(&emulator) {
        let request = service.keep_alive_request("POST", "", Some(body)).replace("Host", "Connection: close\r\nHost");
        crate::client::read_until_end(service.address, request.as_bytes()).await;
    }
    let requests = api.get("requests").await.ok();
    let expected = json!({
        "time": "2026-01-01T00:00:00Z", "provider": "spartera", "operation": "create", "method": "POST",
        "status": 0, "authenticated_as": "1001", "faults": ["reset-after"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&requests[0][name], value, "{name}");
    }
    assert_eq!(requests.as_array().unwrap().len(), 2, "the emulator's own paths are not recorded");

    let changes = api.get("changes").await.ok();
    let created = json!({
        "time": "2026-01-01T00:00:00Z", "provider": "spartera", "kind": "created", "key_id": "1002", "serial": 2,
        "name": "new", "replaces": null, "by": "1001",
    });
    assert_eq!(changes[2], created);
    let keys = api.get("keys").await.ok();
    let key = json!({
        "provider": "spartera", "id": "1002", "serial": 2, "created": "2026-01-01T00:00:00Z", "name": "new",
        "status": "active", "live_secrets": 1,
    });
    assert_eq!((&keys[1], keys.as_array().unwrap().len()), (&key, 4));

    let shown = format!("{requests}{changes}{keys}");
    for secret in [emulator.spartera().admin_key(), emulator.monad().admin_key()] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    assert_eq!(api.delete("requests").await.ok(), Value::from(Vec::<Value>::new()));
    api.delete("changes").await.ok();
    assert!(emulator.requests().is_empty() && emulator.changes().is_empty());
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let emulator = Emulator::builder().control(true).start().await.unwrap();
    let api = control(&emulator);
    api.get("").await.refused(404);
    api.get("secrets").await.refused(404);
    for (path, allow) in [("faults", "GET, POST, DELETE"), ("requests", "GET, DELETE"), ("keys", "GET")] {
        let reply = api.send("PUT", path, None).await;
        reply.refused(405);
        assert!(reply.has_header(&format!("allow: {allow}")), "{}", reply.head);
    }
}

/// Sends a request with these lines in the head.
async fn with_head(emulator: &Emulator, line: &str, head: &str) -> Reply {
    raw(emulator.address(), format!("{line} HTTP/1.1\r\nConnection: close\r\n{head}\r\n").as_bytes()).await
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_path() {
    let emulator = Emulator::builder().control(true).fault("*:flaky".parse::<Fault>().unwrap()).start().await.unwrap();
    let port = emulator.address().port();
    let other = port ^ 1;
    for host in [
        "".to_owned(),
        "Host:\r\n".to_owned(),
        format!("Host: rebound.example:{port}\r\n"),
        format!("Host: 127.0.0.1.rebound.example:{port}\r\n"),
        format!("Host: localhost.rebound.example:{port}\r\n"),
        format!("Host: rebound.example@127.0.0.1:{port}\r\n"),
        format!("Host: 127.0.0.1:{port}@rebound.example\r\n"),
        format!("Host: 127.0.0.1:{other}\r\n"),
        "Host: 127.0.0.1\r\n".to_owned(),
        format!("Host: 0.0.0.0:{port}\r\n"),
        format!("Host: 127.0.0.1:{port}, rebound.example\r\n"),
        format!("Host: 127.0.0.1:{port}\r\nHost: rebound.example:{port}\r\n"),
        format!("Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n"),
        format!("Host: rebound.example:{port}\r\nX-Forwarded-Host: 127.0.0.1:{port}\r\n"),
    ] {
        for line in ["GET /_emulator/keys", "DELETE /_emulator/faults", "POST /_emulator/faults", "GET /_emulator/none"]
        {
            let refused = with_head(&emulator, line, &host).await.refused(403);
            assert!(refused["message"].as_str().unwrap().contains("Host header"), "{host}: {refused}");
        }
    }
    // A target that names the host counts more than the header.
    let target = format!("GET http://rebound.example:{port}/_emulator/keys");
    with_head(&emulator, &target, &format!("Host: 127.0.0.1:{port}\r\n")).await.refused(403);
    assert_eq!(control(&emulator).get("faults").await.ok(), json!(["*:flaky"]), "no request has changed anything");
}

#[tokio::test]
async fn a_foreign_origin_is_refused_even_with_the_right_host() {
    let emulator = Emulator::builder().control(true).start().await.unwrap();
    let port = emulator.address().port();
    let other = port ^ 1;
    let fault = "*:reset-before";
    for origin in [
        "http://evil.example".to_owned(),
        "https://evil.example".to_owned(),
        "null".to_owned(),
        "".to_owned(),
        "file://".to_owned(),
        format!("http://localhost:{other}"),
        "http://localhost".to_owned(),
        format!("https://localhost:{port}"),
        format!("http://localhost.evil.example:{port}"),
        format!("http://evil.example:{port}"),
        format!("chrome-extension://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}\r\nOrigin: http://evil.example"),
    ] {
        let head = format!(
            "Host: 127.0.0.1:{port}\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n",
            fault.len()
        );
        let request = format!("POST /_emulator/faults HTTP/1.1\r\nConnection: close\r\n{head}\r\n{fault}");
        let refused = raw(emulator.address(), request.as_bytes()).await.refused(403);
        assert!(refused["message"].as_str().unwrap().contains("Origin header"), "{origin}: {refused}");
        with_head(&emulator, "GET /_emulator/keys", &format!("Host: localhost:{port}\r\nOrigin: {origin}\r\n"))
            .await
            .refused(403);
    }
    assert_eq!(control(&emulator).get("faults").await.ok(), json!([]));
}

#[tokio::test]
async fn every_name_of_the_loopback_address_is_accepted() {
    let emulator = Emulator::builder().control(true).start().await.unwrap();
    let port = emulator.address().port();
    for name in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"] {
        let host = format!("Host: {name}:{port}\r\n");
        with_head(&emulator, "GET /_emulator/keys", &host).await.ok();
        with_head(&emulator, "GET /_emulator/keys", &format!("{host}Origin: http://{name}:{port}\r\n")).await.ok();
        with_head(&emulator, &format!("GET http://{name}:{port}/_emulator/keys"), &host).await.ok();
    }
    // The services themselves have no such rule: their credential protects them.
    let [(api, _), _] = services(&emulator);
    let head = format!("Host: api.spartera.com\r\nOrigin: http://evil.example\r\n{}\r\n", api.credential);
    with_head(&emulator, &format!("GET {}", api.keys), &head).await.ok();
}
