//! Measures the memory of `api-keyring list` with a list that never ends.
//!
//! `cargo bench -p api-keyring-cli --bench endless_list` starts the command in each form of output, against a service
//! whose list never ends. It prints the command's peak resident size, which only Linux reports, and fails if it exceeds
//! 64 MiB, or if the command does not end by the list's limit.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LIMIT_KIB: u64 = 64 << 10;

/// What each page holds.
#[derive(Clone, Copy, Debug)]
enum Pages {
    /// As many keys as requested.
    AsRequested,
    /// As many keys as requested, and a total that promises many more, so that pages are requested concurrently.
    WithATotal,
    /// One key whose name is nearly as large as an answer may be.
    LongNames,
    /// Five thousand keys of 160 bytes, whatever is requested.
    Large,
    /// Nearly as many keys as an answer may hold, whatever is requested.
    Full,
    /// The same, and the length of the answer is not announced.
    FullInChunks,
}

impl Pages {
    const ALL: [Self; 6] =
        [Self::AsRequested, Self::WithATotal, Self::LongNames, Self::Large, Self::Full, Self::FullInChunks];
}

fn main() -> Result<()> {
    // `cargo test --all-targets` does not pass `--bench`. It checks that the benchmark works, so lists that end do.
    let measures = env::args().any(|argument| argument == "--bench");
    for pages in Pages::ALL {
        for output in ["table", "json"] {
            let url = serve(pages, if measures { usize::MAX } else { 300 })?;
            let (peak, lines, problem) = list(&url, output)?;
            println!("{:12} {output:6} {peak:>6} KiB, {lines} lines; {}", format!("{pages:?}"), problem.trim());
            if measures && !problem.contains("limit of") {
                return Err(format!("the list did not end by its limit: {problem}").into());
            }
            if peak > LIMIT_KIB {
                return Err(format!("more than {LIMIT_KIB} KiB").into());
            }
        }
    }
    Ok(())
}

/// Runs the command. Returns its peak resident size, the number of lines and the last line on standard error.
fn list(url: &str, output: &str) -> Result<(u64, usize, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-keyring"))
        .args(["list", "spartera", "--output", output])
        .env_clear()
        .envs([("SPARTERA_COMPANY_ID", "acme"), ("SPARTERA_API_KEY", "sk_live_0123456789abcdef0123")])
        .env("SPARTERA_BASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", command.id());
    let mut errors = command.stderr.take().ok_or("no standard error")?;
    let errors = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let mut stdout = command.stdout.take().ok_or("no standard output")?;
    let (mut buffer, mut lines, mut peak) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = stdout.read(&mut buffer)?;
        peak = peak_resident_size(&status).unwrap_or(peak);
        if count == 0 {
            break;
        }
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
    }
    command.wait()?;
    let errors = errors.join().map_err(|_| "cannot read standard error")??;
    Ok((peak, lines, errors.lines().last().unwrap_or_default().to_owned()))
}

/// Returns a process's peak resident size in KiB.
fn peak_resident_size(status: &str) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Serves a list of `end` keys. Returns the server's URL.
fn serve(pages: Pages, end: usize) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || respond(stream, pages, end));
        }
    });
    Ok(url)
}

fn respond(mut stream: TcpStream, pages: Pages, end: usize) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut target = String::new();
    while request.read_line(&mut target)? > 0 {
        let mut line = String::new();
        while request.read_line(&mut line)? > 2 {
            line.clear();
        }
        let body = page(pages, end, &target);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let length = body.len();
        // One write: the system would hold the second one back until the first one is acknowledged.
        let answer = match pages {
            Pages::FullInChunks => {
                format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
            }
            _ => format!("{head}content-length: {length}\r\n\r\n{body}"),
        };
        stream.write_all(answer.as_bytes())?;
        target.clear();
    }
    Ok(())
}

/// Returns the requested page.
fn page(pages: Pages, end: usize, target: &str) -> String {
    let parameter = |name: &str| {
        let query = target.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        query.and_then(|value| value.parse::<usize>().ok()).unwrap_or(1)
    };
    let limit = match pages {
        Pages::AsRequested | Pages::WithATotal => parameter("limit"),
        Pages::LongNames => 1,
        Pages::Large => 5000,
        Pages::Full | Pages::FullInChunks => 32_000,
    };
    let start = (parameter("page") - 1) * limit;
    let filling = match pages {
        Pages::LongNames => (8 << 20) - 300,
        Pages::Full | Pages::FullInChunks => 190,
        _ => 100,
    };
    let name = "x".repeat(filling);
    let rows: Vec<_> = (start..end.min(start + limit))
        .map(|n| format!("{{\"api_key_id\":{n},\"company_id\":\"acme\",\"role_id\":3,\"name\":\"{name}\"}}"))
        .collect();
    let total = if matches!(pages, Pages::WithATotal) { ",\"meta\":{\"total\":1000000000}" } else { "" };
    format!("{{\"data\":[{}]{total}}}", rows.join(","))
}
