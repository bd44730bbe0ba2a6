//! A mock server that expects one exact request.

use httpmock::{Mock, MockServer};
use serde_json::Value;

use crate::Recorder;

/// A mock server and a recorder, which together check the exact request of a client.
pub struct Expectation {
    /// The server. A test adds its mock here.
    pub server: MockServer,
    /// The recorder. A test passes its mock's conditions through [`Recorder::record`].
    pub recorder: Recorder,
    api_key: &'static str,
}

impl Expectation {
    /// Starts a server that expects a client to authenticate with this API key.
    pub async fn start(api_key: &'static str) -> Self {
        Self { server: MockServer::start_async().await, recorder: Recorder::default(), api_key }
    }

    /// Returns the server's base URL.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// Asserts that the mock received exactly one request, and that it is this one.
    #[track_caller]
    pub fn assert_sent(&self, mock: &Mock<'_>, method: &str, target: &str, body: Option<Value>) {
        mock.assert();
        self.recorder.sent().assert_is(self.api_key, method, target, body);
    }
}
