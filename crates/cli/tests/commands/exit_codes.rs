//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 unfinished, 4 authentication or permission, 5 not found.

use crate::harness::{Emulator, Run, program};

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let emulator = Emulator::start();
    for (arguments, code, message) in [
        (&["list"][..], 0, ""),
        (&["get", "spartera/999999"], 5, "Resource not found"),
        (&["get", "monad/no-such-key"], 5, "API key not found"),
        (&["delete", "monad/no-such-key", "--yes"], 5, "delete of key no-such-key"),
        (&["stats", "spartera/999999"], 5, "Resource not found"),
        (&["list", "siem"], 2, "use monad or spartera"),
        (&["get", "spartera"], 2, "PROVIDER/ID"),
        (&["get", "spartera/.."], 2, "does not start with '.'"),
        (&["get", "spartera/a/b"], 2, "letters"),
        (&["update", "spartera/1001"], 2, "changes nothing"),
        (&["update", "monad/x", "--role", "role-admin"], 2, "Create a key with the other role"),
        (&["revoke", "monad/x", "--yes"], 2, "Delete the key"),
        (&["stats", "monad/x"], 2, "does not offer stats"),
        (&["rotate", "spartera/1001", "--in-place", "--to", "-", "--yes"], 2, "Create a new key"),
        (&["rotate", "monad/x", "--to", "-", "--yes"], 2, "--in-place"),
        (&["create", "spartera", "--name", "x", "--role", "admin", "--to", "-"], 2, "not a number"),
        (&["create", "spartera", "--name", " ", "--role", "3", "--to", "-"], 2, "name is blank"),
        (&["create", "spartera", "--name", "x", "--role", "999", "--to", "-"], 1, "role"),
        (&["create", "monad", "--name", "x", "--role", "role-reader", "--to", "-"], 2, "requires an expiry"),
        (&["create", "monad", "--name", "x", "--role", "r", "--expires-in", "soon", "--to", "-"], 2, "90d"),
        (&["create", "monad", "--name", "x", "--role", "r", "--expires-at", "soon", "--to", "-"], 2, "2030-01-31"),
        (&["create", "spartera", "--name", "x", "--role", "3", "--to", "nowhere"], 2, "file:PATH"),
        (&["nonsense"], 2, "unrecognized"),
    ] {
        let run = emulator.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout.is_empty(), code != 0, "{arguments:?}: {}", run.stdout);
    }
    assert_eq!((emulator.ids("spartera").len(), emulator.ids("monad").len()), (1, 1), "no key is created");
}

#[test]
fn a_refused_credential_is_code_4_and_is_not_repeated() {
    let emulator = Emulator::start();
    let canary = "sk_live_canary_0123456789abcdef";
    for provider in ["spartera", "monad"] {
        let mut command = emulator.client(&["list", provider]);
        let run: Run = command.env("SPARTERA_API_KEY", canary).env("MONAD_API_KEY", canary).output().unwrap().into();
        assert_eq!(run.code, 4, "{}", run.stderr);
        assert!(run.stderr.contains("Check the credential"), "{}", run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"));
    }
    // A reader has no permission to create keys.
    let (_, reader) = emulator.create("spartera");
    let mut command = emulator.client(&["create", "spartera", "--name", "x", "--role", "3", "--to", "-"]);
    let run: Run = command.env("SPARTERA_API_KEY", &reader).output().unwrap().into();
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(!run.stderr.contains(&reader));
}

#[test]
fn a_missing_or_wrong_configuration_is_code_2() {
    for (variables, message) in [
        (&[][..], "no provider is configured"),
        (&[("SPARTERA_API_KEY", "canary")], "SPARTERA_COMPANY_ID is not"),
        (&[("SPARTERA_API_KEY", "canary\r\n"), ("SPARTERA_COMPANY_ID", "acme")], "line break"),
        (
            &[("SPARTERA_API_KEY", "canary"), ("SPARTERA_COMPANY_ID", "a"), ("SPARTERA_BASE_URL", "http://192.0.2.1")],
            "plain http",
        ),
    ] {
        let run: Run = program().envs(variables.iter().copied()).arg("list").output().unwrap().into();
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(message) && !run.stderr.contains("canary"), "{}", run.stderr);
    }
}

#[test]
fn a_service_that_cannot_be_reached_is_code_1() {
    // Nothing listens on a port that was bound and dropped.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables = [
        ("SPARTERA_API_KEY", "canary".to_owned()),
        ("SPARTERA_COMPANY_ID", "acme".to_owned()),
        ("SPARTERA_BASE_URL", format!("http://127.0.0.1:{port}")),
    ];
    let run: Run = program().envs(variables).arg("list").output().unwrap().into();
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("Nothing was sent") && run.stderr.contains("caused by"), "{}", run.stderr);
}

#[test]
fn a_repeatable_call_is_retried_and_the_retry_is_reported() {
    // The vendor names no waiting time, so the first wait is at most a quarter of a second.
    let emulator = Emulator::with(&["--fault", "list:status=503:1", "--fault", "create:status=503:1"]);
    let with_retries = |arguments: &[&str]| -> Run {
        emulator.client(arguments).env_remove("API_KEYRING_ATTEMPTS").output().unwrap().into()
    };
    let run = with_retries(&["list", "spartera"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.starts_with("attempt 1 failed, retrying in "), "{}", run.stderr);
    assert!(run.stdout.contains("spartera/1001"), "{}", run.stdout);
    // A create that may have taken effect is not retried.
    let run = with_retries(&["create", "spartera", "--name", "x", "--role", "3", "--settle", "0s", "--to", "-"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(!run.stderr.contains("attempt"), "{}", run.stderr);
    assert_eq!(emulator.ids("spartera").len(), 1);
}
