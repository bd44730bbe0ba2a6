//! Measures the memory that the worst answers need: 8 MiB of JSON that costs most when it is decoded.
//!
//! `cargo bench -p api-keyring --bench worst_json` starts a process for each answer, which reads it as a list or as the
//! result of another operation. It prints that process's peak resident size, which only Linux reports, and fails if it
//! exceeds 64 MiB. The server runs in the parent process, so its memory does not count.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use api_keyring::{ListKeys, Monad, NewKey, Provider as _, ProviderExt as _, Regeneration, Spartera};
use futures_util::StreamExt as _;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of each answer: the default limit of the transport.
const SIZE: usize = 8 << 20;
const LIMIT_KIB: u64 = 64 << 10;

/// The vendor and the operation of this process, and the server's URL. Without them, the process starts others.
const CASE: [&str; 3] = ["BENCH_VENDOR", "BENCH_OPERATION", "BENCH_URL"];

const VENDORS: [&str; 2] = ["spartera", "monad"];

/// What fills an answer.
#[derive(Clone, Copy, Debug)]
enum Filling {
    /// A field with empty lists.
    Lists,
    /// A documented time with empty lists.
    ListsForATime,
    /// A field with objects of one field.
    Objects,
    /// A field with lists within lists.
    Deep,
    /// Fields with one digit each.
    TinyFields,
    /// A documented text of escapes.
    Escapes,
    /// A documented text of bytes that are not UTF-8.
    BrokenText,
    /// A documented text with one byte that is not UTF-8, and a field with empty lists.
    BrokenByte,
    /// Rows without a field.
    EmptyRows,
    /// Rows that are null.
    NullRows,
    /// Rows that hold nothing but an id.
    TinyKeys,
}

impl Filling {
    const OF_A_KEY: [Self; 8] = [
        Self::Lists,
        Self::ListsForATime,
        Self::Objects,
        Self::Deep,
        Self::TinyFields,
        Self::Escapes,
        Self::BrokenText,
        Self::BrokenByte,
    ];
    const OF_A_LIST: [Self; 3] = [Self::EmptyRows, Self::NullRows, Self::TinyKeys];

    /// Returns a key's fields of nearly `size` bytes.
    fn fields(self, size: usize) -> Vec<u8> {
        let repeat = |start: &str, part: &[u8], end: &str| {
            let count = (size - start.len() - end.len()) / part.len();
            [start.as_bytes(), &part.repeat(count), end.as_bytes()].concat()
        };
        match self {
            Self::Lists => repeat("\"x\":[", b"[],", "1]"),
            Self::ListsForATime => repeat("\"expires_at\":1,\"created_at\":[", b"[],", "1]"),
            Self::Objects => repeat("\"x\":[", b"{\"\":0},", "1]"),
            Self::Deep => {
                let levels = (size - 10) / 2;
                [b"\"x\":", &b"[".repeat(levels)[..], &b"]".repeat(levels)].concat()
            }
            Self::TinyFields => {
                let mut fields = String::with_capacity(size);
                for n in 0.. {
                    let field = format!("\"{n:x}\":1,");
                    if fields.len() + field.len() + 10 > size {
                        break;
                    }
                    fields.push_str(&field);
                }
                fields.push_str("\"z\":1");
                fields.into_bytes()
            }
            Self::Escapes => repeat("\"name\":\"", b"\\u0041", "\""),
            Self::BrokenText => repeat("\"name\":\"", b"\xff", "\""),
            Self::BrokenByte => [b"\"name\":\"\xff\",", &Self::Lists.fields(size - 20)[..]].concat(),
            Self::EmptyRows | Self::NullRows | Self::TinyKeys => Vec::new(),
        }
    }

    /// Returns rows of nearly `size` bytes.
    fn rows(self, vendor: &str, size: usize) -> Vec<u8> {
        let row = |n: usize| match self {
            Self::EmptyRows => "{},".to_owned(),
            Self::NullRows => "null,".to_owned(),
            Self::TinyKeys if vendor == "spartera" => format!("{{\"id\":{n}}},"),
            _ => format!("{{\"id\":\"{n}\"}},"),
        };
        let mut rows = String::with_capacity(size);
        for n in 0.. {
            let row = row(n);
            if rows.len() + row.len() + 4 > size {
                break;
            }
            rows.push_str(&row);
        }
        rows.push_str("null");
        rows.into_bytes()
    }
}

