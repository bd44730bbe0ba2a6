//! The client follows no redirects, because it would send a credential in an `x-api-key` header to any host.

use std::time::Duration;

use api_keyring_test_support::UnansweredListener;
use api_keyring_transport::reqwest::redirect::Policy;
use api_keyring_transport::reqwest::{self, StatusCode};
use api_keyring_transport::runtime::{Error, UndecodedReason};

use crate::support::{Api, answer_once};

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Returns settings that enable redirects. The other host never answers, so a redirected request fails after the
/// timeout.
fn redirecting() -> reqwest::ClientBuilder {
    let policy = Policy::limited(10);
    reqwest::Client::builder().redirect(policy).timeout(Duration::from_secs(5))
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn another_host_receives_nothing() {
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
                let Error::Undecoded(answer) = call.unwrap_err() else { panic!("{status} must be an answer") };
                assert_eq!(answer.status(), status);
                assert_eq!(answer.reason(), UndecodedReason::UndocumentedStatus);
                assert!(answer.to_string().contains("redirect"), "{answer}");
                assert_eq!(answer.headers()["location"], target, "the caller can read the location");
                served.finish().await;
                assert!(!other.has_connection(), "{status}");
            }
        }
    }
}

/// Redirects to the same host are harmful, too: a 303 turns a create into a read, and a 307 creates twice.
#[tokio::test]
async fn the_same_host_receives_one_request() {
    for status in REDIRECTS {
        // The server closes the first connection after its answer, and fails on a second one.
        let (address, served) = answer_once(redirect(status, "/elsewhere")).await;
        let error = Api::new(address).create().await.unwrap_err();
        assert_eq!(error.status(), Some(StatusCode::from_u16(status).unwrap()));
        served.finish().await;
    }
}

/// Checks the tests above: the listener detects a client that follows redirects.
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
