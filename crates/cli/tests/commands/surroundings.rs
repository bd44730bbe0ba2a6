//! What the environment says of proxies, certificates and files with credentials.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use api_keyring::is_printable;
use api_keyring_emulator::Fault;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::{Emulator, Run, in_process, program};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../transport/tests/fixtures", name].iter().collect()
}

/// What a proxy does with a request for a tunnel.
#[derive(Clone, Copy)]
enum Proxy {
    /// It leads to a server with this certificate, which has no keys.
    Tunnel(&'static str),
    /// It gives this answer.
    Answer(&'static str),
}

/// Starts a proxy, and counts its connections.
fn proxy(behaviour: Proxy) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            read_head(&mut stream);
            match behaviour {
                Proxy::Answer(answer) => drop(stream.write_all(answer.as_bytes())),
                Proxy::Tunnel(certificate) => serve(stream, certificate),
            }
        }
    });
    (address, count)
}

/// Answers one request over TLS, with an empty list. A client that does not trust the certificate leaves before.
fn serve(mut stream: TcpStream, certificate: &str) {
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let certificate = CertificateDer::from_pem_file(fixture(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
    if read_head(&mut stream) {
        let body = r#"{"message": "ok", "data": []}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

/// Returns whether a whole head arrived.
fn read_head(stream: &mut impl std::io::Read) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Lists the keys of a service that only a proxy can reach. The program may try three times.
fn list(variables: &[(&str, &str)]) -> Command {
    let mut command = program();
    command
        .env("SPARTERA_API_KEY", "sk_live_administrator")
        .env("SPARTERA_COMPANY_ID", "acme")
        .env("SPARTERA_BASE_URL", "https://api.example.test")
        .env("API_KEYRING_ATTEMPTS", "3")
        .envs(variables.iter().copied())
        .args(["list", "spartera"]);
    command
}

#[test]
fn a_proxy_and_an_authority_of_your_own_are_honoured() {
    let (address, count) = proxy(Proxy::Tunnel("server.pem"));
    let authority = fixture("authority.pem").display().to_string();
    let named = format!("http://user:canary@{address}");
    let run: Run = list(&[("HTTPS_PROXY", &named), ("SSL_CERT_FILE", &authority)]).output().unwrap().into();
    assert_eq!((run.code, &*run.stderr), (0, ""));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

const PROXY_WITH_PASSWORD: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";

#[test]
fn what_only_a_change_of_settings_can_mend_is_explained_and_not_retried() {
    let authority = fixture("authority.pem").display().to_string();
    let other = fixture("odd-name.pem").display().to_string();
    let mut cells = 0;
    for (behaviour, trusted, told) in [
        (Proxy::Tunnel("server.pem"), &other, ["SSL_CERT_FILE", "UnknownIssuer"]),
        // The name in the certificate is shown, and tries to control the terminal.
        (Proxy::Tunnel("odd-name.pem"), &authority, ["Check the base URL and the proxy", "evil"]),
        (Proxy::Tunnel("expired.pem"), &authority, ["clock", "expired"]),
        (Proxy::Answer(PROXY_WITH_PASSWORD), &authority, ["USER:PASSWORD@HOST:PORT", "proxy"]),
    ] {
        for format in ["table", "json"] {
            let (address, count) = proxy(behaviour);
            let named = format!("http://user:canary@{address}");
            let mut command = list(&[("HTTPS_PROXY", &named), ("SSL_CERT_FILE", trusted)]);
            let run: Run = command.args(["--output", format]).output().unwrap().into();
            assert_eq!((run.code, &*run.stdout), (1, ""), "{}", run.stderr);
            assert!(
                told.iter().all(|told| run.stderr.contains(told)) && run.stderr.contains("Nothing was sent"),
                "{}",
                run.stderr
            );
            assert!(run.stderr.chars().all(|c| c == '\n' || is_printable(c)), "{:?}", run.stderr);
            assert!(!run.stderr.contains("canary"), "{}", run.stderr);
            assert_eq!(count.load(Ordering::SeqCst), 1, "{}", run.stderr);
            cells += 1;
        }
    }
    println!("{cells} cells of a connection that cannot be set up");
}

#[test]
fn a_rotation_does_not_wait_for_what_only_a_change_of_settings_can_mend() {
    let emulator = in_process(api_keyring_emulator::Emulator::builder().seed(3));
    let old = emulator.spartera().add_keys(1).remove(0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    fs::write(&path, &old.secret).unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| -> Run {
        let mut command = program();
        command.envs(emulator.environment()).env("API_KEYRING_JOURNAL", folder.path().join("journal"));
        command.envs(variables.iter().copied()).args(arguments).output().unwrap().into()
    };
    // The vendor cannot be reached once the new secret is to be tried.
    emulator.inject("list:status=503:1000@3".parse::<Fault>().unwrap());
    let (key, to) = (format!("spartera/{}", old.id), format!("file:{}", path.display()));
    let rotate = ["rotate", &key, "--to", &to, "--role", "3", "--leaked", "--settle", "0s", "--poll", "1ms"];
    let begun = run(&[&rotate[..], &["--verify-within", "1s", "--yes"]].concat(), &[]);
    assert!(begun.stderr.contains(": delivered"), "{}", begun.stderr);
    let status: serde_json::Value = serde_json::from_str(&run(&["status", "--output", "json"], &[]).stdout).unwrap();
    let id = status[0]["id"].as_str().unwrap();
    let authority = fixture("authority.pem").display().to_string();
    for behaviour in [Proxy::Tunnel("expired.pem"), Proxy::Answer(PROXY_WITH_PASSWORD)] {
        for task in [&["resume", id][..], &["abort", id, "--yes"]] {
            let (address, count) = proxy(behaviour);
            let proxy = format!("http://{address}");
            let variables = [
                ("SPARTERA_BASE_URL", "https://api.example.test"),
                ("SSL_CERT_FILE", &*authority),
                ("HTTPS_PROXY", &*proxy),
            ];
            let run = run(task, &variables);
            assert!(run.code == 1 && run.stderr.contains("Nothing was sent"), "{task:?}: {}", run.stderr);
            let count = count.load(Ordering::SeqCst);
            assert!((1..=4).contains(&count), "{task:?}: it connected {count} times");
        }
    }
}

#[test]
fn an_environment_that_cannot_be_honoured_is_refused_before_anything_is_sent() {
    for (variable, value, told) in [
        ("HTTPS_PROXY", "socks5://user:canary@127.0.0.1:1", "SOCKS"),
        ("ALL_PROXY", "socks5h://user:canary@127.0.0.1:1", "SOCKS"),
        ("https_proxy", "http://canary:port", "not the URL of a proxy"),
        ("SSL_CERT_FILE", "/dev/null/authority.pem", "/dev/null/authority.pem"),
        ("SSL_CERT_FILE", "/dev/null", "not a regular file"),
        ("SSL_CERT_DIR", "/dev/null/authorities", "/dev/null/authorities"),
    ] {
        let run: Run = list(&[(variable, value)]).output().unwrap().into();
        assert_eq!((run.code, &*run.stdout), (2, ""), "{variable}={value}: {}", run.stderr);
        assert!(run.stderr.contains(variable) && run.stderr.contains(told), "{variable}={value}: {}", run.stderr);
        assert!(!run.stderr.contains("canary"), "{}", run.stderr);
    }
    // An emulator on this machine needs neither proxies nor certificates.
    let emulator = Emulator::start();
    let mut command = emulator.client(&["list"]);
    command.env("ALL_PROXY", "socks5://127.0.0.1:1").env("SSL_CERT_FILE", "/dev/null/authority.pem");
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// Runs `list` with the credential of a provider in a file.
fn list_with_file(emulator: &Emulator, variable: &str, path: &Path) -> Run {
    let provider = if variable.starts_with("SPARTERA") { "spartera" } else { "monad" };
    let mut command = emulator.client(&["list", provider]);
    for other in ["SPARTERA_API_KEY", "MONAD_API_KEY", "MONAD_BEARER_TOKEN"] {
        command.env_remove(other);
    }
    command.env(format!("{variable}_FILE"), path).output().unwrap().into()
}

#[test]
fn a_credential_comes_from_a_file_and_is_never_shown() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    for (variable, holder) in [
        ("SPARTERA_API_KEY", "SPARTERA_API_KEY"),
        ("MONAD_API_KEY", "MONAD_API_KEY"),
        ("MONAD_BEARER_TOKEN", "MONAD_API_KEY"),
    ] {
        fs::write(&path, format!("{}\n", emulator.variables[holder])).unwrap();
        set_mode(&path, 0o600);
        let run = list_with_file(&emulator, variable, &path);
        assert_eq!((run.code, &*run.stderr), (0, ""), "{variable}");
        // Other users can read it, which is usual in a container.
        set_mode(&path, 0o644);
        let run = list_with_file(&emulator, variable, &path);
        assert_eq!(run.code, 0, "{}", run.stderr);
        #[cfg(unix)]
        assert!(run.stderr.contains(&format!("{variable}_FILE")) && run.stderr.lines().count() == 1, "{}", run.stderr);
        // Both are set.
        let mut command = emulator.client(&["list"]);
        let run: Run = command.env(format!("{variable}_FILE"), &path).env(variable, "canary").output().unwrap().into();
        assert!(run.code == 2 && run.stderr.contains("are set"), "{}", run.stderr);
        for content in ["canary canary", "canary\ncanary", "", "canary\u{1b}"] {
            fs::write(&path, content).unwrap();
            let run = list_with_file(&emulator, variable, &path);
            assert_eq!((run.code, &*run.stdout), (2, ""), "{}", run.stderr);
            assert!(run.stderr.contains(&*path.to_string_lossy()), "{}", run.stderr);
            assert!(!run.stderr.contains("canary"), "{}", run.stderr);
        }
        // The value of a file is a secret among the arguments, too.
        fs::write(&path, "correct-horse").unwrap();
        let mut command = emulator.client(&["get", "correct-horse"]);
        let run: Run = command.env(format!("{variable}_FILE"), &path).env_remove(variable).output().unwrap().into();
        assert!(run.code == 2 && !run.stderr.contains("horse"), "{}", run.stderr);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}
