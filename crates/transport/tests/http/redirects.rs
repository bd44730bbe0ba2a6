//! No redirect is followed: a credential in a header of its own would go along to any host.

use std::time::Duration;

use api_keyring_test_support::UnansweredListener;
use api_keyring_transport::reqwest::redirect::Policy;
use api_keyring_transport::reqwest::{self, StatusCode};
use api_keyring_transport::runtime::{Error, UndecodedReason};

use crate::support::{Api, answer_once};

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Settings of a caller who wants redirects to be followed. The bystander never answers: whoever is led there fails.
fn redirecting() -> reqwest::ClientBuilder {
    let policy = Policy::limited(10);
    reqwest::Client::builder().redirect(policy).timeout(Duration::from_secs(5))
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn another_host_sees_nothing() {
    for status in REDIRECTS {
        for caller_wants_redirects in [false, true] {
            for creates in [false, true] {
                let other = UnansweredListener::bind();
                let target = format!("http://{}/keys", other.address());
                let (address, served) = answer_once(redirect(status, &target)).await;
                let api = Api::with_settings(address, |builder| match caller_wants_redirects {
                    true => builder.http_client_builder(redirecting()),
                    false => builder,
                });
                let call = if creates { api.create().await } else { api.read().await };
                let Error::Undecoded(answer) = call.unwrap_err() else { panic!("{status} is an answer") };
                assert_eq!(answer.status(), status);
                assert_eq!(answer.reason(), UndecodedReason::UndocumentedStatus);
                assert!(answer.to_string().contains("redirect"), "{answer}");
                assert_eq!(answer.headers()["location"], target, "the caller may look at it");
                served.finish().await;
                assert!(!other.has_connection(), "{status}");
            }
        }
    }
}

/// The same host is no exception: a 303 would turn a create into a read, a 307 would create twice.
#[tokio::test]
async fn the_same_host_is_asked_once() {
    for status in REDIRECTS {
        // The server fails on a second connection, and the first one ends with its answer.
        let (address, served) = answer_once(redirect(status, "/elsewhere")).await;
        let error = Api::new(address).create().await.unwrap_err();
        assert_eq!(error.status(), Some(StatusCode::from_u16(status).unwrap()));
        served.finish().await;
    }
}

/// The bystander does notice a client that follows redirects.
#[tokio::test]
async fn a_client_that_is_not_hardened_reaches_the_other_host() {
    let other = UnansweredListener::bind();
    let (address, _served) = answer_once(redirect(307, &format!("http://{}/", other.address()))).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = tokio::spawn(client.get(format!("http://{address}/")).send());
    while !other.has_connection() {
        tokio::task::yield_now().await;
    }
    call.abort();
}
