//! Requests that reach no operation, and misbehaving connections.

use std::collections::VecDeque;
use std::time::Duration;

use api_keyring_emulator::{Emulator, Fault};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Api, raw};

const LIMIT: usize = 1 << 20;

#[tokio::test]
async fn unknown_paths_get_404_in_the_services_own_words() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::spartera(&emulator);
    let spartera = json!({"code": 404, "message": "Path not found"});
    for path in
        ["/", "/companies", "/companies/c", "/companies/c/api-keys/", "/companies//api-keys", "/companies/c/api_keys"]
    {
        assert_eq!(api.get(path).await.refused(404), spartera, "{path}");
    }
    for path in ["/1/revoke/now", "/1/regenerate", "/%zz", "/%ff"] {
        assert_eq!(api.get(path).await.refused(404), spartera, "{path}");
    }
    let api = Api::monad(&emulator);
    for path in ["/api/v1/o/api_keys", "/api/v2/o/api-keys", "/api/v2/o/api_keys/", "/api/", "/1/revoke", "/1/stats"] {
        assert_eq!(api.get(path).await.refused(404), json!("Path not found"), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_gets_405_with_the_valid_methods() {
    let emulator = Emulator::start().await.unwrap();
    let spartera = json!({"code": 405, "message": "Method not allowed"});
    for (method, path, allow) in [
        ("PUT", "", "GET, POST"),
        ("DELETE", "", "GET, POST"),
        ("POST", "/1", "GET, PATCH, DELETE"),
        ("GET", "/1/revoke", "POST"),
        ("POST", "/1/stats", "GET"),
        ("OPTIONS", "/1", "GET, PATCH, DELETE"),
        ("HEAD", "/1/stats", "GET"),
        ("DELETE", "/1/revoke", "POST"),
    ] {
        let reply = Api::spartera(&emulator).send(method, path, None).await;
        assert_eq!(reply.status, 405, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.json(), spartera, "{method} {path}");
        }
        assert!(reply.has_header(&format!("allow: {allow}")), "{}", reply.head);
    }
    for (method, path, allow) in
        [("PUT", "", "GET, POST"), ("POST", "/1", "GET, PATCH, DELETE"), ("GET", "/1/regenerate", "POST")]
    {
        let reply = Api::monad(&emulator).send(method, path, None).await;
        assert_eq!(reply.refused(405), json!("Method not allowed"), "{method} {path}");
        assert!(reply.has_header(&format!("allow: {allow}")), "{}", reply.head);
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused() {
    let emulator = Emulator::start().await.unwrap();
    let (spartera, monad) = (Api::spartera(&emulator), Api::monad(&emulator));
    let largest = " ".repeat(LIMIT);
    let larger = " ".repeat(LIMIT + 1);
    spartera.send("POST", "", Some(("application/json", &largest))).await.refused(400);
    let refused = spartera.send("POST", "", Some(("application/json", &larger))).await.refused(413);
    assert_eq!(refused, json!({"code": 413, "message": "Request body is too large"}));
    monad.send("POST", "", Some(("application/json", &largest))).await.refused(400);
    let reply = monad.send("POST", "", Some(("application/json", &larger))).await;
    assert_eq!(reply.refused(413), json!("Request body is too large"));
    assert!(reply.has_header("connection: close"));
    spartera.get("").await.ok();
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_long_is_refused_at_once() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::spartera(&emulator);
    let head = format!("POST {} HTTP/1.1\r\nHost: emulator\r\n{}\r\n", api.keys, api.credential);
    let huge = format!("{head}Content-Length: 104857600\r\n\r\n");
    assert_eq!(raw(emulator.address(), huge.as_bytes()).await.status, 413);
    let polite = format!("{head}Content-Length: 2097152\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(raw(emulator.address(), polite.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn chunked_bodies_are_read_and_limited() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::monad(&emulator);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: emulator\r\n{}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        api.keys, api.credential
    );
    let body = r#"{"name":"x","role_id":"role-admin","expiration_time":"2999-01-01T00:00:00Z"}"#;
    let (one, two) = body.split_at(10);
    let good = format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    raw(emulator.address(), good.as_bytes()).await.ok();
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
    let long = format!("{head}{}0\r\n\r\n", chunk.repeat(17));
    raw(emulator.address(), long.as_bytes()).await.refused(413);
}

#[tokio::test]
async fn an_incomplete_body_has_its_own_error() {
    let emulator = Emulator::start().await.unwrap();
    let spartera = json!({"code": 400, "message": "Request body is incomplete"});
    let expected = [spartera, json!("Request body is incomplete")];
    for (api, expected) in [Api::spartera(&emulator), Api::monad(&emulator)].into_iter().zip(expected) {
        let head = format!("POST {} HTTP/1.1\r\nHost: emulator\r\n{}\r\n", api.keys, api.credential);
        let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\nnot a length\r\n");
        let reply = raw(emulator.address(), broken.as_bytes()).await;
        assert_eq!(reply.refused(400), expected);
        assert!(reply.has_header("connection: close"), "{}", reply.head);
    }
}

/// Sends an incomplete request, and returns the answer and the time until the end of the connection.
///
/// Tokio's time is paused, so a timer fires as soon as all tasks are idle.
async fn send_incomplete(emulator: &Emulator, half: &str) -> (String, Duration) {
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    let begun = tokio::time::Instant::now();
    socket.write_all(half.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_too_slow_gets_408() {
    let emulator = Emulator::start().await.unwrap();
    let limit = Duration::from_secs(30)..Duration::from_secs(31);
    let spartera = r#"{"code":408,"message":"Request timed out"}"#;
    let expected = [spartera, "\"Request timed out\""];
    for (api, expected) in [Api::spartera(&emulator), Api::monad(&emulator)].into_iter().zip(expected) {
        let head = format!("POST {} HTTP/1.1\r\nHost: emulator\r\n{}\r\n", api.keys, api.credential);
        let (answer, time) = send_incomplete(&emulator, &format!("{head}Content-Length: 10\r\n\r\n{{")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("connection: close"), "{head}");
        assert_eq!(body, expected);
        assert!(limit.contains(&time), "{time:?}");
    }
    // Without a complete head, the emulator closes the connection without an answer.
    for half in ["", "GET /companies/c/api-keys HTTP/1.1\r\nHost: "] {
        let (answer, time) = send_incomplete(&emulator, half).await;
        assert_eq!(answer, "");
        assert!(limit.contains(&time), "{time:?}");
    }
    assert_eq!(emulator.requests().len(), 2);
}

#[tokio::test]
async fn malformed_requests_do_not_stop_the_emulator() {
    let emulator = Emulator::start().await.unwrap();
    let many_headers: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long_header = format!("GET / HTTP/1.1\r\nx-long: {}\r\n\r\n", "a".repeat(70_000));
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nConnection: close\r\n{many_headers}\r\n"), 431),
        (long_header, 431),
    ] {
        assert_eq!(raw(emulator.address(), request.as_bytes()).await.status, status, "{request:.40}");
    }
    // One connection sends nothing, and one stops in the middle of a request.
    let _silent = TcpStream::connect(emulator.address()).await.unwrap();
    let mut incomplete = TcpStream::connect(emulator.address()).await.unwrap();
    incomplete.write_all(b"POST /companies/c/api-keys HTTP/1.1\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    Api::spartera(&emulator).get("").await.ok();
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::spartera(&emulator);
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    for last in [false, false, true] {
        let connection = if last { "close" } else { "keep-alive" };
        let request =
            format!("GET {} HTTP/1.1\r\nHost: e\r\n{}\r\nConnection: {connection}\r\n\r\n", api.keys, api.credential);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut start = [0; 15];
        socket.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        // Reads the rest of the answer, which ends with the list.
        let mut rest = Vec::new();
        while !rest.ends_with(b"]}") {
            rest.push(socket.read_u8().await.unwrap());
        }
    }
    assert_eq!(emulator.requests().len(), 3);
}

/// Returns whether the emulator closes the connection.
async fn is_closed(mut socket: TcpStream) -> bool {
    let end = tokio::time::timeout(Duration::from_secs(20), socket.read(&mut [0; 1])).await;
    end.is_ok_and(|end| end.unwrap_or(0) == 0)
}

#[tokio::test]
async fn ten_thousand_idle_connections_lock_out_no_client() {
    let emulator = Emulator::builder().connection_limit(64).start().await.unwrap();
    let api = Api::spartera(&emulator);
    let mut idle = VecDeque::new();
    for number in 0..10_000 {
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        if number % 2 == 0 {
            // A connection with half of a head counts as idle, like one without any bytes.
            socket.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
        }
        idle.push_back(socket);
        if idle.len() > 100
            && let Some(oldest) = idle.pop_front()
        {
            assert!(is_closed(oldest).await, "{number}");
        }
        if number % 1000 == 999 {
            api.get("").await.ok();
        }
    }
    assert_eq!(emulator.requests().len(), 10);
}

/// Returns a connection whose request the emulator is reading, and the rest of the request.
async fn busy(emulator: &Emulator, api: &Api) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    let body = json!({"company_id": emulator.spartera().company_id(), "role_id": 3});
    let request = api.keep_alive_request("POST", "", Some(body)).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    socket.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    (socket, body.to_owned())
}

/// Sends the rest of the request, and expects a 200.
async fn finish(socket: &mut TcpStream, rest: &str) {
    socket.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_waiting_client_replaces_a_connection_that_has_become_idle() {
    let emulator = Emulator::builder().connection_limit(1).start().await.unwrap();
    let api = Api::spartera(&emulator);
    let (mut socket, rest) = busy(&emulator, &api).await;
    let idle = TcpStream::connect(emulator.address()).await.unwrap();
    let waiting = tokio::spawn(async move { api.get("").await.ok() });
    finish(&mut socket, &rest).await;
    waiting.await.unwrap();
    assert!(is_closed(idle).await);
}

#[tokio::test]
async fn a_busy_connection_is_not_closed_for_another() {
    let emulator = Emulator::builder().connection_limit(2).start().await.unwrap();
    let api = Api::spartera(&emulator);
    let (mut socket, rest) = busy(&emulator, &api).await;
    for _ in 0..10 {
        let idle = TcpStream::connect(emulator.address()).await.unwrap();
        api.get("").await.ok();
        drop(idle);
    }
    finish(&mut socket, &rest).await;
}

/// Returns a connection that has sent all but the last byte of the longest body.
async fn almost(emulator: &Emulator, api: &Api) -> TcpStream {
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nHost: emulator\r\n{}\r\n", api.keys, api.credential);
    let body = " ".repeat(LIMIT - 1);
    socket.write_all(format!("{head}Content-Length: {LIMIT}\r\n\r\n{body}").as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn slow_bodies_are_bounded_together() {
    let emulator = Emulator::builder().connection_limit(200).start().await.unwrap();
    let api = Api::spartera(&emulator);
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(almost(&emulator, &api).await);
    }
    // A client with a short body is served.
    let body = json!({"company_id": emulator.spartera().company_id(), "role_id": 3});
    api.post("", body).await.ok();
    // All bodies together may hold 32 MiB, so the emulator gives up the others.
    let given_up = async {
        while slow.len() > 32 {
            tokio::task::yield_now().await;
            slow.retain(|socket| {
                let mut answer = vec![0; 1024];
                let Ok(size) = socket.try_read(&mut answer) else { return true };
                let answer = String::from_utf8_lossy(&answer[..size]);
                assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
                assert!(answer.ends_with(r#"{"code":503,"message":"Too many request bodies at once"}"#), "{answer}");
                false
            });
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_up).await.expect("the emulator gives bodies up");
    // It may have given up one more for the short body.
    assert!(slow.len() >= 31, "{}", slow.len());
    // The others still wait for their client.
    let mut patient = slow.pop().unwrap();
    patient.write_all(b" ").await.unwrap();
    let mut answer = [0; 12];
    patient.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 415", "the body has no media type");
}

#[tokio::test]
async fn slow_answers_are_bounded_together() {
    let emulator =
        Emulator::builder().fault("monad.list:slow-body=1h".parse::<Fault>().unwrap()).start().await.unwrap();
    let api = Api::monad(&emulator);
    emulator.monad().add_keys(4000);
    let mut slow = VecDeque::new();
    // Each answer is more than 300 KB.
    for _ in 0..150 {
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        let request = api.keep_alive_request("GET", "?limit=1000", None);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut start = [0; 15];
        socket.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        slow.push_back(socket);
    }
    let mut oldest = slow.pop_front().unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), oldest.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the oldest connection has ended");
    let newest = slow.pop_back().unwrap();
    // Reads what has arrived, and then nothing.
    let mut buffer = vec![0; 1 << 16];
    while newest.try_read(&mut buffer).is_ok_and(|size| size > 0) {}
    assert_eq!(newest.try_read(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the newest goes on");
}
