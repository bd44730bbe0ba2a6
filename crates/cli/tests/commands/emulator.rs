//! `emulator` prints what clients need, and stops on a signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::harness::{Emulator, program};

/// Sends a request, and returns all that arrives until the connection ends.
///
/// The path is below the company's path, unless it belongs to the control API.
fn request(emulator: &Emulator, method: &str, path: &str, body: &str) -> String {
    let variable = |name: &str| emulator.variables[name].as_str();
    let scope = if path.starts_with("/_emulator/") {
        String::new()
    } else {
        format!("/companies/{}", variable("SPARTERA_COMPANY_ID"))
    };
    let address = variable("SPARTERA_BASE_URL").strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {scope}{path} HTTP/1.1\r\nHost: {address}\r\nx-api-key: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        variable("SPARTERA_API_KEY"),
        body.len(),
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => String::from_utf8(answer).unwrap(),
        Err(error) => error.kind().to_string(),
    }
}

#[test]
fn a_fault_happens_as_often_as_its_count_says() {
    let emulator =
        Emulator::with(&["--fault", "create:reset-after:1", "--fault", "spartera.list:status=503,retry-after=7:1"]);
    let body = format!(r#"{{"company_id":"{}","role_id":3}}"#, emulator.variables["SPARTERA_COMPANY_ID"]);
    assert_eq!(request(&emulator, "POST", "/api-keys", &body), "connection reset");
    let unavailable = request(&emulator, "GET", "/api-keys", "");
    assert!(unavailable.starts_with("HTTP/1.1 503 ") && unavailable.contains("retry-after: 7\r\n"), "{unavailable}");
    let listed = request(&emulator, "GET", "/api-keys", "");
    assert!(listed.contains(r#""api_key_id":1002"#), "the key exists although its answer was lost: {listed}");
    assert!(request(&emulator, "POST", "/api-keys", &body).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_ids_of_deleted_keys_are_reused_on_request() {
    for (options, second) in [(&[][..], "1003"), (&["--reuse-ids", "next"], "1002"), (&["--reuse-ids", "name"], "test")]
    {
        let emulator = Emulator::with(options);
        let create = || {
            let create = ["create", "spartera", "--name", "test", "--exact-name", "--role", "3", "--to", "-"];
            format!("spartera/{}", emulator.json(&create)["id"].as_str().unwrap())
        };
        emulator.json(&["delete", &create(), "--yes"]);
        assert_eq!(create(), format!("spartera/{second}"), "{options:?}");
    }
}

#[test]
fn the_log_has_one_line_per_request_and_no_secret() {
    let mut emulator = Emulator::with_stderr(&["--log"], Stdio::piped());
    request(&emulator, "GET", "/api-keys", "");
    request(&emulator, "GET", "/api-keys/1001", "");
    let mut log = BufReader::new(emulator.process.stderr.take().unwrap()).lines();
    let lines = [log.next().unwrap().unwrap(), log.next().unwrap().unwrap()];
    let company = &emulator.variables["SPARTERA_COMPANY_ID"];
    let list = format!(" spartera list GET /companies/{company}/api-keys -> 200 by 1001");
    let get = format!(" spartera get GET /companies/{company}/api-keys/1001 -> 200 by 1001");
    assert!(lines[0].ends_with(&list) && lines[1].ends_with(&get), "{lines:?}");
    assert!(!lines.concat().contains(&emulator.variables["SPARTERA_API_KEY"]), "{lines:?}");
    drop(log);
    // Nobody reads the log now. The emulator keeps serving.
    assert!(request(&emulator, "GET", "/api-keys", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_control_api_is_off_unless_enabled() {
    let closed = request(&Emulator::with(&[]), "GET", "/_emulator/changes", "");
    assert!(closed.starts_with("HTTP/1.1 404 "), "{closed}");
    let open = request(&Emulator::with(&["--control"]), "GET", "/_emulator/changes", "");
    assert!(open.starts_with("HTTP/1.1 200 ") && open.contains(r#""kind":"seeded""#), "{open}");
}

#[test]
fn the_revision_and_the_shape_can_be_chosen() {
    let current = request(&Emulator::with(&[]), "GET", "/api-keys", "");
    assert!(current.contains("key_type") && current.contains("api_key_id"), "{current}");
    let documented = request(&Emulator::with(&["--revision", "documented"]), "GET", "/api-keys", "");
    assert!(!documented.contains("key_type") && documented.contains("api_key_id"), "{documented}");
    let guide =
        request(&Emulator::with(&["--revision", "current", "--spartera-shape", "guide"]), "GET", "/api-keys", "");
    assert!(guide.contains(r#""meta":{"total":1"#) && !guide.contains("api_key_id"), "{guide}");
}

#[test]
fn a_mistake_is_a_usage_error_that_lists_valid_values() {
    for (options, expected) in [
        (["--fault", "create:explode"], "reset-before, reset-after"),
        (["--fault", "make:reset-after"], "list, create, get"),
        (["--fault", "create:reset-after:0"], "not a count"),
        (["--reuse-ids", "all"], "next, lowest, name"),
        (["--revision", "latest"], "documented, current"),
        (["--spartera-shape", "round"], "documented, guide"),
    ] {
        let output = program().arg("emulator").args(options).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {stderr}");
        assert!(stderr.contains(expected), "{options:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn it_prints_the_variables_and_nothing_else() {
    let emulator = Emulator::start();
    let names: Vec<_> = emulator.variables.keys().map(String::as_str).collect();
    let expected = [
        "MONAD_API_KEY",
        "MONAD_BASE_URL",
        "MONAD_ORGANIZATION_ID",
        "SPARTERA_API_KEY",
        "SPARTERA_BASE_URL",
        "SPARTERA_COMPANY_ID",
    ];
    assert_eq!(names, expected);
    let port = |name: &str| emulator.variables[name].split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(port("SPARTERA_BASE_URL"), port("MONAD_BASE_URL"), "both services share one port");
}

#[test]
#[cfg(unix)]
fn it_stops_cleanly_on_a_signal() {
    for name in ["-TERM", "-INT"] {
        let mut emulator = Emulator::start();
        crate::harness::signal(&emulator.process, name);
        assert_eq!(emulator.process.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
#[cfg(unix)]
fn it_restores_the_keys_from_its_state_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let options = ["--state", file.to_str().unwrap()];
    let mut first = Emulator::with(&options);
    let keys = ["spartera", "monad"].map(|provider| (provider, first.create(provider)));
    crate::harness::signal(&first.process, "-TERM");
    assert_eq!(first.process.wait().unwrap().code(), Some(0));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no other file is left");

    let second = Emulator::with(&options);
    for name in ["SPARTERA_API_KEY", "SPARTERA_COMPANY_ID", "MONAD_API_KEY", "MONAD_ORGANIZATION_ID"] {
        assert_eq!(second.variables[name], first.variables[name], "{name}");
    }
    for (provider, (key, secret)) in keys {
        assert!(second.run(&["get", &key]).code == 0 && second.works(provider, &secret), "{key}");
    }
}

#[test]
fn a_state_file_that_cannot_be_used_is_reported_before_the_emulator_starts() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, r#"{"spartera": {"keys": "sk_live_0123456789abcdef"}}"#).unwrap();
    for (path, expected) in [
        (broken.clone(), "line 1, column"),
        (folder.path().join("missing/state.json"), "cannot write"),
        (folder.path().to_owned(), "not a plain file"),
    ] {
        let output = program().args(["emulator", "--state"]).arg(&path).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{path:?}");
        assert!(stderr.contains(expected) && !stderr.contains("sk_live"), "{path:?}: {stderr}");
    }
    assert!(std::fs::read_to_string(&broken).unwrap().contains("sk_live"), "the file is unchanged");
}

#[test]
fn a_port_in_use_is_reported() {
    let emulator = Emulator::start();
    let port = emulator.variables["SPARTERA_BASE_URL"].rsplit(':').next().unwrap();
    let output = program().args(["emulator", "--port", port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot start"));
}
