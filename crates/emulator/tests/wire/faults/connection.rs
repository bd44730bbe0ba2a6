//! Resets, broken bodies, and pauses.

use std::io::ErrorKind;
use std::time::Duration;

use api_keyring_emulator::{ChangeKind, Emulator, Fault, FaultKind};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{count, recorded, with, with_builder};
use crate::client::{builder, services};

#[tokio::test]
async fn a_reset_before_changes_nothing() {
    let emulator = with(&["*:reset-before"]).await;
    let before = (emulator.keys(), emulator.changes());
    for (api, body) in services(&emulator) {
        let reply = api.send_raw("POST", "", Some(body)).await;
        assert!(reply.reset && reply.bytes.is_empty(), "{reply:?}");
    }
    assert_eq!((emulator.keys(), emulator.changes()), before);
    for seen in emulator.requests() {
        assert_eq!((seen.status, seen.authenticated_as), (0, None));
        assert_eq!(seen.faults, [FaultKind::ResetBefore]);
        assert!(seen.body_size > 0, "the request has arrived");
    }
}

#[tokio::test]
async fn a_reset_after_happens_after_the_service_acted() {
    let emulator = with(&["create:reset-after"]).await;
    emulator.clear_changes();
    for (done, (api, body)) in services(&emulator).into_iter().enumerate() {
        let reply = api.send_raw("POST", "", Some(body)).await;
        assert!(reply.reset && reply.bytes.is_empty(), "{reply:?}");
        assert_eq!(count(&emulator), 2 + done + 1);
        assert_eq!(emulator.changes()[done].kind, ChangeKind::Created);
        api.get("").await.ok();
    }
    let seen = emulator.requests();
    assert_eq!(seen[0].authenticated_as.as_deref(), Some("1001"));
    assert_eq!(recorded(&emulator), ["reset-after", "", "reset-after", ""]);
}

