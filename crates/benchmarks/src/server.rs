//! A server that answers each request with a constant body.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bodies::{self, Shape};

/// What the server writes, head and body.
struct Answers {
    /// The path of the list.
    list: String,
    get: Vec<u8>,
    page: Vec<u8>,
}

/// Serves until standard input ends, so that it ends with the process that started it. First it prints its base URL, and the id of
/// the key that it knows.
pub(crate) async fn serve(shape: Shape) -> Result<()> {
    let bodies = bodies::of(shape).await?;
    let answers = Arc::new(Answers { list: shape.list_path(), get: answer(&bodies.get), page: answer(&bodies.page) });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{} {}", listener.local_addr()?, bodies.id);
    std::io::stdout().flush()?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(converse(stream, Arc::clone(&answers)));
        }
    };
    tokio::select! {
        done = serving => done,
        _ = ended => Ok(()),
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Answers the requests on a connection. They have no body.
async fn converse(mut stream: TcpStream, answers: Arc<Answers>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let rest = path.strip_prefix(answers.list.as_bytes()).unwrap_or_default();
        let answer = if rest.starts_with(b"/") { &answers.get } else { &answers.page };
        stream.write_all(answer).await?;
    }
}
