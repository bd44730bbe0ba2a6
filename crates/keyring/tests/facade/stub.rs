//! A small HTTP server that records every request, and answers or misbehaves as a test asks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Respond = Box<dyn FnMut(&Request) -> Answer + Send>;

/// The server. It stops with the test's runtime.
pub(crate) struct Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    requests: Vec<Request>,
    respond: Respond,
}

impl Stub {
    /// Starts a server that answers 500 until a test sets another answer.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            requests: Vec::new(),
            respond: Box::new(|_| Answer::text(500, "text/plain", "the test set no answer")),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // Some tests make a connection fail on purpose.
                tokio::spawn(async move { serve(socket, &shared).await.ok() });
            }
        });
        Self { address, state }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer to every further request, and forgets the earlier requests.
    pub(crate) fn answer_all(&self, answer: Answer) {
        self.answer_with(move |_| answer.clone());
    }

    /// Sets a function that answers every further request, and forgets the earlier requests.
    pub(crate) fn answer_with(&self, respond: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.state.lock().unwrap() = State { requests: Vec::new(), respond: Box::new(respond) };
    }

    /// Returns all complete requests since the answer was last set.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

async fn serve(mut socket: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut socket, &mut buffer).await? {
        let answer = {
            let mut state = state.lock().unwrap();
            state.requests.push(request.clone());
            (state.respond)(&request)
        };
        match answer.end {
            End::HangUp => return Ok(()),
            End::Reset => return socket.set_zero_linger(),
            End::Silence => return std::future::pending().await,
            End::Close | End::StayOpen | End::CutShort => {}
        }
        socket.write_all(&answer.bytes()).await?;
        if answer.end != End::StayOpen {
            return socket.shutdown().await;
        }
    }
    Ok(())
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = Request::parse(buffer) {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names are in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns the first request in `buffer` and its length, if the request is complete.
    fn parse(buffer: &[u8]) -> Option<(Self, usize)> {
        let head_length = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(buffer[..head_length].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let mut request_line = lines.next()?.split(' ');
        let (method, target) = (request_line.next()?.to_owned(), request_line.next()?.to_owned());
        let headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        let named = headers.iter().find(|(name, _)| name == "content-length");
        let body_length = named.map_or(0, |(_, length)| length.parse().unwrap());
        let body = buffer.get(head_length + 4..head_length + 4 + body_length)?.to_vec();
        let request = Self { method, target, headers, body };
        Some((request, head_length + 4 + body_length))
    }

    /// Returns the values of every header with this name.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the number in a query parameter.
    pub(crate) fn query(&self, name: &str) -> usize {
        let query = self.target.split_once('?').unwrap().1;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.unwrap().parse().unwrap()
    }

    /// Returns the method and the target.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// The server's reaction to a request.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Sends the answer and closes the connection.
    Close,
    /// Sends the answer and keeps the connection open.
    StayOpen,
    /// Sends less than the answer's length and closes the connection.
    CutShort,
    /// Closes the connection without an answer.
    HangUp,
    /// Resets the connection without an answer.
    Reset,
    /// Keeps the connection open without an answer.
    Silence,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).into_owned();
        write!(f, "{:?} {} {:?} {start}", self.end, self.status, self.headers)
    }
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), end: End::Close }.header("content-type", content_type)
    }

    pub(crate) fn html(status: u16) -> Self {
        Self::text(status, "text/html", "<html><body><h1>Welcome</h1></body></html>")
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), end: End::Close }
    }

    pub(crate) fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(crate) fn hang_up() -> Self {
        Self { end: End::HangUp, ..Self::empty(0) }
    }

    pub(crate) fn reset() -> Self {
        Self { end: End::Reset, ..Self::empty(0) }
    }

    pub(crate) fn silence() -> Self {
        Self { end: End::Silence, ..Self::empty(0) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut_short(self) -> Self {
        Self { end: End::CutShort, ..self }
    }

    pub(crate) fn stay_open(self) -> Self {
        Self { end: End::StayOpen, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Answer\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            let missing = if self.end == End::CutShort { 1000 } else { 0 };
            head.push_str(&format!("content-length: {}\r\n", self.body.len() + missing));
        }
        if self.end != End::StayOpen {
            head.push_str("connection: close\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}
