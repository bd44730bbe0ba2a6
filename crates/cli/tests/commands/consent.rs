//! Destructive commands need consent.

#[cfg(unix)]
use std::fs::{File, OpenOptions};
#[cfg(unix)]
use std::io::{Read as _, Write as _};

use crate::harness::Emulator;

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
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut controller = File::from(controller);

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
