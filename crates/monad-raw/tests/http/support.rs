//! What the tests of every subject share.

use std::sync::{Arc, Mutex};

use httpmock::{HttpMockRequest, MockServer, When};
use monad_raw::{Client, Credential, Error, types};
use serde_json::Value;

/// Ids with every kind of character that may stand in one.
pub(crate) const ORGANIZATION: &str = "3f0d2b1c-0A.b~c_9";
pub(crate) const KEY: &str = "~Key-1_2.3";

pub(crate) const SECRET: &str = "mk_test_0123456789";

/// A client with an API key.
pub(crate) fn client(base_url: &str) -> Client {
    Client::connect(base_url, Credential::api_key(SECRET).unwrap()).unwrap()
}

/// A server that gives every request the same answer, and a client of it.
///
/// Both are made once a test: making an HTTP client loads the machine's certificates, which takes longer than any call.
pub(crate) struct Stub {
    server: MockServer,
    pub(crate) client: Client,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        Self::with(Credential::api_key(SECRET).unwrap()).await
    }

    pub(crate) async fn with(credential: Credential) -> Self {
        let server = MockServer::start_async().await;
        let client = Client::connect(&server.base_url(), credential).unwrap();
        Self { server, client }
    }

    /// From now on, every request is answered like this. The client, for a call to follow.
    pub(crate) async fn answers(&self, status: u16, body: impl AsRef<[u8]>) -> &Client {
        self.server.reset_async().await;
        self.server
            .mock_async(|_, then| {
                then.status(status).header("content-type", "application/json").body(body);
            })
            .await;
        &self.client
    }

    /// From now on, every request is taken down, and answered with a failure.
    pub(crate) async fn records(&self) -> Recorder {
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

/// Every operation, for what has to hold of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    List,
    Create,
    Get,
    Update,
    Delete,
    Regenerate,
}

impl Operation {
    pub(crate) const ALL: [Self; 6] =
        [Self::List, Self::Create, Self::Get, Self::Update, Self::Delete, Self::Regenerate];

    /// Whether a key's id stands in its path.
    pub(crate) fn has_key(self) -> bool {
        !matches!(self, Self::List | Self::Create)
    }

    /// Whether its answer shows a token.
    pub(crate) fn issues(self) -> bool {
        matches!(self, Self::Create | Self::Regenerate)
    }

    /// Calls it with these ids and the smallest body there is. What it returns is the answer's `Debug`.
    pub(crate) async fn call(
        self,
        client: &Client,
        organization: &str,
        key: &str,
    ) -> Result<String, Error<types::Error>> {
        match self {
            Self::List => {
                let call = client.list_api_keys().organization_id(organization);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Create => {
                let call = client.create_api_key().organization_id(organization).body(new_key());
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Get => {
                let call = client.get_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Update => {
                let call = client.update_api_key().organization_id(organization).api_key_id(key);
                let call = call.body(types::UpdateApiKeyRequest::builder().name("ci"));
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Delete => {
                let call = client.delete_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Regenerate => {
                let call = client.regenerate_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
        }
    }
}

/// The smallest body of a create.
pub(crate) fn new_key() -> types::builder::CreateApiKeyRequest {
    types::CreateApiKeyRequest::builder().name("ci").role_id("role-reader").expiration_time("2030-01-01T00:00:00Z")
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    /// The values of every header of this name.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Pins the whole request of a client that was given an API key.
    #[track_caller]
    pub(crate) fn assert_is(&self, method: &str, target: &str, body: Option<Value>) {
        assert_eq!((self.method.as_str(), self.target.as_str()), (method, target));
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        // The length is checked below: an empty body of a POST has one, that of a GET has none.
        names.retain(|name| *name != "content-length");
        let mut expected = vec!["accept", "host", "user-agent", "x-api-key"];
        if body.is_some() {
            expected.insert(1, "content-type");
            assert_eq!(self.header("content-type"), ["application/json"]);
        }
        assert_eq!(names, expected, "no header but these, and each once");
        assert_eq!(self.header("x-api-key"), [SECRET]);
        assert_eq!(self.header("accept"), ["application/json"]);
        assert!(self.header("user-agent")[0].starts_with("api-keyring/"), "{self:?}");
        for length in self.header("content-length") {
            assert_eq!(length, self.body.len().to_string());
        }
        match body {
            Some(body) => assert_eq!(serde_json::from_slice::<Value>(&self.body).unwrap(), body),
            None => assert!(self.body.is_empty(), "{self:?}"),
        }
    }
}

/// Takes down the requests that a mock is offered.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Option<Sent>>>);

impl Recorder {
    /// Lets a mock write into this recorder. The mock matches what it matched before.
    pub(crate) fn record(&self, when: When) -> When {
        let slot = Arc::clone(&self.0);
        when.is_true(move |request: &HttpMockRequest| {
            let uri = request.uri();
            *slot.lock().unwrap() = Some(Sent {
                method: request.method_str().to_owned(),
                target: uri.path_and_query().unwrap().to_string(),
                headers: request.headers_vec().clone(),
                body: request.body_vec(),
            });
            true
        })
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn sent(&self) -> Sent {
        self.0.lock().unwrap().take().expect("a request was offered to the mock")
    }
}
