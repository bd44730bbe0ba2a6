//! Records the requests that a mock server receives.

use std::sync::{Arc, Mutex};

use httpmock::{HttpMockRequest, When};
use serde_json::Value;

/// A request as the server received it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// All headers, in the order in which they arrived.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// Returns the values of all headers with this name.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Asserts the whole request of a client that authenticates with this API key.
    #[track_caller]
    pub fn assert_is(&self, api_key: &str, method: &str, target: &str, body: Option<Value>) {
        assert_eq!((self.method.as_str(), self.target.as_str()), (method, target));
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        // The length is checked below. A POST without a body has this header, and a GET does not.
        names.retain(|name| *name != "content-length");
        let mut expected = vec!["accept", "accept-encoding", "host", "user-agent", "x-api-key"];
        if body.is_some() {
            expected.insert(2, "content-type");
            assert_eq!(self.header("content-type"), ["application/json"]);
        }
        assert_eq!(names, expected, "the request has these headers, each once, and no others");
        assert_eq!(self.header("x-api-key"), [api_key]);
        assert_eq!(self.header("accept"), ["application/json"]);
        assert_eq!(self.header("accept-encoding"), ["identity"]);
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

/// Records the last request that a mock compares with its expectation.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Option<Sent>>>);

impl Recorder {
    /// Makes a mock write to this recorder. The mock still matches the same requests.
    pub fn record(&self, when: When) -> When {
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

    /// Returns the last request, and forgets it.
    #[track_caller]
    pub fn sent(&self) -> Sent {
        self.0.lock().unwrap().take().expect("the mock receives a request")
    }
}
