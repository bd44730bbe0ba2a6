//! The client reads an answer only up to the limit, even if the server declares or sends more.

use std::net::SocketAddr;

use api_keyring_transport::DEFAULT_MAX_RESPONSE_BYTES;
use api_keyring_transport::runtime::{Error, UndecodedReason, UndecodedResponse};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Api, Served, answer_once, serve_once};

const GIBIBYTE: usize = 1 << 30;

/// How many bytes the two sockets of a connection may buffer. Ordinary systems do not let them grow further.
const SOCKET_BUFFERS: usize = 48 << 20;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// How a body tells where it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunks,
    ContentLength,
}

/// Starts a server that sends this head and then a body of one gibibyte. It returns how many bytes it could send.
async fn serve_gibibyte(head: String, framing: Framing) -> (SocketAddr, Served<usize>) {
    serve_once(async move |mut stream: TcpStream| {
        let mut piece = vec![b' '; 64 << 10];
        if framing == Framing::Chunks {
            piece.splice(0..0, *b"10000\r\n");
            piece.extend(b"\r\n");
        }
        let mut sent = 0;
        let mut write = stream.write_all(head.as_bytes()).await;
        while write.is_ok() && sent < GIBIBYTE {
            write = stream.write_all(&piece).await;
            sent += piece.len();
        }
        sent
    })
    .await
}

fn undecoded(error: Error<serde_json::Value>) -> UndecodedResponse {
    match error {
        Error::Undecoded(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_endless_body_is_rejected() {
    for status in [200, 404, 500] {
        for (limit, max_bytes) in [(None, DEFAULT_MAX_RESPONSE_BYTES), (Some(4096), 4096)] {
            let head = CHUNKED.replace("200", &status.to_string());
            let (address, served) = serve_gibibyte(head, Framing::Chunks).await;
            let api = Api::with_settings(address, |builder| match limit {
                Some(limit) => builder.max_response_bytes(limit),
                None => builder,
            });
            let answer = undecoded(api.read().await.unwrap_err());
            // A failure says why in a few words.
            let max_bytes = if status == 200 { max_bytes } else { max_bytes.min(256 << 10) };
            assert_eq!((answer.status().as_u16(), answer.reason()), (status, UndecodedReason::TooLarge { max_bytes }));
            assert!(answer.body().expose().len() <= max_bytes);
            let (_, sent) = served.finish().await;
            assert!(sent < max_bytes + SOCKET_BUFFERS, "the server could send {sent} bytes");
        }
    }
}

#[tokio::test]
async fn a_body_that_declares_its_length_is_read_up_to_the_limit() {
    for max_bytes in [DEFAULT_MAX_RESPONSE_BYTES, 4096] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {GIBIBYTE}\r\n\r\n");
        let (address, served) = serve_gibibyte(head, Framing::ContentLength).await;
        let api = Api::with_settings(address, |builder| builder.max_response_bytes(max_bytes));
        let answer = undecoded(api.read().await.unwrap_err());
        assert_eq!(answer.reason(), UndecodedReason::TooLarge { max_bytes });
        assert_eq!(answer.body().expose().len(), max_bytes, "the part below the limit may hold a secret");
        let (_, sent) = served.finish().await;
        assert!(sent < max_bytes + SOCKET_BUFFERS, "the server could send {sent} bytes");
    }
}

/// Tries bodies one byte below, at and one byte above the limit, with and without a declared length.
#[tokio::test]
async fn the_limit_is_exact() {
    const LIMIT: usize = 100;
    for (length, fits) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
        let body = json!("x".repeat(length - 2)).to_string();
        for answer in [
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"),
            format!("{CHUNKED}{length:x}\r\n{body}\r\n0\r\n\r\n"),
            // Sent byte by byte, so that no single chunk exceeds the limit.
            CHUNKED.to_owned() + &body.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<String>() + "0\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{body}"),
        ] {
            let (address, served) = answer_once(answer.clone()).await;
            let api = Api::with_settings(address, |builder| builder.max_response_bytes(LIMIT));
            match api.read().await {
                Ok(value) => assert!(fits && *value == json!("x".repeat(length - 2)), "{answer}"),
                Err(error) => {
                    let reason = undecoded(error).reason();
                    assert_eq!(reason, UndecodedReason::TooLarge { max_bytes: LIMIT }, "{answer}");
                    assert!(!fits, "{answer}");
                }
            }
            served.finish().await;
        }
    }
}

/// A secret may stand at the start of the body, so the error keeps what the client has read.
#[tokio::test]
async fn the_part_below_the_limit_is_kept() {
    let answer = format!("{CHUNKED}11\r\n{{\"key\":\"sk_live_1\r\n64\r\n{}\r\n", " ".repeat(100));
    // The last chunk is missing, but the limit is the reason why the client rejects the answer.
    let (address, served) = answer_once(answer).await;
    let api = Api::with_settings(address, |builder| builder.max_response_bytes(50));
    let answer = undecoded(api.create().await.unwrap_err());
    assert_eq!(answer.reason(), UndecodedReason::TooLarge { max_bytes: 50 });
    assert!(answer.body().expose().starts_with("{\"key\":\"sk_live_1"), "{:?}", answer.body().expose());
    served.finish().await;
}

#[test]
fn the_default_limit_is_eight_mebibytes() {
    assert_eq!(DEFAULT_MAX_RESPONSE_BYTES, 8 << 20);
}