/// Returns the answer to an operation.
fn answer(vendor: &str, operation: &str, filling: Filling, size: usize) -> Vec<u8> {
    let room = size - 200;
    let fields = filling.fields(room);
    let key: &[&[u8]] = match (vendor, operation) {
        ("spartera", "list") => &[b"{\"data\":[{\"api_key_id\":\"7\",", &fields, b"}]}"],
        ("spartera", "create") => {
            &[b"{\"data\":{\"api_key_id\":\"7\",\"key\":\"sk_live_0123456789abcdef0123\",", &fields, b"}}"]
        }
        ("spartera", _) => &[b"{\"data\":{\"api_key_id\":\"7\",", &fields, b"}}"],
        (_, "list") => &[b"{\"api_keys\":[{\"id\":\"7\",", &fields, b"}]}"],
        (_, "create" | "regenerate") => {
            &[b"{\"id\":\"7\",\"token\":\"eyJhbGciOiJI.eyJzdWIiOiJu.c2lnbmF0dXJl\",", &fields, b"}"]
        }
        (_, _) => &[b"{\"id\":\"7\",", &fields, b"}"],
    };
    if !fields.is_empty() {
        return key.concat();
    }
    let name: &[u8] = if vendor == "spartera" { b"{\"data\":[" } else { b"{\"api_keys\":[" };
    [name, &filling.rows(vendor, room), b"]}"].concat()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if let [Ok(vendor), Ok(operation), Ok(url)] = CASE.map(env::var) {
        return read(&vendor, &operation, &url).await;
    }
    // `cargo test --all-targets` does not pass `--bench`. It checks that the benchmark works, so small answers do.
    let measures = env::args().any(|argument| argument == "--bench");
    let size = if measures { SIZE } else { 64 << 10 };
    let mut worst = 0;
    for vendor in VENDORS {
        let operations: &[&str] = match vendor {
            "spartera" => &["list", "get", "create", "stats", "failure"],
            _ => &["list", "get", "create", "regenerate", "failure"],
        };
        for operation in operations {
            let more = if *operation == "list" { &Filling::OF_A_LIST[..] } else { &[] };
            for filling in Filling::OF_A_KEY.iter().chain(more) {
                let status = if *operation == "failure" { 500 } else { 200 };
                let url = serve(status, answer(vendor, operation, *filling, size))?;
                let case = CASE.into_iter().zip([vendor, *operation, &*url]);
                let output = Command::new(env::current_exe()?).envs(case).stderr(Stdio::inherit()).output()?;
                let report = String::from_utf8(output.stdout)?;
                if !output.status.success() {
                    return Err(format!("{vendor} {operation} {filling:?}: {}: {report}", output.status).into());
                }
                println!("{vendor:9} {operation:10} {:14} {}", format!("{filling:?}"), report.trim_end());
                let peak = report.split(' ').next().and_then(|peak| peak.parse().ok()).unwrap_or(0);
                worst = worst.max(peak);
            }
        }
    }
    println!("worst: {worst} KiB");
    if worst > LIMIT_KIB { Err(format!("more than {LIMIT_KIB} KiB").into()) } else { Ok(()) }
}

/// Answers every request with this body. Returns the server's URL.
fn serve(status: u16, body: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = Arc::new(body);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            thread::spawn(move || respond(stream, status, &body));
        }
    });
    Ok(url)
}

fn respond(mut stream: TcpStream, status: u16, body: &[u8]) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

async fn read(vendor: &str, operation: &str, url: &str) -> Result<()> {
    let provider: Box<dyn api_keyring::Provider> = match vendor {
        "spartera" => Box::new(Spartera::builder().company_id("acme").api_key("sk_live_123").base_url(url).build()?),
        _ => Box::new(Monad::builder().organization_id("acme").api_key("sk_live_123").base_url(url).build()?),
    };
    let id = "7".parse()?;
    let result = match operation {
        "list" => {
            let mut keys = provider.list(ListKeys::new());
            let (mut count, mut errors) = (0_u64, 0_u64);
            while let Some(key) = keys.next().await {
                match key {
                    Ok(key) => {
                        count += 1;
                        // Writing a key parses nothing.
                        serde_json::to_writer(std::io::sink(), &key)?;
                    }
                    Err(_) => errors += 1,
                }
            }
            format!("{count} keys, {errors} errors")
        }
        "create" => outcome(provider.create(&NewKey::new("ci").role("3").expires_in(chrono::TimeDelta::days(1))).await),
        "regenerate" => outcome(provider.regenerate(&id, &Regeneration::new()).await),
        "stats" => outcome(provider.stats(&id).await),
        _ => outcome(provider.get(&id).await),
    };
    println!("{} KiB, {result}", peak_resident_size().unwrap_or(0));
    Ok(())
}

fn outcome<T>(result: api_keyring::Result<T>) -> String {
    result.map_or_else(|error| error.kind().name().to_owned(), |_| "read".to_owned())
}

/// Returns this process's peak resident size in KiB, if the system reports it.
fn peak_resident_size() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
