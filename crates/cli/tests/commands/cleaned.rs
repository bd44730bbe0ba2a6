//! Text from outside cannot control the terminal, wherever it comes from and whichever command shows it.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

use api_keyring::is_printable;
use serde_json::{Value, json};

use crate::canaries::every_position;
use crate::harness::{Emulator, program};
use crate::hostile::{answer, client, read_request};

/// Shows whether a text was printed at all.
const MARKER: &str = "H0STILE";

/// A text with a character of every kind that does not show itself. No argument can hold a NUL.
const HOSTILE: &str = "H0STILE\u{1b}]0;title\u{7}\u{1b}[2J\t\r\n\u{8}\u{1}\u{7f}\u{9b}31m\u{85}\u{ad}\u{600}\u{61c}\u{180e}\
    \u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{206f}\u{feff}\u{fff9}\u{fffb}\u{fdd0}\u{ffff}\
    \u{e000}\u{f0000}\u{10fffd}\u{110bd}\u{1d173}\u{e0001}\u{e0041}\u{e007f}\u{3fffe}";

/// The output of the program, which may not be valid text.
struct Shown {
    stdout: String,
    stderr: String,
}

impl From<Output> for Shown {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Shown {
    /// Returns what is wrong with the output.
    fn violation(&self, is_json: bool) -> Option<String> {
        let commanding = self.stdout.chars().chain(self.stderr.chars()).find(|c| *c != '\n' && !is_printable(*c));
        if let Some(c) = commanding {
            return Some(format!("{c:?} is in {:?} {:?}", self.stdout, self.stderr));
        }
        let is_document = || serde_json::from_str::<Value>(&self.stdout).is_ok();
        (is_json && !self.stdout.is_empty() && !is_document()).then(|| format!("this is no JSON: {:?}", self.stdout))
    }

    fn is_marked(&self) -> bool {
        self.stdout.contains(MARKER) || self.stderr.contains(MARKER)
    }
}

/// Counts cells, and collects what is wrong with them.
#[derive(Default)]
struct Table {
    cells: usize,
    marked: usize,
    violations: Vec<String>,
}

impl Table {
    fn check(&mut self, cell: &str, mut command: Command, is_json: bool) {
        let shown = Shown::from(command.output().unwrap());
        self.cells += 1;
        self.marked += usize::from(shown.is_marked());
        self.violations.extend(shown.violation(is_json).map(|why| format!("{cell}: {why}")));
    }

    #[track_caller]
    fn end(self, what: &str) {
        println!("{} cells of {what}; {} of them show a part of it", self.cells, self.marked);
        assert!(self.violations.is_empty(), "{}", self.violations.join("\n"));
        assert!(self.marked * 5 >= self.cells, "too few cells show the text, so this test proves too little");
    }
}

/// Returns the answers of a service, each to every request.
fn answers() -> Vec<(&'static str, &'static str, String)> {
    let key = json!({
        "api_key_id": 7, "company_id": "acme", "role_id": 3, "name": HOSTILE, "description": HOSTILE, "user_id": HOSTILE,
        "date_created": HOSTILE, "expiration_date_utc": HOSTILE, "last_used": HOSTILE, "status": HOSTILE,
        "key_type": HOSTILE, "usage_count": 3, HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]},
    });
    let odd = json!({"api_key_id": 8, "name": {HOSTILE: 1}, "role_id": HOSTILE, "date_created": [HOSTILE]});
    let list = json!({"message": HOSTILE, "data": [key, odd, {"api_key_id": HOSTILE}, {HOSTILE: 1}]});
    let issued =
        json!({"message": HOSTILE, "data": {"api_key_id": "7", "key": "sk_live_0123456789abcdef", HOSTILE: HOSTILE}});
    let failure = json!({"code": 400, "message": HOSTILE, "errors": {HOSTILE: [HOSTILE]}});
    // Blank space inside of a value that is kept as text: a carriage return goes back to the start of the line.
    let blank = |value: &Value| value.to_string().replace("\":", "\":\r\t ").replace(",\"", ",\r\n\t\"");
    vec![
        ("a list", "200 OK", blank(&list)),
        ("a key", "200 OK", blank(&json!({"message": "ok", "data": key}))),
        ("an odd key", "200 OK", blank(&json!({"message": "ok", "data": odd}))),
        ("a new key", "200 OK", blank(&issued)),
        ("a failure", "400 Bad Request", failure.to_string()),
        ("a missing key", "404 Not Found", json!({"code": 404, "message": HOSTILE}).to_string()),
        ("another form", "400 Bad Request", json!({"error": HOSTILE}).to_string()),
        ("no JSON", "502 Bad Gateway", format!("<html>{HOSTILE}</html>")),
        ("no JSON, but a success", "200 OK", HOSTILE.to_owned()),
    ]
}

