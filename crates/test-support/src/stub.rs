//! A mock server with a single answer, and a client of it.

use httpmock::MockServer;

use crate::Recorder;

/// A mock server that gives every request the same answer, and a client `C` of that server.
///
/// A test starts one stub and changes its answers. A new client would load the machine's certificates, which takes
/// longer than any call.
pub struct Stub<C> {
    server: MockServer,
    client: C,
}

impl<C> Stub<C> {
    /// Starts a server. `connect` makes the client from the server's base URL.
    pub async fn start(connect: impl FnOnce(&str) -> C) -> Self {
        let server = MockServer::start_async().await;
        let client = connect(&server.base_url());
        Self { server, client }
    }

    /// Returns the client.
    pub fn client(&self) -> &C {
        &self.client
    }

    /// Returns the server's base URL.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// Gives every later request this answer, as JSON. Returns the client, so that a test can call it at once.
    pub async fn answer_with(&self, status: u16, body: impl AsRef<[u8]>) -> &C {
        self.server.reset_async().await;
        self.server
            .mock_async(|_, then| {
                then.status(status).header("content-type", "application/json").body(body);
            })
            .await;
        &self.client
    }

    /// Records every later request and answers it with a failure.
    pub async fn record(&self) -> Recorder {
        let recorder = Recorder::default();
        self.server.reset_async().await;
        self.server
            .mock_async(|when, then| {
                recorder.record(when);
                then.status(500).body("\"no\"");
            })
            .await;
        recorder
    }
}
