//! The client rejects an id that could change the request before it opens a connection.

use std::net::TcpListener;

use api_keyring_test_support::UnansweredListener;
use api_keyring_test_support::samples::hostile_ids;
use monad_raw::Error;

use crate::support::{KEY, ORGANIZATION, Operation, client};

#[tokio::test]
async fn a_hostile_id_opens_no_connection() {
    let listener = UnansweredListener::bind();
    let client = client(&format!("http://{}", listener.address()));
    let ids = hostile_ids();
    for operation in Operation::ALL {
        for id in &ids {
            let mut calls = vec![(id.as_str(), KEY)];
            if operation.has_key() {
                calls.push((ORGANIZATION, id));
            }
            for (organization, key) in calls {
                let error = operation.call(&client, organization, key).await.unwrap_err();
                assert!(matches!(error, Error::InvalidRequest(_)), "{operation:?} {id:?}: {error:?}");
                assert!(error.status().is_none());
            }
        }
    }
    assert!(!listener.has_connection());
}

/// Checks the test above: the listener detects connections, and the client does not reject every id.
#[tokio::test]
async fn a_harmless_id_opens_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let longest = "a".repeat(255);
    for id in ["a", "-", "_", "~", "0", "a.b", "a..", "A-Z_a~z.9", KEY, ORGANIZATION, &*longest] {
        for operation in Operation::ALL {
            let listener = listener.try_clone().unwrap();
            let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
            let error = operation.call(&client, id, id).await.unwrap_err();
            assert!(matches!(error, Error::Communication(_)), "{operation:?} {id:?}: {error:?}");
            server.join().unwrap();
        }
    }
}
