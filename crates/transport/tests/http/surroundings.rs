//! What the environment says of proxies and certificates, over real connections.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api_keyring_transport::runtime::{CommunicationError, Error, Obstacle};
use api_keyring_transport::{Credential, Transport, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::Api;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures", name].iter().collect()
}

/// Returns a TLS server's side with this certificate.
fn acceptor(certificate: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(fixture(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
}

/// What a proxy does with a request for a tunnel.
#[derive(Clone)]
enum Proxy {
    /// It leads to a server with this certificate.
    Tunnel(&'static str),
    /// It leads to a server that does not speak TLS.
    Plain,
    /// It gives this answer.
    Answer(&'static str),
}

/// Starts a proxy. The heads of the requests that it gets arrive in the channel.
async fn proxy(behaviour: Proxy) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = sender.send(read_head(&mut stream).await);
            match &behaviour {
                Proxy::Plain => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    stream.read_u8().await.unwrap();
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
                }
                Proxy::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Proxy::Tunnel(certificate) => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    // A client that does not trust the certificate leaves here.
                    let Ok(mut stream) = acceptor(certificate).accept(stream).await else { continue };
                    let _ = sender.send(read_head(&mut stream).await);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    let _ = stream.shutdown().await;
                }
            }
        }
    });
    (address, heads)
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// Builds a transport with these variables.
fn transport(url: &str, variables: &[(&str, &str)]) -> Result<Transport, TransportError> {
    let variables: HashMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let credential = Credential::api_key("sk_test_0123456789").unwrap();
    Transport::builder(url, credential).environment(move |name| variables.get(name).cloned()).build()
}

fn authority() -> String {
    fixture("authority.pem").display().to_string()
}

/// Calls a service behind a proxy. Returns the error of the call.
async fn failure(url: &str, behaviour: Proxy, certificates: &str) -> CommunicationError {
    let (address, _heads) = proxy(behaviour).await;
    let variables = [("HTTPS_PROXY", &*format!("http://{address}")), ("SSL_CERT_FILE", certificates)];
    match Api::over(transport(url, &variables).unwrap()).read().await {
        Err(Error::Communication(error)) => error,
        other => panic!("{other:?}"),
    }
}

const URL: &str = "https://api.example.test";

#[tokio::test]
async fn https_goes_through_the_proxy_with_its_password_and_trusts_the_named_authority() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let (address, mut heads) = proxy(Proxy::Tunnel("server.pem")).await;
        let named = format!("http://user:p%40ss@{address}");
        let transport = transport(URL, &[(variable, &named), ("SSL_CERT_FILE", &authority())]).unwrap();
        Api::over(transport).read().await.unwrap();
        let tunnel = heads.recv().await.unwrap();
        assert!(tunnel.starts_with("connect api.example.test:443 "), "{tunnel}");
        // The base64 of `user:p@ss`, in lower case.
        assert!(tunnel.contains("proxy-authorization: basic dxnlcjpwqhnz"), "{tunnel}");
        assert!(!tunnel.contains("sk_test"), "the proxy must not see the credential: {tunnel}");
        assert!(heads.recv().await.unwrap().contains("x-api-key: sk_test_0123456789"), "{variable}");
    }
}

#[tokio::test]
async fn a_host_that_needs_no_proxy_and_this_machine_are_reached_directly() {
    let (address, mut heads) = proxy(Proxy::Tunnel("server.pem")).await;
    let named = format!("http://{address}");
    for (url, exceptions) in [
        ("https://127.0.0.1:1", ""),
        ("https://localhost:1", ""),
        (URL, "example.test"),
        (URL, "*"),
        (URL, "*.example.test"),
        ("https://api.example.test.", "example.test"),
        (URL, "other.test\napi.example.test."),
        (URL, "other.test, api.EXAMPLE.test:443"),
    ] {
        let variables = [("HTTPS_PROXY", &*named), ("no_proxy", exceptions), ("SSL_CERT_FILE", &authority())];
        let error = Api::over(transport(url, &variables).unwrap()).read().await.unwrap_err();
        assert!(matches!(error, Error::Communication(error) if error.obstacle().is_none()), "{url} {exceptions}");
    }
    assert!(heads.try_recv().is_err(), "no request went through the proxy");
    // Another port or another name needs the proxy.
    for exceptions in ["api.example.test:8443", "*.other.test", "ample.test"] {
        let variables = [("HTTPS_PROXY", &*named), ("NO_PROXY", exceptions), ("SSL_CERT_FILE", &authority())];
        Api::over(transport(URL, &variables).unwrap()).read().await.unwrap();
        assert!(heads.recv().await.unwrap().starts_with("connect"), "{exceptions}");
        heads.recv().await.unwrap();
    }
    let variables = [("HTTPS_PROXY", &*named), ("NO_PROXY", "example.test,api.*")];
    let refused = transport(URL, &variables).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("NO_PROXY has an entry, number 2, that"), "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_known_and_nothing_was_sent() {
    let own = authority();
    let other = fixture("odd-name.pem").display().to_string();
    for (url, certificate, trusted, obstacle) in [
        (URL, "server.pem", &other, Obstacle::UnknownIssuer),
        ("https://other.example.test", "server.pem", &own, Obstacle::WrongName),
        (URL, "odd-name.pem", &own, Obstacle::WrongName),
        (URL, "expired.pem", &own, Obstacle::WrongTime),
    ] {
        let error = failure(url, Proxy::Tunnel(certificate), trusted).await;
        assert_eq!(error.obstacle(), Some(obstacle), "{certificate}");
        assert!(error.was_surely_not_sent(), "{certificate}");
    }
}

