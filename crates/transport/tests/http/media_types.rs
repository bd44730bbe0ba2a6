//! The media type and the encoding of an answer. Only the documented ones are decoded.

use api_keyring_transport::runtime::{Error, UndecodedReason};

use crate::support::{Api, answer_once};

async fn undecoded(head: &str, body: &[u8]) -> Result<(), (UndecodedReason, String, Vec<u8>)> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    let (address, served) = answer_once(answer).await;
    let outcome = Api::new(address).create().await;
    let (request, ()) = served.finish().await;
    assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
    match outcome {
        Ok(_) => Ok(()),
        Err(Error::Undecoded(answer)) => Err((answer.reason(), answer.to_string(), answer.bytes().to_vec())),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_json_is_decoded() {
    for head in [
        "content-type: application/json\r\n",
        "Content-Type: Application/JSON; charset=utf-8\r\n",
        "content-type: application/json\r\ncontent-encoding: identity\r\n",
    ] {
        assert_eq!(undecoded(head, b"{}").await, Ok(()), "{head}");
    }
    for (head, shown) in [
        ("", "without a media type"),
        ("content-type: text/html\r\n", "text/html instead of application/json"),
        ("content-type: text/plain; charset=utf-8\r\n", "text/plain instead of"),
        ("content-type: application/problem+json\r\n", "application/problem+json instead of"),
        ("content-type: application/json\r\ncontent-type: text/html\r\n", "instead of application/json"),
        ("content-type: application/jsonp\r\n", "another media type"),
        ("content-type: \r\n", "another media type"),
    ] {
        let (reason, text, body) = undecoded(head, b"{}").await.unwrap_err();
        assert_eq!(reason, UndecodedReason::UnexpectedMediaType, "{head}");
        assert!(text.contains(shown) || head.contains("json\r\ncontent-type"), "{head}: {text}");
        assert_eq!(body, b"{}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let head = "content-type: application/json\r\n";
    assert_eq!(undecoded(head, b"\xEF\xBB\xBF{}").await, Ok(()));
    let (reason, _, body) = undecoded(head, b"\xEF\xBB\xBF\xEF\xBB\xBF{}").await.unwrap_err();
    assert_eq!((reason, body.len()), (UndecodedReason::UnexpectedBody { line: 1, column: 1 }, 8));
}

#[tokio::test]
async fn an_encoded_answer_is_kept_byte_for_byte() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for (encoding, shown) in [
        ("gzip", "the encoding gzip"),
        ("BR", "the encoding br"),
        ("zstd", "the encoding zstd"),
        ("gzip, br", "an encoding"),
        ("sk_live_canary", "an encoding"),
    ] {
        let head = format!("content-type: application/json\r\ncontent-encoding: {encoding}\r\n");
        let (reason, text, body) = undecoded(&head, &gzip).await.unwrap_err();
        assert_eq!((reason, body.as_slice()), (UndecodedReason::Encoded, &gzip[..]), "{encoding}");
        assert!(text.contains(shown) && !text.contains("canary"), "{text}");
    }
}
