//! Services that misbehave, and users who press Ctrl-C.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::{Run, program};

const SECRET: &str = "sk_live_canary_0123456789abcdef";

/// Reads one request with its body. Understands only the requests that these tests cause.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
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
            return text.into_owned();
        }
    }
}

pub(crate) fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    write!(stream, "{head}\r\nconnection: close\r\n\r\n{body}").unwrap();
}

pub(crate) fn client(listener: &TcpListener, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .env("SPARTERA_API_KEY", "sk_live_administrator")
        .env("SPARTERA_COMPANY_ID", "acme")
        .env("SPARTERA_BASE_URL", format!("http://{}", listener.local_addr().unwrap()))
        .args(arguments);
    command
}

/// Runs the program against a service that gives every request the same answer.
pub(crate) fn run_against(status: &'static str, body: String, arguments: &[&str]) -> Run {
    run_with(status, body, arguments, &[])
}

/// The same, with these variables.
fn run_with(status: &'static str, body: String, arguments: &[&str], variables: &[(&str, &Path)]) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = client(&listener, arguments);
    command.envs(variables.iter().copied());
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
fn an_unreadable_answer_is_kept_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("ci.key"), folder.path().join("ci.key.unclaimed"));
    let destination = format!("file:{}", path.display());
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--to", &destination, "--force"];
    fs::write(&path, "the-old-secret-which-still-works").unwrap();

    for (body, kept) in [
        // The program recognizes the secret and saves nothing else.
        (format!(r#"{{"data": [{{"surprise": "{SECRET}"}}]}}"#), SECRET.to_owned()),
        // The program recognizes nothing and saves the whole answer.
        (format!("<html>{SECRET}</html>"), format!("<html>{SECRET}</html>")),
    ] {
        let run = run_against("200 OK", body, &create);
        assert_eq!(run.code, 1);
        assert_eq!(fs::read_to_string(&aside).unwrap(), kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "the-old-secret-which-still-works");
        assert!(run.stderr.contains("ci.key.unclaimed"), "{}", run.stderr);
        assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET));
        fs::remove_file(&aside).unwrap();
    }
}

