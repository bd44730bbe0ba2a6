//! Plain http bypasses every proxy, because a proxy would see the credential.

use std::time::Duration;

use api_keyring_test_support::UnansweredListener;
use api_keyring_transport::reqwest::{self, Proxy};

use crate::support::{Api, answer_once};

fn client_through(proxy: &UnansweredListener) -> reqwest::ClientBuilder {
    let proxy = format!("http://{}", proxy.address());
    let client = reqwest::Client::builder().proxy(Proxy::all(&proxy).unwrap());
    // The proxy never answers, so a request through it fails after this timeout.
    client.timeout(Duration::from_secs(5))
}

#[tokio::test]
async fn a_proxy_does_not_see_plain_http() {
    let proxy = UnansweredListener::bind();
    let (address, served) =
        answer_once("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    let api = Api::with_settings(address, |builder| builder.http_client_builder(client_through(&proxy)));
    api.create().await.unwrap();
    let (head, ()) = served.finish().await;
    assert!(head.starts_with("post /keys http/1.1\r\n"), "the request must not have the form for a proxy: {head}");
    assert!(!proxy.has_connection());
}

/// Checks the test above: the listener detects a client that goes through it.
#[tokio::test]
async fn a_client_that_is_not_hardened_goes_through_the_proxy() {
    let proxy = UnansweredListener::bind();
    let client = client_through(&proxy).build().unwrap();
    let call = tokio::spawn(client.get("http://127.0.0.1:9/").send());
    while !proxy.has_connection() {
        tokio::task::yield_now().await;
    }
    call.abort();
}
