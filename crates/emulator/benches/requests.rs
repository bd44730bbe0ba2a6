//! Measures how fast the emulator answers, next to a server that always returns the same bytes.
//!
//! Both servers use the same HTTP library. `cargo bench -p api-keyring-emulator` prints the requests per second and the
//! server's CPU time per request, for a single key and for a page of 100. Only Linux reports the CPU time. A client
//! benchmark against the emulator measures the client only if the emulator is much faster than the client.
//!
//! It also measures a request whose target is 60 KB of escaped percent signs, which the record masks: less than 10 ms.

#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use api_keyring_emulator::Emulator;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The name of the server's thread, which separates its CPU time from the client's.
const SERVER: &str = "bench-server";
const CONNECTIONS: u32 = 8;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs this without `--bench`. Then it only checks that the benchmark works.
    let measures = std::env::args().any(|argument| argument == "--bench");
    let (rounds, requests) = if measures { (5, 2500) } else { (1, 10) };

    let server = Builder::new_multi_thread().worker_threads(1).thread_name(SERVER).enable_all().build()?;
    let client = Builder::new_current_thread().enable_all().build()?;
    // Tests need the record of requests; this benchmark does not.
    let emulator = server.block_on(server.spawn(Emulator::builder().record_limit(0).start()))??;
    let spartera = emulator.spartera();
    spartera.add_keys(99);
    let keys = format!("/companies/{}/api-keys", spartera.company_id());

    for (name, path) in [("get", format!("{keys}/1001")), ("100-key page", format!("{keys}?limit=100"))] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: emulator\r\nx-api-key: {}\r\n\r\n", spartera.admin_key());
        let body = client.block_on(async {
            let mut socket = TcpStream::connect(emulator.address()).await?;
            exchange(&mut socket, request.as_bytes(), &mut Vec::new()).await
        })?;
        let bare = server.block_on(server.spawn(constant(body)))??;
        // Measuring in turns exposes both servers to the same load from other processes.
        let mut best = [Measure::default(), Measure::default()];
        for _ in 0..rounds {
            for (best, address) in best.iter_mut().zip([emulator.address(), bare]) {
                best.improve(measure(&client, address, &request, requests)?);
            }
        }
        let [emulated, bare] = best;
        println!("{name:12}  emulator {emulated}  bare {bare}  {:.2} of its rate", emulated.rate / bare.rate);
    }
    server.block_on(emulator.shutdown());
    escapes(&server, &client, if measures { 100 } else { 1 })
}

/// Measures a request whose target is 60 KB of `%25`, with a record of requests.
fn escapes(server: &Runtime, client: &Runtime, requests: u32) -> Result<()> {
    let emulator = server.block_on(server.spawn(Emulator::builder().start()))??;
    let spartera = emulator.spartera();
    let target = format!("/companies/{}/api-keys?x={}", spartera.company_id(), "%25".repeat(20_000));
    let request = format!("GET {target} HTTP/1.1\r\nhost: emulator\r\nx-api-key: {}\r\n\r\n", spartera.admin_key());
    let begun = Instant::now();
    client.block_on(async {
        let mut socket = TcpStream::connect(emulator.address()).await?;
        for _ in 0..requests {
            exchange(&mut socket, request.as_bytes(), &mut Vec::new()).await?;
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    })?;
    println!("60 KB of %25  emulator {:.3} ms a request", begun.elapsed().as_secs_f64() * 1e3 / f64::from(requests));
    server.block_on(emulator.shutdown());
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Measure {
    rate: f64,
    cpu: Option<Duration>,
}

impl Measure {
    /// Keeps the better of two rounds, because a disturbance can only slow a round down.
    fn improve(&mut self, other: Self) {
        if other.rate > self.rate {
            *self = other;
        }
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7.0}/s", self.rate)?;
        self.cpu.map_or(Ok(()), |cpu| write!(f, " {:>6.1} us CPU", cpu.as_secs_f64() * 1e6))
    }
}

/// Sends `requests` requests over each connection, and measures the time.
fn measure(client: &Runtime, address: SocketAddr, request: &str, requests: u32) -> Result<Measure> {
    let cpu_before = server_cpu();
    let begun = Instant::now();
    client.block_on(async {
        let one = || async {
            let mut socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let mut buffer = Vec::new();
            for _ in 0..requests {
                exchange(&mut socket, request.as_bytes(), &mut buffer).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        tokio::try_join!(one(), one(), one(), one(), one(), one(), one(), one())
    })?;
    let elapsed = begun.elapsed();
    let cpu = server_cpu().zip(cpu_before).map(|(after, before)| (after - before) / (requests * CONNECTIONS));
    Ok(Measure { rate: f64::from(requests * CONNECTIONS) / elapsed.as_secs_f64(), cpu })
}

/// Sends a request and reads its answer. Returns the body.
async fn exchange(socket: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<Bytes> {
    socket.write_all(request).await?;
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(text.to_owned().into());
        }
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("the answer has no content-length")?;
        let end = head + 4 + length.parse::<usize>()?;
        if buffer.len() >= end {
            return Ok(Bytes::copy_from_slice(&buffer[head + 4..end]));
        }
    }
}

/// Starts a server that answers every request with `body`. Returns its address.
async fn constant(body: Bytes) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let body = body.clone();
            let _ = socket.set_nodelay(true);
            let respond = service_fn(move |_| {
                let mut response = Response::new(Full::new(body.clone()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new());
            tokio::spawn(http.serve_connection(TokioIo::new(socket), respond));
        }
    });
    Ok(address)
}

/// Returns the CPU time of the server's thread so far, if the system reports it.
fn server_cpu() -> Option<Duration> {
    let mut threads = fs::read_dir("/proc/self/task").ok()?.flatten().map(|thread| thread.path());
    let thread = threads.find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == SERVER))?;
    let nanoseconds = fs::read_to_string(thread.join("schedstat")).ok()?.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