/// Every command that talks to a service. `{}` stands for a folder.
fn commands() -> Vec<Vec<String>> {
    let file = format!("file:{{}}/{HOSTILE}");
    let fleet = format!("file:{{}}/{{name}}{HOSTILE}");
    let commands = [
        vec!["list"],
        vec!["get", "spartera/7"],
        vec!["stats", "spartera/7"],
        vec!["providers"],
        vec!["create", "spartera", "--name", HOSTILE, "--role", "3", "--settle", "0s", "--to", &file, "--force"],
        vec!["create", "spartera", "--name", HOSTILE, "--exact-name", "--role", HOSTILE, "--to", "-"],
        vec!["update", "spartera/7", "--name", HOSTILE, "--description", HOSTILE],
        vec!["revoke", "spartera/7", "--reason", HOSTILE, "--yes"],
        vec!["delete", "spartera/7", "--yes"],
        vec!["delete", "spartera/7"],
        vec!["rotate", "spartera/7", "--to", &file, "--adopt", "--dry-run"],
        vec![
            "rotate",
            "spartera/7",
            "--to",
            &file,
            "--reason",
            HOSTILE,
            "--settle",
            "0s",
            "--verify-within",
            "0s",
            "--poll",
            "1ms",
            "--yes",
        ],
        vec!["rotate-fleet", "spartera", "--all", "--to", &fleet, "--dry-run"],
        vec!["rotate-fleet", "spartera", "--named", HOSTILE, "--to", &fleet, "--yes"],
        vec!["sweep", "spartera", "--in", &file],
        vec!["status", "--journal", HOSTILE],
    ];
    commands.into_iter().map(|command| command.into_iter().map(str::to_owned).collect()).collect()
}

#[test]
fn what_a_service_answers_cannot_control_the_terminal() {
    let mut table = Table::default();
    for (name, status, body) in answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                read_request(&mut stream);
                answer(&mut stream, status, &body);
            }
        });
        for arguments in commands() {
            for format in ["table", "json"] {
                let folder = tempfile::tempdir().unwrap();
                let place = folder.path().display().to_string();
                fs::write(folder.path().join(HOSTILE), "sk_live_0123456789abcdef").unwrap();
                let mut command = program();
                command
                    .env("SPARTERA_API_KEY", "sk_live_administrator")
                    .env("SPARTERA_COMPANY_ID", "acme")
                    .env("SPARTERA_BASE_URL", format!("http://{address}"))
                    .env("API_KEYRING_JOURNAL", folder.path().join("journal.sqlite"))
                    .args(["--output", format])
                    .args(arguments.iter().map(|argument| argument.replace("{}", &place)));
                table.check(&format!("{name}, {arguments:?}, {format}"), command, format == "json");
            }
        }
    }
    table.end("a service's answer");
}

#[test]
fn an_argument_cannot_control_the_terminal() {
    let mut table = Table::default();
    let folder = tempfile::tempdir().unwrap();
    for position in every_position() {
        for format in ["table", "json"] {
            let arguments = position.arguments(format, HOSTILE);
            let mut command = program();
            command
                .env("SPARTERA_API_KEY", "sk_live_administrator")
                .env("SPARTERA_COMPANY_ID", "acme")
                .env("SPARTERA_BASE_URL", "http://127.0.0.1:1")
                .env("API_KEYRING_JOURNAL", "/dev/null/journal.sqlite")
                .current_dir(&folder)
                .args(&arguments);
            table.check(&format!("{arguments:?}"), command, format == "json");
        }
    }
    table.end("an argument");
}

#[test]
fn what_the_environment_says_cannot_control_the_terminal() {
    let mut table = Table::default();
    let basis = [
        ("SPARTERA_API_KEY", "sk_live_administrator"),
        ("SPARTERA_COMPANY_ID", "acme"),
        ("SPARTERA_BASE_URL", "http://127.0.0.1:1"),
    ];
    for (variable, value) in [
        ("SPARTERA_COMPANY_ID", HOSTILE.to_owned()),
        ("SPARTERA_BASE_URL", format!("http://127.0.0.1:1/{HOSTILE}")),
        ("SPARTERA_BASE_URL", HOSTILE.to_owned()),
        ("API_KEYRING_ATTEMPTS", HOSTILE.to_owned()),
        ("API_KEYRING_JOURNAL", format!("/dev/null/{HOSTILE}")),
        ("XDG_STATE_HOME", format!("/dev/null/{HOSTILE}")),
        ("MONAD_API_KEY_FILE", format!("/dev/null/{HOSTILE}")),
        ("SSL_CERT_FILE", format!("/dev/null/{HOSTILE}")),
        ("SSL_CERT_DIR", format!("/dev/null/{HOSTILE}")),
        ("HTTPS_PROXY", HOSTILE.to_owned()),
    ] {
        for arguments in [
            &["list"][..],
            &["status"],
            &["resume"],
            &["history"],
            &["rotate", "spartera/7", "--to", "file:/dev/null/x"],
        ] {
            for format in ["table", "json"] {
                let mut command = program();
                // Only https needs what these variables name.
                if variable.starts_with("SSL") || variable.starts_with("HTTPS") {
                    command.env("MONAD_BASE_URL", "https://api.example.test").env("MONAD_ORGANIZATION_ID", "acme");
                    command.env("MONAD_API_KEY", "correct-horse");
                }
                command.envs(basis).env(variable, &value).args(["--output", format]).args(arguments);
                table.check(&format!("{variable}, {arguments:?}, {format}"), command, format == "json");
            }
        }
    }
    table.end("a variable");
}

