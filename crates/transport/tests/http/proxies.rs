//! Plain http goes to this machine, and past any proxy, which would see the credential.

use std::time::Duration;

use api_keyring_test_support::UnansweredListener;
use api_keyring_transport::reqwest::{self, Proxy};

use crate::support::{Api, answer_once};

fn through(proxy: &UnansweredListener) -> reqwest::ClientBuilder {
    let proxy = format!("http://{}", proxy.address());
    let client = reqwest::Client::builder().proxy(Proxy::all(&proxy).unwrap());
    // The proxy never answers: whoever goes through it fails rather than waits.
    client.timeout(Duration::from_secs(5))
}

#[tokio::test]
async fn a_proxy_does_not_see_plain_http() {
    let proxy = UnansweredListener::bind();
    let (address, served) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let api = Api::with_settings(address, |builder| builder.http_client_builder(through(&proxy)));
    api.create().await.unwrap();
    let (head, ()) = served.finish().await;
    assert!(head.starts_with("post /keys http/1.1\r\n"), "not a proxy's form of request: {head}");
    assert!(!proxy.has_connection());
}

/// The bystander does notice a client that goes through it.
#[tokio::test]
async fn a_client_that_is_not_hardened_goes_through_the_proxy() {
    let proxy = UnansweredListener::bind();
    let client = through(&proxy).build().unwrap();
    let call = tokio::spawn(client.get("http://127.0.0.1:9/").send());
    while !proxy.has_connection() {
        tokio::task::yield_now().await;
    }
    call.abort();
}
