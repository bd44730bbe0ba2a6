//! The smallest client: hyper and serde, on one connection.

use anyhow::Result;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Target, plain};
use crate::Request;
use crate::bodies::{CREDENTIAL, Shape};

pub(super) async fn call(target: &Target, count: usize) -> Result<usize> {
    let Target { shape, request, url, key } = target;
    let host = url.trim_start_matches("http://");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(host).await?)).await?;
    tokio::spawn(connection);
    let (list, mut keys) = (shape.list_path(), 0);
    for _ in 0..count {
        let path = match request {
            Request::Get => format!("{list}/{key}"),
            Request::Page if *shape == Shape::Monad => format!("{list}?limit=100&offset=0"),
            Request::Page => format!("{list}?limit=100&page=1"),
        };
        let sent = hyper::Request::get(path).header("host", host).header("x-api-key", CREDENTIAL);
        sender.ready().await?;
        let answer = sender.send_request(sent.body(Empty::<Bytes>::new())?).await?;
        keys += plain::decode(*shape, *request, &answer.into_body().collect().await?.to_bytes())?;
    }
    Ok(keys)
}
