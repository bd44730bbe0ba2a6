//! Connections that fail, break or stall: whether the service may have acted, and which part of the answer the error
//! keeps.

use std::time::Duration;

use api_keyring_transport::runtime::{CommunicationError, Error, UndecodedReason};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Api, CREDENTIAL, answer_once, serve_once};

fn communication(error: Error<Value>) -> CommunicationError {
    assert!(error.status().is_none() && error.headers().is_none());
    match error {
        Error::Communication(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_hook_sets_the_credential() {
    let (address, served) =
        answer_once("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    Api::new(address).read().await.unwrap();
    let (head, ()) = served.finish().await;
    assert!(head.contains(&format!("\r\nx-api-key: {CREDENTIAL}\r\n")), "{head}");
    assert!(head.contains("\r\nuser-agent: api-keyring/"), "{head}");
    assert!(head.contains("\r\naccept-encoding: identity\r\n"), "{head}");
}

#[tokio::test]
async fn a_caller_can_set_the_user_agent() {
    let (address, served) =
        answer_once("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    Api::with_settings(address, |builder| builder.user_agent("my-tool/1")).read().await.unwrap();
    let (head, ()) = served.finish().await;
    assert!(head.contains("\r\nuser-agent: my-tool/1\r\n"), "{head}");
}

#[tokio::test]
async fn a_refused_connection_sends_nothing() {
    // The socket is bound and does not listen: no other process gets the port, and the system refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let error = communication(Api::new(address).create().await.unwrap_err());
    assert!(error.was_surely_not_sent() && !error.is_timeout(), "{error:?}");
    let expected = format!("cannot connect to http://{address}: connection refused; nothing was sent");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_leaves_the_outcome_unknown() {
    // The server fails on a second connection, so this proves that the client sends nothing twice.
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-le", "garbage\r\n\r\n"] {
        let (address, served) = answer_once(answer).await;
        let error = communication(Api::new(address).create().await.unwrap_err());
        assert!(!error.was_surely_not_sent() && !error.is_timeout(), "{answer:?}: {error:?}");
        assert!(error.to_string().contains("may have acted"), "{error}");
        served.finish().await;
    }
}

#[tokio::test]
async fn an_incomplete_body_is_kept() {
    for (head, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", "{\"key\": \"sk_live_1"),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", ""),
        // The part that arrived is valid JSON, but it is not the whole answer.
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", "{}"),
        ("HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", "<html>"),
        ("HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", "\"no"),
    ] {
        let (address, served) = answer_once(format!("{head}{body}")).await;
        let Error::Undecoded(answer) = Api::new(address).create().await.unwrap_err() else {
            panic!("{head:?} must be an answer")
        };
        assert_eq!(answer.reason(), UndecodedReason::Interrupted { timeout: false }, "{head:?}");
        assert!(head.contains(&format!(" {} ", answer.status().as_u16())), "{head:?}");
        assert_eq!(answer.body().expose(), body);
        served.finish().await;
    }
    // The server announces a second chunk and does not send it.
    let chunked =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"key\r\n40\r\n";
    let (address, served) = answer_once(chunked).await;
    let Error::Undecoded(answer) = Api::new(address).create().await.unwrap_err() else { panic!("must be an answer") };
    assert_eq!(answer.reason(), UndecodedReason::Interrupted { timeout: false });
    assert_eq!(answer.body().expose(), "{\"key");
    served.finish().await;
}

/// Sends nothing, and returns when the client has closed the connection.
async fn wait_for_close(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // Reads the request's body. The result does not matter: the client may close or reset the connection.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_missing_answer_is_a_timeout() {
    let (address, served) = serve_once(wait_for_close).await;
    let api = Api::with_settings(address, |builder| builder.timeout(Duration::from_millis(50)));
    let error = communication(api.create().await.unwrap_err());
    assert!(error.is_timeout() && !error.was_surely_not_sent(), "{error:?}");
    assert!(error.to_string().contains("in time"), "{error}");
    served.finish().await;
}

#[tokio::test]
async fn a_body_without_an_end_is_a_timeout() {
    // On a busy machine the head may be late, which is another error. The test then allows more time.
    for milliseconds in [50, 500, 5_000] {
        let (address, served) = serve_once(async |mut stream: TcpStream| {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"key\": \"sk_live_1";
            stream.write_all(answer).await.unwrap();
            wait_for_close(stream).await;
        })
        .await;
        let api = Api::with_settings(address, |builder| builder.timeout(Duration::from_millis(milliseconds)));
        let error = api.create().await.unwrap_err();
        served.finish().await;
        if let Error::Undecoded(answer) = error {
            assert_eq!(answer.reason(), UndecodedReason::Interrupted { timeout: true });
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.body().expose(), "{\"key\": \"sk_live_1");
            return;
        }
        assert!(communication(error).is_timeout());
    }
    panic!("the head is late, even with the longest timeout");
}
