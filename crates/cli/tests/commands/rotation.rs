//! Rotates a key from the command line, from the plan to the end, and provokes what can go wrong.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Emulator, Run};

/// A key, and a directory with its secret in `ci.key` and with the journal.
pub(crate) struct Fixture {
    pub(crate) emulator: Emulator,
    pub(crate) folder: tempfile::TempDir,
    provider: &'static str,
    pub(crate) key: String,
    old: String,
}

pub(crate) fn fixture(provider: &'static str) -> Fixture {
    fixture_at(Emulator::start(), provider)
}

fn fixture_at(emulator: Emulator, provider: &'static str) -> Fixture {
    let (key, old) = emulator.create(provider);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ci.key"), &old).unwrap();
    Fixture { emulator, folder, provider, key, old }
}

impl Fixture {
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.path("ci.key")).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.emulator.client(arguments);
        command.env("API_KEYRING_JOURNAL", self.path("state.sqlite"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Rotates the key into `ci.key`, with short waits.
    pub(crate) fn rotate(&self, arguments: &[&str]) -> Value {
        let to = format!("file:{}", self.path("ci.key"));
        let role = if self.provider == "spartera" { "3" } else { "role-reader" };
        let mut all = vec!["rotate", &self.key, "--to", &to, "--poll", "1ms", "--settle", "0s", "--yes"];
        if !arguments.contains(&"--in-place") {
            all.extend(["--role", role]);
        }
        all.extend(arguments);
        self.json(&all)
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("state.sqlite"))
            .collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn both_keys_work_until_the_grace_ends() {
    for provider in ["spartera", "monad"] {
        let fixture = fixture(provider);
        let record = fixture.rotate(&[]);
        assert_eq!(record["state"]["name"], "promoted");
        let new = fixture.secret();
        assert_ne!(new, fixture.old);
        assert!(fixture.emulator.works(provider, &fixture.old) && fixture.emulator.works(provider, &new));
        // It waits for the end of the grace, and every command finds it.
        let id = record["id"].as_str().unwrap();
        assert_eq!(fixture.json(&["status"])[0]["id"], id);
        assert_eq!(fixture.json(&["resume"])[0]["rotation"]["state"]["name"], "promoted");
        let again = ["rotate", &fixture.key, "--to", "file:ci.key", "--role", "3", "--yes"];
        for twice in [&again[..], &["rotate", &fixture.key, "--to", "file:ci.key", "--role", "3", "--dry-run"]] {
            let twice = fixture.run(twice);
            assert_eq!(twice.code, 1);
            assert!(twice.stderr.contains(id) && twice.stderr.contains("resume or abort"), "{}", twice.stderr);
        }
        let states: Vec<_> = fixture
            .json(&["history", id])
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["state"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(states, ["planned", "issuing", "issued", "delivered", "verified", "promoted"]);

        let aborted = fixture.json(&["abort", id, "--reason", "not today", "--yes"]);
        assert_eq!((&aborted["state"]["name"], &aborted["state"]["why"]), (&"aborted".into(), &"not today".into()));
        assert_eq!(fixture.secret(), fixture.old);
        assert!(fixture.emulator.works(provider, &fixture.old) && !fixture.emulator.works(provider, &new));
        assert_eq!(fixture.json(&["status"]), serde_json::json!([]));

        let record = fixture.rotate(&["--leaked"]);
        assert_eq!(record["state"]["name"], "done");
        assert!(!fixture.emulator.works(provider, &fixture.old) && fixture.emulator.works(provider, &fixture.secret()));
        assert_eq!(fixture.files(), ["ci.key"]);
        assert_eq!(fixture.json(&["history"]).as_array().unwrap().len(), 2);
        assert_eq!(fixture.json(&["sweep"]), serde_json::json!([]));
    }
}

#[test]
fn the_old_key_is_retired_after_evidence_of_use_or_a_waiver() {
    let once_unused = ["--grace", "0s", "--unused-for", "0s", "--use-lag", "0s", "--wait", "0s"];
    let fixture = fixture("spartera");
    let record = fixture.rotate(&once_unused);
    let id = record["id"].as_str().unwrap();
    let resumed = fixture.json(&["resume", id, "--wait", "0s"]);
    assert_eq!((&resumed["state"]["name"], &resumed["evidence"]["new_is_used"]), (&"promoted".into(), &false.into()));
    let status = fixture.run(&["status", id]);
    assert!(status.stdout.contains("once others use the new one"), "{}", status.stdout);
    // Somebody else uses the new key.
    assert!(fixture.emulator.works("spartera", &fixture.secret()));
    assert_eq!(fixture.json(&["resume", id])["state"]["name"], "done");
    assert!(!fixture.emulator.works("spartera", &fixture.old));

    let (key, old) = fixture.emulator.create("spartera");
    fs::write(fixture.path("ci.key"), &old).unwrap();
    let fixture = Fixture { key, old, ..fixture };
    let record = fixture.rotate(&once_unused);
    let id = record["id"].as_str().unwrap();
    let why = "it runs once a year";
    let done = fixture.json(&["resume", id, "--waive-evidence", why]);
    assert_eq!((&done["state"]["name"], &done["waived"]), (&"done".into(), &why.into()));
    let status = fixture.run(&["status", id]).stdout;
    assert!(status.contains("evidence waived") && status.contains(why), "{status}");
    let refused = fixture.run(&["resume", id, id, "--waive-evidence", why]);
    assert!(refused.code == 2 && refused.stderr.contains("for one rotation"), "{}", refused.stderr);
}

#[test]
fn a_key_rotated_in_place_keeps_its_id_and_can_be_rotated_again() {
    let fixture = fixture("monad");
    let mut before = fixture.old.clone();
    for _ in 0..2 {
        let record = fixture.rotate(&["--in-place"]);
        assert_eq!(
            (&record["state"]["name"], &record["state"]["confirmed"]),
            (&"done".into(), &"secret_refused".into())
        );
        assert!(!fixture.emulator.works("monad", &before) && fixture.emulator.works("monad", &fixture.secret()));
        before = fixture.secret();
    }
    assert_eq!(fixture.files(), ["ci.key"]);
}

#[test]
fn your_own_key_is_rotated_in_place_only_with_even_own() {
    let fixture = fixture("monad");
    let admin = fixture.emulator.variables["MONAD_API_KEY"].clone();
    fs::write(fixture.path("ci.key"), &admin).unwrap();
    let keys = fixture.json(&["list", "monad"]);
    let own = keys.as_array().unwrap().iter().find(|key| key["name"] == "administrator").unwrap();
    let (key, to) = (format!("monad/{}", own["id"].as_str().unwrap()), format!("file:{}", fixture.path("ci.key")));
    let rotate = ["rotate", &key, "--in-place", "--to", &to, "--poll", "1ms", "--yes"];
    let refused = fixture.run(&rotate);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("lock you out"), "{}", refused.stderr);
    assert!(fixture.emulator.works("monad", &admin));
    let record = fixture.json(&[&rotate[..], &["--even-own"]].concat());
    assert_eq!(record["state"]["name"], "done");
    assert!(!fixture.emulator.works("monad", &admin) && fixture.emulator.works("monad", &fixture.secret()));
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let fixture = fixture("spartera");
    let to = format!("file:{}", fixture.path("ci.key"));
    let plan = fixture.json(&["rotate", &fixture.key, "--to", &to, "--role", "3", "--dry-run"]);
    assert_eq!(plan["downtime"], "none");
    // The name has the host in it, and is a destination, too.
    let name = plan["plan"]["sinks"][0].as_str().unwrap();
    assert!(name.starts_with("file@") && name.ends_with(&to[4..]), "{name}");
    let again = fixture.json(&["rotate", &fixture.key, "--to", name, "--role", "3", "--dry-run"]);
    assert_eq!(again["plan"]["sinks"], plan["plan"]["sinks"]);
    let steps: Vec<_> = plan["steps"].as_array().unwrap().iter().map(|step| step["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["issued", "delivered", "verified", "promoted", "retiring", "retired", "done"]);
    assert_eq!(fixture.emulator.ids("spartera").len(), 2);
    assert!(!Path::new(&fixture.path("state.sqlite")).exists());
}

#[test]
fn impossible_requests_are_refused_before_anything_is_sent() {
    let fixture = fixture("monad");
    let nowhere = format!("file:{}", fixture.path("missing/ci.key"));
    for (arguments, code, why) in [
        (&["rotate", &fixture.key, "--yes"][..], 2, "name every place that stores the key's secret"),
        (&["rotate", &fixture.key, "--to", "-", "--yes"], 2, "must find its secret again"),
        (&["rotate", &fixture.key, "--to", "dotenv:.env", "--yes"], 2, "dotenv:PATH#VARIABLE"),
        (&["rotate", &fixture.key, "--to", "vault:x", "--yes"], 2, "command:PROGRAM"),
        (&["rotate", &fixture.key, "--to", &nowhere, "--yes"], 2, "is empty"),
        (&["rotate", &fixture.key, "--to", &nowhere, "--adopt", "--yes"], 1, "missing"),
        (&["rotate", &fixture.key, "--to", &nowhere, "--adopt", "--dry-run"], 1, "the destination"),
        (&["rotate", &fixture.key, "--to", "command:/no/such/program", "--yes"], 1, "cannot be started"),
        (&["rotate", &fixture.key, "--to", "file:x", "--adopt"], 2, "--yes"),
        (&["rotate", "monad/unknown", "--to", "file:x", "--yes"], 5, "unknown"),
        (&["rotate", &fixture.key, "--in-place", "--leaked", "--to", "file:x", "--yes"], 2, "cannot be used with"),
        (&["resume", "r-1"], 2, "rotation"),
        (&["resume", "r-0123456789abcdef"], 5, "there is no rotation"),
        (&["history", "r-0123456789abcdef"], 5, "there is no rotation"),
        (&["rotate", &fixture.key, "--to", "file:x", "--yes", "--journal", "/no/such/journal"], 1, "/no/such/journal"),
    ] {
        let run = fixture.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(fixture.emulator.ids("monad").len(), 2, "no key is created");
    assert!(fixture.emulator.works("monad", &fixture.old));
    assert_eq!(fixture.files(), ["ci.key"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rotation_whose_result_cannot_be_printed_is_done_nevertheless() {
    let fixture = fixture("spartera");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let to = format!("file:{}", fixture.path("ci.key"));
    let rotate = ["rotate", &fixture.key, "--to", &to, "--role", "3", "--leaked", "--poll", "1ms", "--yes"];
    let run: Run = fixture.command(&rotate).stdout(full).output().unwrap().into();
    assert!(run.code == 1 && run.stderr.contains("cannot print the result"), "{}", run.stderr);
    assert!(fixture.emulator.works("spartera", &fixture.secret()) && !fixture.emulator.works("spartera", &fixture.old));
}

#[test]
fn a_secret_for_standard_output_is_not_issued_where_it_could_do_harm() {
    let fixture = fixture("monad");
    let to_stdout = ["rotate", &fixture.key, "--in-place", "--to", "-", "--yes"];
    // Nothing shows whether the key is your own credential.
    let refused = fixture.run(&to_stdout);
    assert!(refused.code == 2 && refused.stderr.contains("may be your own credential"), "{}", refused.stderr);
    let record = fixture.rotate(&[]);
    let new = format!("monad/{}", record["state"]["key"].as_str().unwrap());
    for key in [&fixture.key, &new] {
        let refused = fixture.run(&["rotate", key, "--in-place", "--even-own", "--to", "-", "--yes"]);
        assert!(
            refused.code == 1 && refused.stderr.contains("belongs to the unfinished rotation"),
            "{}",
            refused.stderr
        );
    }
    assert!(fixture.emulator.works("monad", &fixture.secret()));
    let refused = fixture.run(&[&to_stdout[..], &["--dry-run"]].concat());
    assert!(refused.code == 2 && refused.stderr.contains("no plan for standard output"), "{}", refused.stderr);
}

#[test]
fn your_own_key_is_rotated_even_when_an_answer_is_lost() {
    let fixture = fixture_at(Emulator::with(&["--fault", "create:reset-after:1@2"]), "spartera");
    let admin = fixture.emulator.variables["SPARTERA_API_KEY"].clone();
    fs::write(fixture.path("own.key"), &admin).unwrap();
    let to = format!("file:{}", fixture.path("own.key"));
    let once = ["--settle", "0s", "--poll", "1ms", "--leaked", "--yes"];
    let record = fixture.run(&[&["rotate", "spartera/1001", "--to", &to, "--role", "1"][..], &once].concat());
    assert!(record.code == 0 && record.stderr.contains(": lost"), "{}", record.stderr);
    assert!(record.stdout.contains("This rotation replaced your own credential"), "{}", record.stdout);
    let new = fs::read_to_string(fixture.path("own.key")).unwrap();
    assert!(new != admin && fixture.emulator.works("spartera", &new) && !fixture.emulator.works("spartera", &admin));
}

#[test]
#[cfg(unix)]
fn a_sink_program_receives_no_credential() {
    let fixture = fixture("spartera");
    let script = r#"cd "$0" || exit 9; env >> seen; case $1 in
        read) cat "$2" 2>/dev/null; true ;; write) cat > "$2" ;; remove) rm -f "$2" ;; esac"#;
    let folder = fixture.path("");
    let words = serde_json::json!(["sh", "-c", script, folder]);
    fs::write(fixture.path("current"), &fixture.old).unwrap();
    let to = format!("command:{words}");
    let once = ["--role", "3", "--leaked", "--poll", "1ms", "--yes"];
    fixture.json(&[&["rotate", &fixture.key, "--to", &to][..], &once].concat());
    let seen = fs::read_to_string(fixture.path("seen")).unwrap();
    assert!(seen.contains("SPARTERA_COMPANY_ID="), "{seen}");
    for variable in ["SPARTERA_API_KEY", "MONAD_API_KEY", "MONAD_BEARER_TOKEN", "MONAD_TOKEN_FILE"] {
        assert!(!seen.contains(&format!("{variable}=")), "{seen}");
    }
    for variable in ["SPARTERA_API_KEY", "MONAD_API_KEY"] {
        assert!(!seen.contains(&fixture.emulator.variables[variable]), "{seen}");
    }
    assert!(fixture.emulator.works("spartera", &fs::read_to_string(fixture.path("current")).unwrap()));
}

#[test]
fn two_rotations_never_share_a_key_or_a_destination() {
    let fixture = fixture("monad");
    let record = fixture.rotate(&[]);
    let new = format!("monad/{}", record["state"]["key"].as_str().unwrap());
    let (other, _) = fixture.emulator.create("monad");
    // A new name makes no difference.
    fixture.json(&["update", &new, "--name", "renamed"]);
    let to = format!("file:{}", fixture.path("ci.key"));
    for (key, why) in [(&other, "puts another key's secret"), (&new, "belongs to the unfinished rotation")] {
        let refused = fixture.run(&["rotate", key, "--to", &to, "--role", "role-reader", "--yes"]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(refused.stderr.contains(why) && refused.stderr.contains("resume or abort"), "{}", refused.stderr);
    }
    // Somebody else's secret stays in the destination.
    fs::write(fixture.path("ci.key"), "somebody else's").unwrap();
    let abort = ["abort", record["id"].as_str().unwrap(), "--yes"];
    let attention = fixture.run(&abort);
    assert!(attention.code == 1 && attention.stderr.contains("--leave-destination"), "{}", attention.stderr);
    // People read what to do; programs read the name in the journal.
    assert!(attention.stderr.contains(": needs attention"), "{}", attention.stderr);
    let status = fixture.run(&["status"]).stdout;
    assert!(status.contains("needs attention") && !status.contains("stuck"), "{status}");
    assert_eq!(fixture.json(&["status"])[0]["state"]["name"], "stuck");
    fixture.json(&[&abort[..], &["--leave-destination"]].concat());
    assert_eq!(fixture.secret(), "somebody else's");
    assert!(fixture.emulator.works("monad", &fixture.old));
    assert_eq!(fixture.files(), ["ci.key"]);
}

#[test]
fn sweep_finds_an_orphan_and_deletes_it_with_retire() {
    let fixture = fixture("monad");
    let record = fixture.rotate(&[]);
    fixture.json(&["abort", record["id"].as_str().unwrap(), "--yes"]);
    let name = format!("test ~{}", record["marks"][0].as_str().unwrap());
    // One key looks like a late create of this rotation, the other like a rotation in another journal.
    for name in [&*name, "test ~0123456789abcdef"] {
        let to = format!("file:{}", fixture.path(&name[6..]));
        let create = ["create", "monad", "--name", name, "--role", "role-reader", "--expires-in", "90d", "--to", &to];
        fixture.json(&create);
    }
    let found = fixture.json(&["sweep", "monad"]);
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    let deleted = fixture.json(&["sweep", "monad", "--retire", "--yes"]);
    for left in deleted.as_array().unwrap() {
        assert_eq!(left["deleted"].as_bool().unwrap(), left["name"] == *name, "{left}");
    }
    let left = fixture.json(&["sweep", "monad"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["rotation"]), (1, &Value::Null));
    assert!(fixture.emulator.works("monad", &fixture.secret()));
}

#[test]
fn a_key_of_an_unknown_rotation_is_deleted_only_when_its_secret_is_provably_unused() {
    let fixture = fixture_at(Emulator::with(&["--spartera-shape", "guide"]), "spartera");
    // Both keys look like rotations in another journal. One is in use, the other is not.
    for (name, file) in [("ci ~0123456789abcdef", "used"), ("ci ~fedcba9876543210", "lost")] {
        let to = format!("file:{}", fixture.path(file));
        fixture.json(&["create", "spartera", "--name", name, "--role", "3", "--to", &to]);
    }
    let used = fs::read_to_string(fixture.path("used")).unwrap();
    let lost = fs::read_to_string(fixture.path("lost")).unwrap();
    fs::remove_file(fixture.path("lost")).unwrap();
    let place = format!("file:{}", fixture.path("used"));
    let works = |secret: &str| fixture.emulator.works("spartera", secret);
    // A sweep does not create a journal, and says that there is no journal. A rotation creates one.
    let run = fixture.run(&["sweep"]);
    assert!(run.code == 0 && run.stderr.contains("there is no journal"), "{run:?}");
    assert_eq!(fixture.run(&["sweep", "--journal", "mistyped.sqlite"]).code, 1);
    assert!(!Path::new(&fixture.path("state.sqlite")).exists());
    let record = fixture.rotate(&["--leaked"]);
    assert_eq!(record["state"]["name"], "done");

    fixture.json(&["sweep", "--retire", "--yes"]);
    assert!(works(&used) && works(&lost));
    assert_eq!(fixture.run(&["sweep", "--retire", "--even-unknown", "--yes"]).code, 2, "--in is missing");
    let mistyped = format!("file:{}", fixture.path("mistyped"));
    let refused = fixture.run(&["sweep", "--retire", "--even-unknown", "--in", &place, "--in", &mistyped, "--yes"]);
    assert!(refused.code == 2 && refused.stderr.contains("mistyped is empty"), "{refused:?}");
    assert!(works(&used) && works(&lost));
    let swept = fixture.json(&["sweep", "--retire", "--even-unknown", "--in", &place, "--yes"]);
    assert!(works(&used) && !works(&lost), "{swept}");
    let what = swept.as_array().unwrap().iter().map(|left| left["what"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(
        what.contains(&"deleted") && what.iter().any(|what| what.starts_with("its secret is in file:")),
        "{what:?}"
    );

    // Monad does not show whose secret a destination holds.
    let name = "ci ~0123456789abcdef";
    let to = format!("file:{}", fixture.path("monads"));
    fixture.json(&["create", "monad", "--name", name, "--role", "role-reader", "--expires-in", "90d", "--to", &to]);
    let swept = fixture.json(&["sweep", "monad", "--retire", "--even-unknown", "--in", &place, "--yes"]);
    assert!(swept[0]["what"].as_str().unwrap().contains("does not show whether a destination holds"), "{swept}");
    assert!(fixture.emulator.works("monad", &fs::read_to_string(fixture.path("monads")).unwrap()));
}

#[test]
#[cfg(unix)]
fn a_cancelled_rotation_stops_between_two_steps() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let fixture = fixture("monad");
    let to = format!("file:{}", fixture.path("ci.key"));
    let slow = ["rotate", &fixture.key, "--to", &to, "--verify-times", "40", "--poll", "10ms", "--leaked", "--yes"];
    let mut process = fixture.command(&slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("delivered") {
        assert_ne!(stderr.read_line(&mut shown).unwrap(), 0, "{shown}");
    }
    crate::harness::signal(&process, "-INT");
    stderr.read_to_string(&mut shown).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(3), "unfinished");
    assert!(shown.contains("was cancelled. Resume it later") && shown.contains("api-keyring resume r-"), "{shown}");
    assert_eq!(fixture.secret(), fixture.old);
    // The cancelled process has given its lease back, so nobody has to wait.
    let resumed = fixture.json(&["resume"]);
    assert_eq!(resumed[0]["rotation"]["state"]["name"], "done", "{resumed}");
    assert!(!fixture.emulator.works("monad", &fixture.old) && fixture.emulator.works("monad", &fixture.secret()));
}

#[test]
fn a_name_of_the_host_that_cannot_be_honoured_is_refused() {
    let fixture = fixture("monad");
    for name in ["my host", "a/b", "a@b", "a:b", &"x".repeat(65), "\u{e4}"] {
        let run: Run = fixture.command(&["status"]).env("API_KEYRING_HOST", name).output().unwrap().into();
        assert!(run.code == 2 && run.stderr.contains("API_KEYRING_HOST must be"), "{name}: {run:?}");
    }
    let run: Run = fixture.command(&["status"]).env("API_KEYRING_HOST", "").output().unwrap().into();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_rotation_is_resumed_on_its_own_host() {
    let fixture = fixture("monad");
    let on = |host: &str, arguments: &[&str]| -> Run {
        fixture.command(arguments).env("API_KEYRING_HOST", host).output().unwrap().into()
    };
    let to = format!("file:{}", fixture.path("ci.key"));
    let rotate = ["rotate", &fixture.key, "--to", &to, "--role", "role-reader", "--poll", "1ms", "--yes"];
    let run = on("one", &rotate);
    assert_eq!(run.code, 0, "{run:?}");
    let id = fixture.json(&["status"])[0]["id"].as_str().unwrap().to_owned();
    let held = fixture.secret();
    for command in [&["resume"][..], &["resume", &id], &["resume", &id, "--adopt"], &["abort", &id, "--yes"]] {
        let refused = on("two", command);
        let text = refused.stdout.clone() + &refused.stderr;
        assert!(refused.code != 0 && text.contains("belongs to host one"), "{command:?}: {refused:?}");
        assert_eq!(fixture.secret(), held);
    }
    assert!(on("two", &["status", &id]).stdout.contains("file@one:"));
    // The same path on another host is another destination, so a rotation of another key may use it.
    let (other, secret) = fixture.emulator.create("monad");
    fs::write(fixture.path("ci.key"), &secret).unwrap();
    let rotate = ["rotate", &other, "--to", &to, "--role", "role-reader", "--poll", "1ms", "--leaked", "--yes"];
    let taken = on("one", &rotate);
    assert!(taken.code != 0 && taken.stderr.contains("is in use"), "{taken:?}");
    let done = on("two", &rotate);
    assert_eq!(done.code, 0, "{done:?}");
    fs::write(fixture.path("ci.key"), &held).unwrap();
    let aborted = on("one", &["abort", &id, "--yes"]);
    assert_eq!((aborted.code, fixture.secret()), (0, fixture.old.clone()), "{aborted:?}");
}

#[test]
fn a_file_is_not_one_secret_and_several_variables_at_once() {
    let emulator = Emulator::start();
    let (key, secret) = emulator.create("monad");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    std::fs::write(&path, &secret).unwrap();
    let (whole, variable) = (format!("file:{}", path.display()), format!("dotenv:{}#K", path.display()));
    for destinations in [[&whole, &variable], [&variable, &whole]] {
        let [one, other] = destinations;
        for how in [&["--in-place"][..], &["--leaked", "--role", "role-reader"]] {
            let rotate = ["rotate", &key, "--to", one, "--to", other, "--adopt", "--yes"];
            let run = emulator.run(&[&rotate[..], how].concat());
            assert!(run.code != 0 && run.stderr.contains("Name it once"), "{}", run.stderr);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
            assert!(emulator.works("monad", &secret));
        }
    }
}