/// A rotation whose texts are all hostile, in the journal. Returns the journal's path and the id of the rotation.
fn hostile_rotation(emulator: &Emulator, folder: &std::path::Path) -> (String, String) {
    // A rotation refuses the path of a file that has a line break.
    let file = folder.join(HOSTILE.replace(['\r', '\n'], ""));
    let create =
        ["create", "spartera", "--name", HOSTILE, "--exact-name", "--description", HOSTILE, "--role", "3", "--to", "-"];
    let issued = emulator.json(&create);
    fs::write(&file, issued["secret"].as_str().unwrap()).unwrap();
    let journal = folder.join(format!("journal-{HOSTILE}")).display().to_string();
    let (key, to) = (format!("spartera/{}", issued["id"].as_str().unwrap()), format!("file:{}", file.display()));
    let run = emulator
        .client(&[
            "--output",
            "json",
            "rotate",
            &key,
            "--to",
            &to,
            "--journal",
            &journal,
            "--reason",
            HOSTILE,
            "--grace",
            "1h",
            "--wait",
            "0s",
            "--poll",
            "1ms",
            "--yes",
        ])
        .output()
        .unwrap();
    let record: Value =
        serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&run.stderr)));
    (journal, record["id"].as_str().unwrap().to_owned())
}

#[test]
fn what_the_journal_says_cannot_control_the_terminal() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let (journal, id) = hostile_rotation(&emulator, folder.path());
    let mut table = Table::default();
    let cases = [
        vec!["status"],
        vec!["status", &id],
        vec!["history"],
        vec!["history", &id],
        vec!["resume", "--wait", "0s"],
        vec!["resume", &id, "--wait", "0s"],
        vec!["abort", &id],
        vec!["abort", &id, "--yes", "--reason", HOSTILE],
        vec!["status", &id],
        vec!["history", &id],
        vec!["resume", &id],
    ];
    for arguments in cases {
        for format in ["table", "json"] {
            let mut command = emulator.client(&["--output", format]);
            command.args(&arguments).args(["--journal", &journal]);
            table.check(&format!("{arguments:?}, {format}"), command, format == "json");
        }
    }
    table.end("a journal's row");
}

#[test]
fn the_log_of_the_emulator_cannot_control_the_terminal() {
    let mut emulator = Emulator::with_stderr(&["--log"], Stdio::piped());
    let address =
        emulator.variables["SPARTERA_BASE_URL"].trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let path: String = HOSTILE.chars().filter(|c| !c.is_ascii_control() && *c != ' ').collect();
    for path in
        [format!("/companies/acme/api-keys/{path}"), format!("/{path}?{path}={path}"), "/%1b%5b2J%c2%9b".to_owned()]
    {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {path}\r\nconnection: close\r\nx-api-key: {path}\r\n\r\n")
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let _ = emulator.run(&["update", "spartera/1001", "--name", HOSTILE]);
    crate::harness::signal(&emulator.process, "-TERM");
    let mut log = String::new();
    BufReader::new(emulator.process.stderr.take().unwrap()).read_to_string(&mut log).unwrap();
    assert!(log.lines().count() >= 2 && log.contains("PATCH"), "{log:?}");
    assert!(log.chars().all(|c| c == '\n' || is_printable(c)), "{log:?}");
}

#[test]
#[cfg(unix)]
fn an_answer_that_is_set_aside_cannot_control_a_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--settle", "0s", "--to", "-"];
    let (mut controller, terminal) = crate::harness::open_terminal();
    let mut command = client(&listener, &create);
    command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            let body = [b"<html>", HOSTILE.as_bytes(), b"\xff\xfe</html>"].concat();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length";
            stream.write_all(&[format!("{head}: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()).unwrap();
        }
    });
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut shown, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = controller.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    // The terminal itself adds a carriage return to each line end.
    let shown = String::from_utf8(shown).unwrap().replace("\r\n", "\n");
    assert!(shown.contains(".unclaimed") && !shown.contains("H0STILE"), "{shown:?}");
    assert!(shown.chars().all(|c| c == '\n' || is_printable(c)), "{shown:?}");
}
