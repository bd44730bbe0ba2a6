//! `rotate-fleet` rotates many keys.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Emulator, Run};

/// An emulator, and a directory for the journal and the secrets.
struct Fixture {
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { emulator: Emulator::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.key"))).unwrap()
    }

    /// Issues a key and stores its secret in a file. Returns the key's id.
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

    /// Rotates the keys named `ci…`. Returns the exit code and the report.
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
fn every_key_of_a_name_is_rotated_at_its_own_destination() {
    let fixture = Fixture::new();
    let names = ["ci-1", "ci-2", "ci-3", "cd"];
    names.iter().for_each(|name| drop(fixture.create(name)));
    let before: Vec<_> = names.iter().map(|name| fixture.secret(name)).collect();

    let (code, plans) = fixture.rotate(&["--dry-run"]);
    assert_eq!((code, plans.as_array().unwrap().len()), (0, 3));
    assert!(plans[0]["plan"]["sinks"][0].as_str().unwrap().ends_with("/ci-1.key"), "{plans}");
    assert_eq!(names.map(|name| fixture.secret(name)).to_vec(), before);

    let (code, report) = fixture.rotate(&["--grace", "1h"]);
    assert_eq!((code, &report["waiting"], &report["failed"]), (0, &json!(3), &json!(0)), "{report}");
    // The next job finds old and new keys. It leaves them to the rotations that they belong to.
    let (code, report) = fixture.rotate(&[]);
    assert_eq!((code, &report["waiting"], &report["failed"]), (0, &json!(6), &json!(0)), "{report}");
    let unfinished: Value = serde_json::from_str(&fixture.run(&["status"]).stdout).unwrap();
    for rotation in unfinished.as_array().unwrap() {
        assert_eq!(fixture.run(&["abort", rotation["id"].as_str().unwrap(), "--yes"]).code, 0);
    }
    assert_eq!(names.map(|name| fixture.secret(name)).to_vec(), before);

    let (code, report) = fixture.rotate(&["--leaked", "--canaries", "1,1", "--concurrency", "2"]);
    assert_eq!((code, &report["done"], &report["stopped"]), (0, &json!(3), &Value::Null), "{report}");
    for (name, old) in names.into_iter().zip(&before) {
        assert_eq!(fixture.works(old), name == "cd", "{name}");
        assert!(fixture.works(&fixture.secret(name)), "{name}");
    }
}

#[test]
fn a_key_whose_destination_is_uncertain_is_left_alone() {
    let fixture = Fixture::new();
    // Two keys share a name, one name leads to another directory, and one secret is missing.
    fixture.create("ci-twice");
    fixture.create("ci-twice");
    fixture.create("ci/../../elsewhere");
    fixture.create("ci-lost");
    fixture.create("ci-fine");
    fs::remove_file(fixture.path("ci-lost.key")).unwrap();
    let (code, report) = fixture.rotate(&["--leaked", "--canaries", "0"]);
    assert_eq!((code, &report["done"], &report["failed"]), (1, &json!(1), &json!(4)), "{report}");
    let reasons: Vec<_> = report["keys"].as_array().unwrap().iter().filter_map(|key| key["why"].as_str()).collect();
    for why in ["2 keys are named \"ci-twice\"", "cannot be part of a destination", "is empty"] {
        assert!(reasons.iter().any(|found| found.contains(why)), "{reasons:?}");
    }
    let mut files: Vec<_> = fs::read_dir(fixture.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".key"))
        .collect();
    files.sort_unstable();
    assert_eq!(files, ["ci-fine.key", "ci-twice.key"]);
}

#[test]
fn a_destination_in_use_by_an_unfinished_rotation_is_left_alone() {
    let fixture = Fixture::new();
    let other = fixture.create("ci-twice");
    let own = format!("spartera/{}", fixture.create("ci-twice"));
    let to = format!("file:{}", fixture.path("ci-twice.key"));
    assert_eq!(fixture.run(&["rotate", &own, "--to", &to, "--role", "3", "--poll", "1ms", "--yes"]).code, 0);
    let new = fixture.secret("ci-twice");
    let (code, report) = fixture.rotate(&["--leaked", "--adopt"]);
    assert_eq!((code, &report["waiting"], &report["failed"]), (1, &json!(2), &json!(1)), "{report}");
    let keys = report["keys"].as_array().unwrap();
    let why = keys.iter().find(|key| key["id"] == other.as_str()).unwrap()["why"].as_str().unwrap();
    assert!(why.contains("2 keys are named"), "{why}");
    assert_eq!(fixture.secret("ci-twice"), new);
}

#[test]
fn a_canary_that_fails_spares_the_rest() {
    let fixture = Fixture::new();
    ["ci-1", "ci-2", "ci-3"].iter().for_each(|name| drop(fixture.create(name)));
    fs::remove_file(fixture.path("ci-1.key")).unwrap();
    let (code, report) = fixture.rotate(&["--leaked", "--canaries", "1"]);
    assert_eq!((code, &report["failed"], &report["left_alone"]), (1, &json!(1), &json!(2)), "{report}");
    assert!(report["stopped"].as_str().unwrap().contains("is empty"), "{report}");
    assert!(fixture.works(&fixture.secret("ci-2")));
}

#[test]
fn contradictory_arguments_are_refused() {
    let fixture = Fixture::new();
    for (arguments, why) in [
        (&["rotate-fleet", "spartera", "--to", "file:{name}"][..], "required"),
        (&["rotate-fleet", "spartera", "--all", "--named", "x", "--to", "file:{name}"], "cannot be used with"),
        (&["rotate-fleet", "spartera", "--all"], "--to"),
        (&["rotate-fleet", "spartera", "--all", "--to", "file:one"], "the same destination for all keys"),
        (&["rotate-fleet", "spartera", "--all", "--to", "vault:{name}"], "command:PROGRAM"),
        (&["rotate-fleet", "spartera", "--named", "[", "--to", "file:{name}"], "pattern"),
        (&["rotate-fleet", "spartera", "--all", "--in-place", "--to", "file:{name}"], "does not support --in-place"),
    ] {
        let run = fixture.run(arguments);
        assert!(run.code == 2 && run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_key_whose_rotation_needs_attention_is_reported_to_people_by_that_name() {
    let fixture = Fixture::new();
    fixture.create("ci");
    // This program stores every secret, except that the current one becomes somebody else's.
    let script = r#"cd "$0" || exit 9; file="$1-$3"; case $2 in
        read) cat "$file" 2>/dev/null; true ;; remove) rm -f "$file" ;;
        write) cat > "$file"; case $3 in current) printf %s "somebody else's" > "$file" ;; esac ;; esac"#;
    let sink = format!("command:{}", json!(["sh", "-c", script, fixture.path(""), "{name}"]));
    let arguments = ["rotate-fleet", "spartera", "--named", "ci", "--role", "3", "--to", &sink, "--leaked", "--adopt"];
    let mut command = fixture.emulator.client(&[&arguments[..], &["--poll", "1ms", "--yes"]].concat());
    let run: Run = command.env("API_KEYRING_JOURNAL", fixture.path("journal.sqlite")).output().unwrap().into();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains(": needs attention: "), "{}", run.stderr);
    let counts: Vec<_> = run.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(counts.contains(&"failed 0".to_owned()) && counts.contains(&"needs attention 1".to_owned()), "{counts:?}");

    let unfinished: Value = serde_json::from_str(&fixture.run(&["status"]).stdout).unwrap();
    assert_eq!(unfinished[0]["state"]["name"], "stuck");
}
