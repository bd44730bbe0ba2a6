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
fn your_own_credential_is_rotated_last_and_only_on_request() {
    let fixture = Fixture::new();
    let own = fixture.emulator.variables["SPARTERA_API_KEY"].clone();
    fixture.emulator.json(&["update", "spartera/1001", "--name", "ci-0"]);
    fs::write(fixture.path("ci-0.key"), &own).unwrap();
    ["ci-1", "ci-2"].iter().for_each(|name| drop(fixture.create(name)));
    let (code, report) = fixture.rotate(&["--leaked"]);
    assert_eq!((code, &report["done"], &report["failed"]), (1, &json!(2), &json!(1)), "{report}");
    let last = report["keys"].as_array().unwrap().last().unwrap();
    assert!(last["id"] == "1001" && last["why"].as_str().unwrap().contains("--even-own"), "{report}");
    assert!(fixture.works(&own) && report["own_credential"].is_null());

    let (_, plans) = fixture.rotate(&["--dry-run"]);
    assert!(plans[0]["problem"].as_str().unwrap().contains("--even-own"), "{plans}");
    let plans = fixture.rotate(&["--dry-run", "--even-own"]).1;
    assert!(plans[0]["plan"].is_object(), "{plans}");

    // Your own credential cannot be planned. It is no canary.
    fs::remove_file(fixture.path("ci-0.key")).unwrap();
    let (code, report) = fixture.rotate(&["--leaked", "--even-own"]);
    assert_eq!((code, &report["done"], &report["failed"]), (1, &json!(2), &json!(1)), "{report}");
    assert!(report["stopped"].is_null() && report["keys"][2]["id"] == "1001", "{report}");

    fs::write(fixture.path("ci-0.key"), &own).unwrap();
    let to = format!("file:{}", fixture.path("{name}.key"));
    let all = ["rotate-fleet", "spartera", "--named", "ci-0", "--role", "1", "--to", &to, "--poll", "1ms", "--yes"];
    let run = fixture.run(&[&all[..], &["--leaked", "--even-own"]].concat());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &report["done"]), (0, &json!(1)), "{run:?}");
    assert_eq!(report["own_credential"]["variable"], "SPARTERA_API_KEY");
    assert!(report["own_credential"]["new_secret_in"][0].as_str().unwrap().ends_with("ci-0.key"), "{report}");
    assert_eq!(report["own_credential"]["id"], "1001");
}

#[test]
fn an_empty_selection_says_so_and_why() {
    let fixture = Fixture::new();
    ["ci-1", "cd"].iter().for_each(|name| drop(fixture.create(name)));
    let to = format!("file:{}", fixture.path("{name}.key"));
    for (selection, excluded, why) in [
        (&["--named", "x*"][..], json!({"named": 3}), "3 have another name than --named"),
        (&["--older-than", "1d"], json!({"older_than": 3}), "3 are younger than --older-than"),
        (&["--named", "c*", "--expiring-within", "1d"], json!({"named": 1, "expiring_within": 2}), "2 do not expire"),
    ] {
        let run = fixture.run(&[&["rotate-fleet", "spartera", "--to", &to, "--yes"], selection].concat());
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.code, &report["excluded"]), (0, &excluded), "{run:?}");
        assert!(run.stderr.contains("no key is selected") && run.stderr.contains(why), "{run:?}");
    }
}

#[test]
fn a_vendor_that_cannot_be_reached_stops_the_fleet() {
    let fixture =
        Fixture { emulator: Emulator::with(&["--fault", "get:gateway-502"]), folder: tempfile::tempdir().unwrap() };
    let to = format!("file:{}", fixture.path("{name}.key"));
    for number in 0..9 {
        let create =
            ["create", "spartera", "--exact-name", "--name", &format!("ci-{number}"), "--role", "3", "--to", "-"];
        assert_eq!(fixture.run(&create).code, 0);
    }
    for (more, failed) in [(&["--concurrency", "1"][..], 3), (&["--concurrency", "1", "--give-up-after", "5"], 5)] {
        let all = ["rotate-fleet", "spartera", "--named", "ci*", "--canaries", "0", "--to", &to, "--yes"];
        let run = fixture.run(&[&all[..], more].concat());
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.code, &report["failed"], &report["left_alone"]), (1, &json!(failed), &json!(9 - failed)));
        assert!(report["stopped"].as_str().unwrap().contains("could not be reached"), "{report}");
    }
}

