//! A client with two calls, and servers that send exactly the bytes that a test gives them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener};

use api_keyring_transport::runtime::{ClientHooks as _, ClientInfo, Error, OperationInfo, ResponseValue};
use api_keyring_transport::{Credential, Transport, TransportBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const CREDENTIAL: &str = "sk_test_0123456789";

/// A hand-written client that calls the runtime as generated clients do.
pub(crate) struct Api(Transport);

impl ClientInfo<Transport> for Api {
    fn api_version() -> &'static str {
        "1.0"
    }

    fn baseurl(&self) -> &str {
        self.0.base_url().as_str()
    }

    fn client(&self) -> &reqwest::Client {
        self.0.http()
    }

    fn inner(&self) -> &Transport {
        &self.0
    }
}

impl Api {
    /// Makes a client with the default settings.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::with_settings(address, |builder| builder)
    }

    /// Makes a client with this credential.
    pub(crate) fn with_credential(address: SocketAddr, credential: Credential) -> Self {
        let transport = Transport::builder(format!("http://{address}"), credential);
        Self(transport.build().unwrap())
    }

    /// Makes a client with these settings.
    pub(crate) fn with_settings(
        address: SocketAddr,
        settings: impl FnOnce(TransportBuilder) -> TransportBuilder,
    ) -> Self {
        let credential = Credential::api_key(CREDENTIAL).unwrap();
        let builder = Transport::builder(format!("http://{address}"), credential);
        Self(settings(builder).build().unwrap())
    }

    /// Makes a client over this transport.
    #[cfg(all(feature = "rustls", not(feature = "native-tls")))]
    pub(crate) fn over(transport: Transport) -> Self {
        Self(transport)
    }

    /// Sends a GET. Its statuses 200 and 404 are documented.
    pub(crate) async fn read(&self) -> Result<ResponseValue<Value>, Error<Value>> {
        self.call(self.client().get(format!("{}/keys", self.baseurl()))).await
    }

    /// Sends a POST that issues a key.
    pub(crate) async fn create(&self) -> Result<ResponseValue<Value>, Error<Value>> {
        let request = self.client().post(format!("{}/keys", self.baseurl()));
        self.call(request.body("{}")).await
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<ResponseValue<Value>, Error<Value>> {
        let mut request = request.build()?;
        let info = OperationInfo { operation_id: "call" };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200 => ResponseValue::from_response(response).await,
            404 => Err(Error::ErrorResponse(ResponseValue::from_response(response).await?)),
            _ => Err(Error::undocumented_status(response).await),
        }
    }
}

/// Accepts a connection, reads the request's head, and then runs the test's `answer`.
pub(crate) async fn serve_once<F, R>(answer: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, Served<R>)
where
    F: Future<Output = R> + Send,
    R: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        let result = answer(stream).await;
        (head, result, listener.into_std().unwrap())
    });
    (address, Served(task))
}

/// A running server.
pub(crate) struct Served<R>(JoinHandle<(String, R, StdListener)>);

impl<R> Served<R> {
    /// Returns the request's head in lower case, and the result of the test's `answer`.
    ///
    /// Call this after the client's call has returned. It panics if the client has opened a second connection.
    pub(crate) async fn finish(self) -> (String, R) {
        let (head, result, listener) = self.0.await.unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "the client opened a second connection"
        );
        (head, result)
    }
}

/// Starts a server that sends exactly these bytes and closes the connection.
pub(crate) async fn answer_once(answer: impl Into<Vec<u8>>) -> (SocketAddr, Served<()>) {
    let answer = answer.into();
    serve_once(async move |mut stream: TcpStream| stream.write_all(&answer).await.unwrap()).await
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}