#[test]
fn an_unreadable_answer_does_not_go_to_standard_output() {
    for format in ["json", "table"] {
        for body in [format!(r#"{{"data": [{{"surprise": "{SECRET}"}}]}}"#), format!("<html>{SECRET}</html>")] {
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("new").join("state.sqlite");
            let stdout = ["--output", format, "create", "spartera", "--name", "ci", "--role", "3", "--to", "-"];
            let run = run_with("200 OK", body.clone(), &stdout, &[("API_KEYRING_JOURNAL", &state)]);
            assert_eq!((run.code, &*run.stdout), (1, ""), "{format}: {body}");
            let files: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().map(Result::unwrap).collect();
            let [file] = &files[..] else { panic!("{files:?}") };
            assert!(fs::read_to_string(file.path()).unwrap().contains(SECRET));
            assert!(
                run.stderr.contains(file.path().to_str().unwrap()) && !run.stderr.contains(SECRET),
                "{}",
                run.stderr
            );
        }
    }
    // Where it cannot be saved, the key is ended, as far as that can be.
    let nowhere = Path::new("/dev/null/state.sqlite");
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--settle", "0s", "--to", "-"];
    let run = run_with("200 OK", format!("<html>{SECRET}</html>"), &create, &[("API_KEYRING_JOURNAL", nowhere)]);
    assert!(run.code == 1 && run.stdout.is_empty() && run.stderr.contains("The answer is lost"), "{run:?}");
}

/// The id of a key that exists before.
const THEIRS: usize = 99;

/// Plays a Spartera that creates `copies` keys at once, and answers a create with `created`. Returns the requests, the
/// output, and the ids of the new keys that are left.
fn run_against_copies(copies: usize, created: Option<&'static str>) -> (Vec<String>, Run, Vec<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--settle", "0s", "--to", "-"];
    let mut command = client(&listener, &create);
    let state = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), vec![THEIRS])));
    let shared = std::sync::Arc::clone(&state);
    thread::spawn(move || {
        let mut name = String::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            let mut state = shared.lock().unwrap();
            let (requests, ids): &mut (Vec<String>, Vec<usize>) = &mut state;
            requests.push(request.lines().next().unwrap().to_owned());
            let row = |id: &usize| {
                let name = if *id == THEIRS { "theirs" } else { &name };
                format!(r#"{{"api_key_id": {id}, "role_id": 3, "company_id": "acme", "name": "{name}"}}"#)
            };
            let id = |request: &str| request.split(' ').nth(1)?.rsplit('/').next()?.parse::<usize>().ok();
            if request.starts_with("POST") {
                let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
                name = body["name"].as_str().unwrap().to_owned();
                ids.extend((0..copies).map(|copy| 77 + copy));
                match created {
                    Some(body) => answer(&mut stream, "200 OK", body),
                    None => drop(stream),
                }
            } else if let Some(id) = id(&request) {
                match ids.iter().find(|known| **known == id) {
                    None => answer(&mut stream, "404 Not Found", r#"{"code": 404, "message": "Resource not found"}"#),
                    Some(known) if request.starts_with("GET") => {
                        answer(&mut stream, "200 OK", &format!(r#"{{"message": "ok", "data": {}}}"#, row(known)));
                    }
                    Some(_) => {
                        ids.retain(|known| *known != id);
                        let body = format!(r#"{{"message": "ok", "data": {{"api_key_id": "{id}"}}}}"#);
                        answer(&mut stream, "200 OK", &body);
                    }
                }
            } else {
                let rows: Vec<_> = ids.iter().map(row).collect();
                answer(&mut stream, "200 OK", &format!(r#"{{"message": "ok", "data": [{}]}}"#, rows.join(", ")));
            }
        }
    });
    let run: Run = command.output().unwrap().into();
    let (requests, mut left) = state.lock().unwrap().clone();
    assert_eq!(left.remove(0), THEIRS);
    (requests, run, left)
}

#[test]
fn a_new_key_without_a_secret_is_deleted() {
    let created = r#"{"message": "ok", "data": {"api_key_id": "77"}}"#;
    let (requests, run, left) = run_against_copies(1, Some(created));
    assert_eq!((run.code, &*run.stdout, left.len()), (1, "", 0), "{}", run.stderr);
    assert!(run.stderr.contains("api-keyring deleted the new key spartera/77"), "{}", run.stderr);
    let begins = |prefix: &str| requests.iter().position(|request| request.starts_with(prefix));
    let (look, delete) = (begins("GET /companies/acme/api-keys/77"), begins("DELETE /companies/acme/api-keys/77"));
    assert!(look.is_some() && look < delete, "{requests:?}");
}

#[test]
fn a_key_that_has_the_id_of_the_new_one_by_now_is_spared() {
    let (requests, run, left) = run_against_copies(0, Some(r#"{"message": "ok", "data": {"api_key_id": "99"}}"#));
    assert_eq!((run.code, &*run.stdout, left.len()), (1, "", 0), "{}", run.stderr);
    assert!(run.stderr.contains("Another key has the id spartera/99 by now"), "{}", run.stderr);
    assert!(!requests.iter().any(|request| request.starts_with("DELETE")), "{requests:?}");
}

#[test]
fn every_key_of_a_create_that_was_carried_out_twice_is_deleted() {
    let (requests, run, left) = run_against_copies(2, None);
    assert_eq!((run.code, &*run.stdout, left.len()), (1, "", 0), "{}", run.stderr);
    for key in ["spartera/77", "spartera/78"] {
        assert!(run.stderr.contains(&format!("deleted the new key {key}")), "{}", run.stderr);
    }
    assert_eq!(requests.iter().filter(|request| request.starts_with("POST")).count(), 1, "{requests:?}");
}

#[test]
fn a_failure_is_still_a_failure_when_standard_error_is_closed() {
    let list = r#"{"message": "ok", "data": [{"api_key_id": {}}, {"api_key_id": []}, {"api_key_id": 1}]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = ["--output", "json", "list", "spartera"];
    let mut child = client(&listener, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut stream);
            answer(&mut stream, "200 OK", list);
        }
    });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let keys: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(keys[0]["id"], "1");
    server.join().unwrap();
}

#[test]
fn a_list_that_fails_prints_no_empty_list() {
    for format in ["json", "table"] {
        let run = run_against("500 Internal Server Error", "{}".to_owned(), &["--output", format, "list", "spartera"]);
        assert_eq!((run.code, &*run.stdout), (1, ""));
    }
}

#[test]
fn text_from_a_service_cannot_control_the_terminal() {
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
fn one_malformed_row_does_not_hide_the_others() {
    let list =
        r#"{"message": "ok", "data": [{"api_key_id": 1}, {"api_key_id": {}}, {"name": "no id"}, {"api_key_id": 2}]}"#;
    let run = run_against("200 OK", list.to_owned(), &["--output", "json", "list", "spartera"]);
    assert_eq!(run.code, 1);
    let keys: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
}

#[test]
fn a_secret_in_the_place_of_an_id_is_not_shown_and_hides_no_other_key() {
    let list =
        format!(r#"{{"message": "ok", "data": [{{"api_key_id": "{SECRET}"}}, {{"api_key_id": "key_abc123"}}]}}"#);
    for format in ["json", "table"] {
        let run = run_against("200 OK", list.clone(), &["--output", format, "list", "spartera"]);
        assert_eq!(run.code, 1);
        assert!(run.stdout.contains("key_abc123") && !run.stdout.contains(SECRET), "{}", run.stdout);
        assert!(run.stderr.starts_with("error: ") && !run.stderr.contains(SECRET), "{}", run.stderr);
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_loses_no_secret_that_is_being_issued() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    let destination = format!("file:{}", path.display());
    // This service answers one request, so the command must not rename the key afterwards.
    let create = ["create", "spartera", "--name", "ci", "--exact-name", "--role", "3", "--to", &destination];
    let mut child = client(&listener, &create).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    let (mut stream, _) = listener.accept().unwrap();
    read_request(&mut stream);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    for name in ["-INT", "-TERM", "-HUP"] {
        crate::harness::signal(&child, name);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(line.contains("Stopping as soon as the new secret is stored"), "{name}: {line:?}");
    }
    answer(&mut stream, "200 OK", &format!(r#"{{"message": "ok", "data": {{"api_key_id": "7", "key": "{SECRET}"}}}}"#));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
}
