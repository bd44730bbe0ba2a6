//! Rotating many keys from the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Emulator, Run};

/// An emulator, and a folder for the secrets of its keys and a journal.
struct Bench {
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { emulator: Emulator::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.key"))).unwrap()
    }

    /// Issues a key, and keeps its secret. Returns the key's id.
    fn create(&self, name: &str) -> String {
        let key = self.emulator.json(&["create", "spartera", "--name", name, "--role", "3", "--to", "-"]);
        if Path::new(name).components().count() == 1 {
            fs::write(self.path(&format!("{name}.key")), key["secret"].as_str().unwrap()).unwrap();
        }
        key["id"].as_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.emulator.client(&["--output", "json"]);
        command.args(arguments).env("API_KEYRING_JOURNAL", self.path("journal.sqlite")).output().unwrap().into()
    }

    /// Rotates those named `ci…`; returns the exit code and what is told.
    fn rotate(&self, arguments: &[&str]) -> (i32, Value) {
        let to = format!("file:{}", self.path("{name}.key"));
        let all = ["rotate-fleet", "spartera", "--named", "ci*", "--role", "3", "--to", &to, "--poll", "1ms", "--yes"];
        let run = self.run(&[&all[..], arguments].concat());
        (run.code, serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr)))
    }

    fn works(&self, secret: &str) -> bool {
        self.emulator.works("spartera", secret)
    }
}

#[test]
fn all_keys_of_a_name_are_rotated_each_in_its_place() {
    let bench = Bench::new();
    let names = ["ci-1", "ci-2", "ci-3", "cd"];
    names.iter().for_each(|name| drop(bench.create(name)));
    let before: Vec<_> = names.iter().map(|name| bench.secret(name)).collect();

    let (code, plans) = bench.rotate(&["--dry-run"]);
    assert_eq!((code, plans.as_array().unwrap().len()), (0, 3));
    assert!(plans[0]["plan"]["sinks"][0].as_str().unwrap().ends_with("/ci-1.key"), "{plans}");
    assert_eq!(names.map(|name| bench.secret(name)).to_vec(), before);

    let (code, told) = bench.rotate(&["--grace", "1h"]);
    assert_eq!((code, &told["waiting"], &told["failed"]), (0, &json!(3), &json!(0)), "{told}");
    // The next day's job finds old keys and new ones, and leaves them to the rotations that they belong to.
    let (code, told) = bench.rotate(&[]);
    assert_eq!((code, &told["waiting"], &told["failed"]), (0, &json!(6), &json!(0)), "{told}");
    let unfinished: Value = serde_json::from_str(&bench.run(&["status"]).stdout).unwrap();
    for rotation in unfinished.as_array().unwrap() {
        assert_eq!(bench.run(&["abort", rotation["id"].as_str().unwrap(), "--yes"]).code, 0);
    }
    assert_eq!(names.map(|name| bench.secret(name)).to_vec(), before);

    let (code, told) = bench.rotate(&["--leaked", "--canaries", "1,1", "--concurrency", "2"]);
    assert_eq!((code, &told["done"], &told["stopped"]), (0, &json!(3), &Value::Null), "{told}");
    for (name, old) in names.into_iter().zip(&before) {
        assert_eq!(bench.works(old), name == "cd", "{name}");
        assert!(bench.works(&bench.secret(name)), "{name}");
    }
}

#[test]
fn a_key_whose_place_nobody_can_tell_is_left_alone() {
    let bench = Bench::new();
    // Two of one name, one that would lead elsewhere, and one whose secret is not where it should be.
    bench.create("ci-twice");
    bench.create("ci-twice");
    bench.create("ci/../../elsewhere");
    bench.create("ci-lost");
    bench.create("ci-fine");
    fs::remove_file(bench.path("ci-lost.key")).unwrap();
    let (code, told) = bench.rotate(&["--leaked", "--canaries", "0"]);
    assert_eq!((code, &told["done"], &told["failed"]), (1, &json!(1), &json!(4)), "{told}");
    let whys: Vec<_> = told["keys"].as_array().unwrap().iter().filter_map(|key| key["why"].as_str()).collect();
    for why in ["2 keys are named \"ci-twice\"", "cannot stand in the name of a place", "is empty"] {
        assert!(whys.iter().any(|told| told.contains(why)), "{whys:?}");
    }
    let mut files: Vec<_> = fs::read_dir(bench.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".key"))
        .collect();
    files.sort_unstable();
    assert_eq!(files, ["ci-fine.key", "ci-twice.key"]);
}

#[test]
fn a_place_that_a_rotation_under_way_has_is_left_to_it() {
    let bench = Bench::new();
    let other = bench.create("ci-twice");
    let own = format!("spartera/{}", bench.create("ci-twice"));
    let to = format!("file:{}", bench.path("ci-twice.key"));
    assert_eq!(bench.run(&["rotate", &own, "--to", &to, "--role", "3", "--poll", "1ms", "--yes"]).code, 0);
    let new = bench.secret("ci-twice");
    let (code, told) = bench.rotate(&["--leaked", "--adopt"]);
    assert_eq!((code, &told["waiting"], &told["failed"]), (1, &json!(2), &json!(1)), "{told}");
    let keys = told["keys"].as_array().unwrap();
    let why = keys.iter().find(|key| key["id"] == other.as_str()).unwrap()["why"].as_str().unwrap();
    assert!(why.contains("2 keys are named"), "{why}");
    assert_eq!(bench.secret("ci-twice"), new);
}

#[test]
fn a_canary_that_fails_spares_the_rest() {
    let bench = Bench::new();
    ["ci-1", "ci-2", "ci-3"].iter().for_each(|name| drop(bench.create(name)));
    fs::remove_file(bench.path("ci-1.key")).unwrap();
    let (code, told) = bench.rotate(&["--leaked", "--canaries", "1"]);
    assert_eq!((code, &told["failed"], &told["left_alone"]), (1, &json!(1), &json!(2)), "{told}");
    assert!(told["stopped"].as_str().unwrap().contains("is empty"), "{told}");
    assert!(bench.works(&bench.secret("ci-2")));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let bench = Bench::new();
    for (arguments, why) in [
        (&["rotate-fleet", "spartera", "--to", "file:{name}"][..], "required"),
        (&["rotate-fleet", "spartera", "--all", "--named", "x", "--to", "file:{name}"], "cannot be used with"),
        (&["rotate-fleet", "spartera", "--all"], "--to"),
        (&["rotate-fleet", "spartera", "--all", "--to", "file:one"], "one place for all keys"),
        (&["rotate-fleet", "spartera", "--all", "--to", "vault:{name}"], "command:PROGRAM"),
        (&["rotate-fleet", "spartera", "--named", "[", "--to", "file:{name}"], "pattern"),
        (&["rotate-fleet", "spartera", "--all", "--in-place", "--to", "file:{name}"], "regenerate is not offered"),
    ] {
        let run = bench.run(arguments);
        assert!(run.code == 2 && run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    }
}