#[tokio::test]
async fn a_service_without_tls_and_a_proxy_with_a_password_are_obstacles() {
    assert_eq!(failure(URL, Proxy::Plain, &authority()).await.obstacle(), Some(Obstacle::Tls));
    let closed = Proxy::Answer("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    let error = failure(URL, closed, &authority()).await;
    assert_eq!(error.obstacle(), Some(Obstacle::ProxyAuthentication));
    assert!(error.was_surely_not_sent());
    // These may pass.
    for passing in ["HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""] {
        let error = failure(URL, Proxy::Answer(passing), &authority()).await;
        assert_eq!(error.obstacle(), None, "{passing:?}");
        assert!(error.was_surely_not_sent());
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("good")).unwrap();
    fs::copy(authority(), path("good/one.pem")).unwrap();
    fs::write(path("good/README"), "no certificate").unwrap();
    fs::write(path("text"), "no certificate").unwrap();
    fs::write(path("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    fs::write(path("cut"), "-----BEGIN CERTIFICATE-----\n*\n").unwrap();
    let good = fs::read_to_string(authority()).unwrap();
    let relabelled = |label: &str| good.replace("BEGIN CERTIFICATE", &format!("BEGIN {label}"));
    fs::write(path("mixed"), [&good, "\n", &relabelled("TRUSTED CERTIFICATE")].concat()).unwrap();
    fs::write(path("mixed-too"), [&relabelled("X509 CERTIFICATE"), "\n", &good].concat()).unwrap();
    for (variable, name, why) in [
        ("SSL_CERT_FILE", "mixed", "mixed, which cannot be used: a certificate in it cannot be read"),
        ("SSL_CERT_FILE", "mixed-too", "a certificate in it cannot be read"),
        ("SSL_CERT_FILE", "missing", "missing"),
        ("SSL_CERT_FILE", "empty", "not a regular file"),
        ("SSL_CERT_FILE", "text", "holds no certificate"),
        ("SSL_CERT_FILE", "broken", "cannot be read"),
        ("SSL_CERT_FILE", "cut", "cannot be"),
        ("SSL_CERT_DIR", "missing", "missing"),
        ("SSL_CERT_DIR", "text", "text"),
        ("SSL_CERT_DIR", "empty", "no file in it holds a certificate"),
    ] {
        match transport(URL, &[(variable, &path(name))]) {
            Err(TransportError::Environment(error)) => {
                assert_eq!(error.variable(), variable);
                assert!(error.to_string().contains(why), "{name}: {error}");
            }
            other => panic!("{variable} {name}: {other:?}"),
        }
    }
    // The message names the variable and the file that is wrong.
    let both = transport(URL, &[("SSL_CERT_FILE", &path("broken")), ("SSL_CERT_DIR", &path("good"))]);
    let Err(TransportError::Environment(error)) = both else { panic!("{both:?}") };
    assert!(error.to_string().contains("SSL_CERT_FILE names") && error.to_string().contains("broken"), "{error}");
    let (address, mut heads) = proxy(Proxy::Tunnel("server.pem")).await;
    let variables = [("HTTPS_PROXY", &*format!("http://{address}")), ("SSL_CERT_DIR", &path("good"))];
    Api::over(transport(URL, &variables).unwrap()).read().await.unwrap();
    assert!(heads.recv().await.is_some());
}

/// The name in a certificate comes from outside. It must not get into the message.
#[tokio::test]
async fn the_message_is_about_the_service_and_not_about_what_it_shows() {
    let error = failure(URL, Proxy::Tunnel("odd-name.pem"), &authority()).await;
    assert_eq!(error.to_string(), "cannot connect to https://api.example.test; nothing was sent");
}
