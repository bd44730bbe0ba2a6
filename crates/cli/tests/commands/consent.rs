//! Destructive commands need consent.

#[cfg(unix)]
use std::io::{Read as _, Write as _};

use crate::harness::Emulator;
#[cfg(unix)]
use crate::harness::open_terminal;

#[test]
fn without_a_terminal_destructive_commands_need_yes() {
    let emulator = Emulator::start();
    let (spartera, spartera_secret) = emulator.create("spartera");
    let (monad, monad_secret) = emulator.create("monad");
    for arguments in [
        &["revoke", &spartera][..],
        &["delete", &spartera],
        &["delete", &monad],
        &["rotate", &monad, "--in-place", "--even-own", "--to", "-"],
    ] {
        let run = emulator.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    }
    assert!(emulator.works("spartera", &spartera_secret) && emulator.works("monad", &monad_secret));
}

/// Runs the program at a terminal where somebody types `answer`. Returns its exit code and what the terminal shows.
#[cfg(unix)]
fn at_a_terminal(emulator: &Emulator, arguments: &[&str], answer: &str) -> (i32, String) {
    at_a_terminal_after(emulator, arguments, answer, || {})
}

/// Does the same, but something happens before somebody answers.
#[cfg(unix)]
fn at_a_terminal_after(
    emulator: &Emulator,
    arguments: &[&str],
    answer: &str,
    meanwhile: impl FnOnce(),
) -> (i32, String) {
    let mut meanwhile = Some(meanwhile);
    let (mut controller, terminal) = open_terminal();
    let mut command = emulator.client(arguments);
    command.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    // This process gives up the terminal, so that reading ends when the program does.
    drop(command);

    let mut shown = String::new();
    let mut buffer = [0; 1024];
    let mut is_answered = false;
    // At the end, reading from a terminal fails; it does not return zero bytes.
    while let Ok(read @ 1..) = controller.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if !is_answered && shown.contains("[y/N]") {
            meanwhile.take().unwrap()();
            controller.write_all(answer.as_bytes()).unwrap();
            is_answered = true;
        }
    }
    (child.wait().unwrap().code().unwrap(), shown)
}

#[test]
#[cfg(unix)]
fn at_a_terminal_destructive_commands_ask() {
    const END_OF_INPUT: &str = "\u{4}";
    let emulator = Emulator::start();
    let (key, secret) = emulator.create("monad");
    for refusal in ["n\n", "\n", "yesterday\n", END_OF_INPUT] {
        let (code, shown) = at_a_terminal(&emulator, &["delete", &key], refusal);
        assert_eq!(code, 1, "{refusal:?}: {shown}");
        assert!(shown.contains(&key) && shown.contains("nothing was done"), "{shown}");
        assert!(emulator.works("monad", &secret));
    }
    let (code, shown) = at_a_terminal(&emulator, &["revoke", &key], "y\n");
    assert_eq!(code, 2, "the vendor does not support it: {shown}");
    assert!(!shown.contains("[y/N]"), "there is no question: {shown}");
    let (code, shown) = at_a_terminal(&emulator, &["delete", &key], "y\n");
    assert_eq!(code, 0, "{shown}");
    assert!(!emulator.works("monad", &secret));
}

#[test]
#[cfg(unix)]
fn the_question_says_whether_the_key_may_be_your_own_credential() {
    let emulator = Emulator::start();
    // Monad shows no part of a secret, so nothing tells that a key is another one than yours. Spartera does.
    for (provider, is_unclear) in [("monad", true), ("spartera", false)] {
        let (key, _) = emulator.create(provider);
        let (_, shown) = at_a_terminal(&emulator, &["delete", &key], "n\n");
        assert_eq!(shown.contains("It may be your own credential"), is_unclear, "{shown}");
    }
    let (code, shown) = at_a_terminal(&emulator, &["delete", "spartera/1001", "--even-own"], "n\n");
    assert!(code == 1 && shown.contains("It is your own credential"), "{shown}");
    let (code, shown) = at_a_terminal(&emulator, &["delete", "spartera/1001"], "y\n");
    assert!(code == 2 && !shown.contains("[y/N]"), "there is no question: {shown}");
}

/// While the question waits, the owner deletes the key, and another key gets its id.
#[test]
#[cfg(unix)]
fn a_key_that_has_got_the_id_while_the_question_waits_is_spared() {
    let emulator = Emulator::with(&["--reuse-ids", "next"]);
    let names = |emulator: &Emulator| {
        let keys = emulator.json(&["list", "spartera"]);
        keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let create = |name: &str| {
        let create = ["create", "spartera", "--name", name, "--exact-name", "--role", "3", "--to", "-"];
        format!("spartera/{}", emulator.json(&create)["id"].as_str().unwrap())
    };
    for command in ["delete", "revoke"] {
        let key = create("mine");
        let (code, shown) = at_a_terminal_after(&emulator, &[command, &key], "y\n", || {
            emulator.json(&["delete", &key, "--yes"]);
            assert_eq!(create("theirs"), key);
        });
        assert!(code == 1 && shown.contains("is another key by now"), "{command}: {shown}");
        assert_eq!(emulator.json(&["get", &key])["status"], "active", "{command}");
        emulator.json(&["delete", &key, "--yes"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("used").display().to_string();
    std::fs::write(&place, "another-secret").unwrap();
    let orphan = create("mine ~0123456789abcdef");
    let place = format!("file:{place}");
    let sweep = ["sweep", "spartera", "--retire", "--even-unknown", "--in", &place];
    let (code, shown) = at_a_terminal_after(&emulator, &sweep, "y\n", || {
        emulator.json(&["delete", &orphan, "--yes"]);
        assert_eq!(create("theirs"), orphan);
    });
    assert_eq!((code, names(&emulator)), (0, vec!["administrator".to_owned(), "theirs".to_owned()]), "{shown}");
}
