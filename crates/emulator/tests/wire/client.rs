//! A minimal HTTP client.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use api_keyring_emulator::{Emulator, EmulatorBuilder, ManualClock, MonadErrorShape, Revision, SparteraShape};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The time at which every test starts.
pub(crate) const START: &str = "2026-01-01T00:00:00Z";

/// Returns a builder of an emulator whose clock stands at [`START`], and that clock.
pub(crate) fn builder() -> (EmulatorBuilder, ManualClock) {
    let clock = ManualClock::new(START.parse().unwrap());
    (Emulator::builder().clock(clock.clone()), clock)
}

/// Returns every combination of revision and shape.
pub(crate) fn variants() -> impl Iterator<Item = (Revision, SparteraShape)> {
    [Revision::Documented, Revision::Current]
        .into_iter()
        .flat_map(|revision| [SparteraShape::Documented, SparteraShape::Guide].map(|shape| (revision, shape)))
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        assert!(self.has_header("content-type: application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a success and returns its body.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.assert_usual_headers();
        self.json()
    }

    /// Asserts an error with `status` and returns its body.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.assert_usual_headers();
        self.json()
    }

    /// Asserts that the head has the headers of every answer, and none that belong to another status.
    #[track_caller]
    fn assert_usual_headers(&self) {
        let length = self.body.len().to_string();
        assert_eq!(self.header("content-length"), Some(length.as_str()), "{}", self.head);
        assert!(self.header("date").is_some_and(|date| date.ends_with(" GMT")), "{}", self.head);
        assert_eq!(self.header("allow").is_some(), self.status == 405, "{}", self.head);
        let may_ask_to_wait = matches!(self.status, 429 | 503);
        assert!(self.header("retry-after").is_none() || may_ask_to_wait, "{}", self.head);
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|known| known.eq_ignore_ascii_case(line))
    }
}

/// Sends bytes, which need not be HTTP, and reads the whole answer.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut response = Vec::new();
    let reading = socket.read_to_end(&mut response);
    // The server may close before it has read everything. The socket then reports a reset after the answer.
    match tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the emulator answers in time") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a complete head");
    let head = String::from_utf8(response[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, body: response[end + 4..].to_vec() }
}

/// A client for the keys of one company or organization, with one credential.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    /// The path of the list.
    pub(crate) keys: String,
    /// The header that contains the credential.
    pub(crate) credential: String,
}

impl Api {
    pub(crate) fn spartera(emulator: &Emulator) -> Self {
        let service = emulator.spartera();
        Self {
            address: emulator.address(),
            keys: format!("/companies/{}/api-keys", service.company_id()),
            credential: format!("x-api-key: {}", service.admin_key()),
        }
    }

    pub(crate) fn monad(emulator: &Emulator) -> Self {
        let service = emulator.monad();
        Self {
            address: emulator.address(),
            keys: format!("/api/v2/{}/api_keys", service.organization_id()),
            credential: format!("Authorization: Bearer {}", service.admin_key()),
        }
    }

    /// Returns the same client with another secret.
    pub(crate) fn with_key(&self, secret: &str) -> Self {
        Self { credential: format!("x-api-key: {secret}"), ..self.clone() }
    }

    /// Returns the same client with `header` in place of the credential.
    pub(crate) fn with_header(&self, header: &str) -> Self {
        Self { credential: header.to_owned(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(("application/json", &body.to_string()))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some(("application/json", &body.to_string()))).await
    }

    /// Sends a request. `path` is relative to the list, or absolute.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Reply {
        let path = if path.starts_with("/api/") || path.starts_with("/companies") || path == "/" {
            path.to_owned()
        } else {
            format!("{}{path}", self.keys)
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if !self.credential.is_empty() {
            request.push_str(&self.credential);
            request.push_str("\r\n");
        }
        if let Some((content_type, body)) = body {
            if !content_type.is_empty() {
                request.push_str(&format!("Content-Type: {content_type}\r\n"));
            }
            request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            request.push_str("\r\n");
        }
        raw(self.address, request.as_bytes()).await
    }
}

/// The bytes that a connection returned, and whether it ended with a reset.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reset: bool,
}

impl RawReply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Returns the bytes after the head.
    pub(crate) fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").expect("the answer has a complete head").1.to_owned()
    }

    /// Returns the length that the head announces.
    pub(crate) fn announced(&self) -> usize {
        let text = self.text().to_ascii_lowercase();
        let value =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("the head announces a length");
        value.trim().parse().unwrap()
    }
}

/// Sends a request, and reads until the connection closes or is reset.
pub(crate) async fn read_until_end(address: SocketAddr, request: &[u8]) -> RawReply {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let reading = socket.read_to_end(&mut bytes);
    let reset = match tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection ends in time")
    {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            true
        }
    };
    RawReply { bytes, reset }
}

impl Api {
    /// Sends a request that leaves the connection open, so that only the emulator can end it.
    pub(crate) async fn send_raw(&self, method: &str, path: &str, body: Option<Value>) -> RawReply {
        let request = self.keep_alive_request(method, path, body);
        read_until_end(self.address, request.as_bytes()).await
    }

    /// Sends a request that asks the emulator to close the connection, with or without an answer.
    pub(crate) async fn send_raw_closing(&self, method: &str, path: &str) -> RawReply {
        let request = self.keep_alive_request(method, path, None).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        read_until_end(self.address, request.as_bytes()).await
    }

    /// Returns the text of a request without `Connection: close`.
    pub(crate) fn keep_alive_request(&self, method: &str, path: &str, body: Option<Value>) -> String {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        format!(
            "{method} {}{path} HTTP/1.1\r\nHost: emulator\r\n{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.keys,
            self.credential,
            body.len(),
        )
    }

    /// Returns whether the service accepts this secret.
    pub(crate) async fn accepts(&self, secret: &str) -> bool {
        match self.with_key(secret).get("").await.status {
            200 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }
}

/// Returns the id of a key in any shape, as text or as a number.
pub(crate) fn id_of(key: &Value) -> String {
    let id = key.get("api_key_id").or(key.get("id")).unwrap();
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// Returns a Monad error without details about fields.
pub(crate) fn monads_error(shape: MonadErrorShape, status: u16, message: &str, kind: &str) -> Value {
    match shape {
        MonadErrorShape::Text => json!(message),
        _ => json!({"error": message, "error_type": kind, "code": status, "additional_details": null}),
    }
}

/// Returns a client for each service, with the body of a create.
pub(crate) fn services(emulator: &Emulator) -> [(Api, Value); 2] {
    let company = emulator.spartera().company_id();
    let spartera = json!({"company_id": company, "role_id": 3, "name": "new"});
    let monad = json!({"name": "new", "role_id": "role-reader", "expiration_time": "2999-01-01T00:00:00Z"});
    [(Api::spartera(emulator), spartera), (Api::monad(emulator), monad)]
}