#[test]
#[cfg(unix)]
fn what_is_cancelled_is_unfinished_and_not_failed() {
    use std::io::{BufReader, Read as _};
    use std::process::Stdio;

    let fixture = Fixture::new();
    ["ci-1", "ci-2", "ci-3"].iter().for_each(|name| drop(fixture.create(name)));
    let to = format!("file:{}", fixture.path("{name}.key"));
    let slow = ["--verify-times", "1000", "--poll", "10ms", "--leaked", "--concurrency", "2", "--canaries", "0"];
    let all = ["--output", "json", "rotate-fleet", "spartera", "--named", "ci*", "--role", "3", "--to", &to, "--yes"];
    let mut command = fixture.emulator.client(&[&all[..], &slow].concat());
    command.env("API_KEYRING_JOURNAL", fixture.path("journal.sqlite"));
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pending = |name: &str| name.contains("pending");
    while !fs::read_dir(fixture.folder.path())
        .unwrap()
        .any(|entry| pending(entry.unwrap().file_name().to_str().unwrap()))
    {
        std::thread::yield_now();
    }
    crate::harness::signal(&process, "-INT");
    let (mut shown, mut report) = (String::new(), String::new());
    BufReader::new(process.stderr.take().unwrap()).read_to_string(&mut shown).unwrap();
    BufReader::new(process.stdout.take().unwrap()).read_to_string(&mut report).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(3), "{shown}");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(count("unfinished") >= 1 && count("failed") == 0 && count("done") == 0, "{report}");
    assert_eq!(count("unfinished") + count("left_alone"), 3, "{report}");
    assert!(report["keys"].as_array().unwrap().iter().all(|key| key["result"] == "unfinished"), "{report}");
    assert!(shown.contains("unfinished") && shown.contains("`resume` continues"), "{shown}");
}

#[test]
fn absurd_numbers_and_durations_are_refused() {
    let fixture = Fixture::new();
    let fleet = ["rotate-fleet", "spartera", "--all", "--to", "file:{name}"];
    let rotate = ["rotate", "spartera/1", "--to", "file:x"];
    for (command, option, value, why) in [
        (&fleet[..], "--concurrency", "0", "1..=1000"),
        (&fleet, "--concurrency", "-1", "-1"),
        (&fleet, "--concurrency", "100000", "1..=1000"),
        (&fleet, "--give-up-after", "0", "1..=1000000"),
        (&fleet, "--canaries", "-1", "-1"),
        (&fleet, "--canaries", "1,x", "invalid"),
        (&fleet, "--older-than", "900y", "a hundred years"),
        (&rotate, "--poll", "0s", "longer than zero"),
        (&rotate, "--lease", "0s", "longer than zero"),
        (&rotate, "--grace", "101y", "a hundred years"),
        (&rotate, "--grace", "-1h", "-1"),
        (&rotate, "--wait", "99999999y", "a hundred years"),
        (&rotate, "--verify-times", "0", "1..=1000"),
        (&rotate, "--expires-in", "0s", "expired before"),
        (&["history"], "--limit", "0", "0 is not in"),
        (&["emulator"], "--expiry-lag", "18446744073709551615", "is not in"),
        (&["create", "spartera", "--name", "x", "--role", "3"], "--settle", "200y", "a hundred years"),
    ] {
        let run = fixture.run(&[command, &[option, value]].concat());
        assert!(run.code == 2 && run.stderr.contains(why), "{option} {value}: {run:?}");
        assert!(run.stderr.contains(option) || value.starts_with('-'), "{option} {value}: {run:?}");
    }
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
