//! An id that could change the path, or anything else of a request, is refused before a connection is opened.

use std::io::ErrorKind;
use std::net::TcpListener;

use spartera_raw::Error;

use crate::support::{COMPANY, KEY, Operation, client};

fn hostile_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        ".hidden",
        "/",
        "a/b",
        "../b",
        "a/..",
        "\\",
        "a\\b",
        "%2e%2e",
        "%2E%2E",
        "%2f",
        "a%2fb",
        "\0",
        "a\0b",
        "\r\n",
        "a\r\nx-admin: 1",
        "a\r",
        "a\n",
        "\na",
        "é",
        "aé",
        "а",
        "\u{2024}\u{2024}",
        " ",
        "a b",
        " a",
        "a ",
        "\t",
        "?x",
        "a?x=1",
        "#x",
        "a#x",
        "a;b",
        "a:b",
        "a@b",
        "a&b",
        "{id}",
        "~a",
        "a.b",
        "\u{7f}",
        "\u{202e}a",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.push("a".repeat(256));
    ids.push("a".repeat(300));
    ids.push("é".repeat(200));
    ids
}

#[tokio::test]
async fn a_hostile_id_opens_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    for operation in Operation::ALL {
        for id in hostile_ids() {
            let mut calls = vec![(&*id, KEY)];
            if operation.has_key() {
                calls.push((COMPANY, &*id));
            }
            for (company, key) in calls {
                let error = operation.call(&client, company, key).await.unwrap_err();
                assert!(matches!(error, Error::InvalidRequest(_)), "{operation:?} {id:?}: {error:?}");
                assert!(error.status().is_none());
            }
        }
    }
    // A connection would wait here by now: connecting ends when the listener's queue has it.
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The listener above would see a connection, and the ids are not refused for some other reason.
#[tokio::test]
async fn a_harmless_id_opens_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let longest = "a".repeat(255);
    for id in ["a", "-", "_", "0", "--", "A-Z_a_z-9", KEY, COMPANY, &*longest] {
        for operation in Operation::ALL {
            let listener = listener.try_clone().unwrap();
            let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
            let error = operation.call(&client, id, id).await.unwrap_err();
            assert!(matches!(error, Error::Communication(_)), "{operation:?} {id:?}: {error:?}");
            server.join().unwrap();
        }
    }
}
