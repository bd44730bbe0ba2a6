//! A new secret reaches its destination, or the new key is deleted.

use std::fs;
use std::process::Stdio;

use crate::harness::{Emulator, Run};

const CREATE: [&str; 8] = ["create", "spartera", "--name", "ci", "--role", "3", "--expires-in", "90d"];

fn create_to(destination: &str) -> Vec<&str> {
    [&CREATE[..], &["--to", destination]].concat()
}

#[test]
fn a_file_holds_only_the_secret_and_only_its_owner_can_read_it() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    let destination = format!("file:{}", path.display());

    let run = emulator.run(&create_to(&destination));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let secret = fs::read_to_string(&path).unwrap();
    assert!(secret.starts_with("sk_live_") && secret.trim() == secret);
    assert!(emulator.works("spartera", &secret));
    assert!(!run.stdout.contains(&secret) && !run.stderr.contains(&secret));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let keys = emulator.ids("spartera");
    let refused = emulator.run(&create_to(&destination));
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    assert_eq!(emulator.ids("spartera"), keys, "no key is created");

    let mut forced = create_to(&destination);
    forced.push("--force");
    assert_eq!(emulator.run(&forced).code, 0);
    assert_ne!(fs::read_to_string(&path).unwrap(), secret);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn standard_output_holds_only_the_secret() {
    let emulator = Emulator::start();
    let run = emulator.run(&create_to("-"));
    assert_eq!(run.code, 0);
    assert!(emulator.works("spartera", run.stdout.trim_end()));
    assert!(!run.stderr.contains(run.stdout.trim_end()));
}

#[test]
fn a_destination_that_cannot_be_written_is_refused_before_a_key_is_created() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("file:{}", folder.path().join("missing/ci.key").display());
    let is_folder = format!("file:{}", folder.path().display());
    for destination in [Some(missing.as_str()), Some(&is_folder), None] {
        let run = match destination {
            Some(destination) => emulator.run(&create_to(destination)),
            None => emulator.run(&CREATE),
        };
        assert_ne!(run.code, 0, "{destination:?}");
        assert!(run.stdout.is_empty());
    }
    assert_eq!(emulator.ids("spartera").len(), 1, "no key is created");
}

#[test]
#[cfg(unix)]
fn a_discarded_standard_output_is_refused() {
    let emulator = Emulator::start();
    let run: Run = emulator.client(&create_to("-")).stdout(Stdio::null()).output().unwrap().into();
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(emulator.ids("spartera").len(), 1, "no key is created");
}

#[test]
#[cfg(target_os = "linux")]
fn a_new_key_whose_secret_cannot_be_delivered_is_deleted() {
    let emulator = Emulator::start();
    for format in ["table", "json"] {
        let mut command = emulator.client(&create_to("-"));
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run: Run = command.args(["--output", format]).stdout(full).output().unwrap().into();
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains("api-keyring deleted the new key"), "{}", run.stderr);
        assert!(!run.stderr.contains("sk_live_"), "{}", run.stderr);
        assert_eq!(emulator.ids("spartera").len(), 1, "no key is left behind");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_rotated_secret_that_cannot_be_delivered_is_reported() {
    let emulator = Emulator::start();
    let (key, old) = emulator.create("monad");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = emulator.client(&["rotate", &key, "--in-place", "--even-own", "--yes", "--to", "-"]);
    let run: Run = command.stdout(full).output().unwrap().into();
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains(".unclaimed instead of standard output"), "{}", run.stderr);
    assert!(!emulator.works("monad", &old));
}

#[test]
fn a_closed_standard_output_is_not_a_failure() {
    let emulator = Emulator::start();
    let mut child = emulator.client(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!((run.code, &*run.stderr), (0, ""));
}