#[tokio::test]
async fn a_reset_body_breaks_off_halfway() {
    let emulator = with(&["create:reset-body"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.send_raw("POST", "", Some(body)).await;
        assert!(reply.reset, "{reply:?}");
        assert!(reply.text().starts_with("HTTP/1.1 200 OK\r\n"), "{reply:?}");
        assert_eq!(reply.body().len(), reply.announced() / 2, "{reply:?}");
        assert!(!reply.body().is_empty());
    }
    assert_eq!(count(&emulator), 4);
    assert!(emulator.requests().iter().all(|seen| seen.status == 200));
}

#[tokio::test]
async fn a_truncated_body_is_short_and_the_connection_closes() {
    let emulator = with(&["create:truncate"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.send_raw("POST", "", Some(body)).await;
        assert!(!reply.reset, "{reply:?}");
        assert_eq!(reply.body().len(), reply.announced() / 2, "{reply:?}");
        assert!(!reply.body().is_empty());
    }
    assert_eq!(count(&emulator), 4);
}

#[tokio::test]
async fn earlier_requests_of_a_connection_are_answered_before_its_reset() {
    let emulator = with(&["get:reset-after"]).await;
    let [(api, _), _] = services(&emulator);
    let both = api.keep_alive_request("GET", "", None) + &api.keep_alive_request("GET", "/1001", None);
    let reply = crate::client::read_until_end(emulator.address(), both.as_bytes()).await;
    assert!(reply.reset);
    assert_eq!(recorded(&emulator), ["", "reset-after"]);
}

#[tokio::test]
async fn an_endless_body_does_not_end() {
    let emulator = with(&["create:endless"]).await;
    for (api, body) in services(&emulator) {
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("POST", "", Some(body)).as_bytes()).await.unwrap();
        let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
        let mut start = Vec::new();
        // This is far more than a client should accept, and more than all buffers in between can hold.
        while read < 32 << 20 {
            let size = socket.read(&mut buffer).await.unwrap();
            assert!(size > 0, "the body has ended after {read} bytes");
            if start.len() < 256 {
                start.extend_from_slice(&buffer[..size]);
            }
            read += size;
        }
        let start = String::from_utf8_lossy(&start).into_owned();
        assert!(start.starts_with("HTTP/1.1 200 OK\r\n") && start.contains("transfer-encoding: chunked"), "{start}");
        assert!(start.contains("\r\n1\r\n[\r\n"), "{start}");
    }
    assert_eq!(count(&emulator), 4, "the service has acted");
    emulator.shutdown().await;
}

/// Returns whether the system refuses a connection. The call blocks the thread, so paused time does not advance.
fn is_refused(emulator: &Emulator) -> bool {
    std::net::TcpStream::connect(emulator.address()).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn connections_can_be_refused_and_accepted_again() {
    let emulator = Emulator::start().await.unwrap();
    let [(api, _), _] = services(&emulator);
    let mut open = TcpStream::connect(emulator.address()).await.unwrap();
    api.get("").await.ok();
    for _ in 0..2 {
        emulator.refuse_connections().await;
        assert!(is_refused(&emulator));
        assert_eq!(open.read(&mut [0; 1]).await.unwrap_or(0), 0, "the open connection has ended");
        emulator.accept_connections().await;
        api.get("").await.ok();
    }
    assert_eq!(emulator.requests().len(), 3);
    emulator.refuse_connections().await;
    emulator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusing_service_does_not_act_and_comes_back() {
    let emulator = with_builder(builder().0.control(true), &[]).await;
    for (api, body) in services(&emulator) {
        emulator.clear_requests();
        emulator.inject("create:refuse=1h:1".parse::<Fault>().unwrap());
        // Another client's connection, which has been served and is idle.
        let mut other = TcpStream::connect(emulator.address()).await.unwrap();
        let request = format!("GET /_emulator/keys HTTP/1.1\r\nHost: {}\r\n\r\n", emulator.address());
        other.write_all(request.as_bytes()).await.unwrap();
        let mut begun = [0; 15];
        other.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200 OK");
        let before = count(&emulator);

        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("POST", "", Some(body.clone())).as_bytes()).await.unwrap();
        let ended = socket.read(&mut [0; 1]).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut rest = Vec::new();
        // The connection may close or be reset; it only has to end.
        let end = tokio::time::timeout(Duration::from_secs(20), other.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the other connection has ended");
        // The emulator refuses every connection.
        assert!(is_refused(&emulator));
        assert_eq!(count(&emulator), before);
        assert_eq!(recorded(&emulator), ["refuse=1h"]);
        tokio::time::sleep(Duration::from_secs(3599)).await;
        assert!(is_refused(&emulator));
        tokio::time::sleep(Duration::from_secs(2)).await;
        api.post("", body).await.ok();
        assert_eq!(count(&emulator), before + 1);
    }
}

/// While tokio's time is paused, a timer fires as soon as all tasks are idle. Sockets do not follow that time, so the
/// test measures the pauses in tokio's time instead of the machine's.
#[tokio::test(start_paused = true)]
async fn a_delay_passes_before_the_service_acts() {
    let (builder, clock) = builder();
    let emulator = with_builder(builder, &["create:delay=7s"]).await;
    for (api, body) in services(&emulator) {
        let before = count(&emulator);
        let begun = Instant::now();
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("POST", "", Some(body)).as_bytes()).await.unwrap();
        // After this sleep in tokio's time, the request has arrived.
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(count(&emulator), before, "the service has not acted yet");
        clock.advance(Duration::from_secs(7));
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
        assert_eq!(count(&emulator), before + 1);
    }
    assert_eq!(recorded(&emulator), ["delay=7s", "delay=7s"]);
    // The service acted after the pause, and not before.
    assert_eq!(emulator.changes()[2].time.to_rfc3339(), "2026-01-01T00:00:07+00:00");
    assert_eq!(emulator.changes()[3].time.to_rfc3339(), "2026-01-01T00:00:14+00:00");
}

#[tokio::test(start_paused = true)]
async fn the_service_acts_for_a_client_that_has_given_up() {
    let emulator = with(&["create:delay=7s"]).await;
    for (api, body) in services(&emulator) {
        let before = count(&emulator);
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("POST", "", Some(body)).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        drop(socket);
        assert_eq!(count(&emulator), before);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(count(&emulator), before + 1);
    }
    assert_eq!(recorded(&emulator), ["delay=7s", "delay=7s"]);
}

#[tokio::test(start_paused = true)]
async fn delayed_requests_are_bounded_together() {
    let emulator = with_builder(builder().0.connection_limit(2), &["create:delay=1h"]).await;
    let [(api, body), _] = services(&emulator);
    // Each client gives up at once, so the number of connections bounds nothing.
    for _ in 0..8 {
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("POST", "", Some(body.clone())).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..3 {
        api.post("", body.clone()).await.refused(503);
    }
    assert_eq!(count(&emulator), 2);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(count(&emulator), 10, "the delayed requests have not been lost");
    emulator.clear_faults();
    api.post("", body).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_does_nothing_after_the_shutdown() {
    let emulator = with(&["create:delay=20s"]).await;
    let handle = emulator.spartera();
    let [(api, body), _] = services(&emulator);
    let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
    socket.write_all(api.keep_alive_request("POST", "", Some(body)).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    emulator.shutdown().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(handle.add_keys(1)[0].id, "1002", "the delayed create made no key");
}

#[tokio::test]
async fn refusing_and_accepting_at_once_both_return() {
    let emulator = with(&[]).await;
    for _ in 0..100 {
        let both = async { tokio::join!(emulator.refuse_connections(), emulator.accept_connections()) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("both calls return");
        emulator.accept_connections().await;
    }
    assert!(!is_refused(&emulator));
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_arrives_byte_by_byte() {
    let emulator = with(&["list:slow-body=100ms"]).await;
    for (api, _) in services(&emulator) {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(emulator.address()).await.unwrap();
        socket.write_all(api.keep_alive_request("GET", "", None).as_bytes()).await.unwrap();
        let (mut received, mut arrivals, mut buffer) = (Vec::new(), 0, [0; 4096]);
        let body = loop {
            let size = socket.read(&mut buffer).await.unwrap();
            assert!(size > 0);
            arrivals += 1;
            received.extend_from_slice(&buffer[..size]);
            let text = String::from_utf8_lossy(&received);
            if let Some((_, body)) = text.split_once("\r\n\r\n")
                && serde_json::from_str::<Value>(body).is_ok()
            {
                break body.to_owned();
            }
        };
        let length = u32::try_from(body.len()).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(100) * length, "{:?}", begun.elapsed());
        // Some bytes may arrive together if the reader is late, but not all of them.
        assert!(arrivals > 10, "{arrivals}");
    }
}
