//! Services that misbehave, and users who press Ctrl-C.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
#[cfg(unix)]
use std::process::Stdio;
use std::thread;

use crate::harness::{Run, program};

const SECRET: &str = "sk_live_canary_0123456789abcdef";

/// Reads a request with its body, as far as this test's requests go.
fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return;
        }
    }
}

fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    write!(stream, "{head}\r\nconnection: close\r\n\r\n{body}").unwrap();
}

fn client(listener: &TcpListener, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .env("SPARTERA_API_KEY", "sk_live_administrator")
        .env("SPARTERA_COMPANY_ID", "acme")
        .env("SPARTERA_BASE_URL", format!("http://{}", listener.local_addr().unwrap()))
        .args(arguments);
    command
}

/// Runs the program against a service that answers every request alike.
fn run_against(status: &'static str, body: String, arguments: &[&str]) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = client(&listener, arguments);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            answer(&mut stream, status, &body);
        }
    });
    command.output().unwrap().into()
}

#[test]
fn an_answer_that_cannot_be_read_is_delivered_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    let destination = format!("file:{}", path.display());
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--to", &destination];

    // Told apart: the secret alone is delivered.
    let run = run_against("200 OK", format!(r#"{{"data": [{{"surprise": "{SECRET}"}}]}}"#), &create);
    assert_eq!(run.code, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
    assert!(run.stderr.contains("was delivered to file:"), "{}", run.stderr);
    assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET));

    // Not told apart: everything that arrived is.
    fs::remove_file(&path).unwrap();
    let run = run_against("200 OK", format!("<html>{SECRET}</html>"), &create);
    assert_eq!(run.code, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("<html>{SECRET}</html>"));
    assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET));
}

#[test]
fn what_a_service_says_cannot_command_the_terminal() {
    let name = r"\u001b[2J\u0007evil\nline";
    let list = format!(r#"{{"message": "ok", "data": [{{"api_key_id": 1, "name": "{name}"}}]}}"#);
    let run = run_against("200 OK", list, &["list", "spartera"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("evil") && !run.stdout.contains(['\u{1b}', '\u{7}']), "{:?}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 2, "{:?}", run.stdout);

    let run = run_against("400 Bad Request", format!(r#"{{"code": 400, "message": "{name}"}}"#), &["list", "spartera"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("evil") && !run.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{:?}", run.stderr);
}

#[test]
fn one_odd_row_does_not_hide_the_others() {
    let list =
        r#"{"message": "ok", "data": [{"api_key_id": 1}, {"api_key_id": {}}, {"name": "no id"}, {"api_key_id": 2}]}"#;
    let run = run_against("200 OK", list.to_owned(), &["--output", "json", "list", "spartera"]);
    assert_eq!(run.code, 1);
    let keys: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
}

#[test]
#[cfg(unix)]
fn ctrl_c_does_not_lose_a_secret_on_its_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    let destination = format!("file:{}", path.display());
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--to", &destination];
    let mut child = client(&listener, &create).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    let (mut stream, _) = listener.accept().unwrap();
    read_request(&mut stream);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    for name in ["-INT", "-TERM", "-HUP"] {
        crate::harness::signal(&child, name);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(line.contains("A secret is on its way"), "{name}: {line:?}");
    }
    answer(&mut stream, "200 OK", &format!(r#"{{"message": "ok", "data": {{"api_key_id": "7", "key": "{SECRET}"}}}}"#));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
}
