//! Rotating a key from the command line, from the plan to the end, and what stands in the way.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Emulator, Run};

/// A key, a folder with its secret in `ci.key`, and a journal there.
struct Bench {
    emulator: Emulator,
    folder: tempfile::TempDir,
    provider: &'static str,
    key: String,
    old: String,
}

fn bench(provider: &'static str) -> Bench {
    bench_at(Emulator::start(), provider)
}

fn bench_at(emulator: Emulator, provider: &'static str) -> Bench {
    let (key, old) = emulator.create(provider);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ci.key"), &old).unwrap();
    Bench { emulator, folder, provider, key, old }
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.path("ci.key")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.emulator.client(arguments);
        command.env("API_KEYRING_JOURNAL", self.path("state.sqlite"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Rotates into `ci.key`, with no more patience than it takes.
    fn rotate(&self, arguments: &[&str]) -> Value {
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
fn a_key_is_replaced_while_both_work_and_the_old_one_goes_after_the_grace() {
    for provider in ["spartera", "monad"] {
        let bench = bench(provider);
        let record = bench.rotate(&[]);
        assert_eq!(record["state"]["name"], "promoted");
        let new = bench.secret();
        assert_ne!(new, bench.old);
        assert!(bench.emulator.works(provider, &bench.old) && bench.emulator.works(provider, &new));
        // It waits for the end of the grace, and is found by whoever asks.
        let id = record["id"].as_str().unwrap();
        assert_eq!(bench.json(&["status"])[0]["id"], id);
        assert_eq!(bench.json(&["resume"])[0]["rotation"]["state"]["name"], "promoted");
        let again = ["rotate", &bench.key, "--to", "file:ci.key", "--role", "3", "--yes"];
        for twice in [&again[..], &["rotate", &bench.key, "--to", "file:ci.key", "--role", "3", "--dry-run"]] {
            let twice = bench.run(twice);
            assert_eq!(twice.code, 1);
            assert!(twice.stderr.contains(id) && twice.stderr.contains("resume or abort"), "{}", twice.stderr);
        }
        let states: Vec<_> = bench
            .json(&["history", id])
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["state"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(states, ["planned", "issuing", "issued", "delivered", "verified", "promoted"]);

        let aborted = bench.json(&["abort", id, "--reason", "not today", "--yes"]);
        assert_eq!((&aborted["state"]["name"], &aborted["state"]["why"]), (&"aborted".into(), &"not today".into()));
        assert_eq!(bench.secret(), bench.old);
        assert!(bench.emulator.works(provider, &bench.old) && !bench.emulator.works(provider, &new));
        assert_eq!(bench.json(&["status"]), serde_json::json!([]));

        let record = bench.rotate(&["--leaked"]);
        assert_eq!(record["state"]["name"], "done");
        assert!(!bench.emulator.works(provider, &bench.old) && bench.emulator.works(provider, &bench.secret()));
        assert_eq!(bench.files(), ["ci.key"]);
        assert_eq!(bench.json(&["history"]).as_array().unwrap().len(), 2);
        assert_eq!(bench.json(&["sweep"]), serde_json::json!([]));
    }
}

#[test]
fn an_old_key_goes_once_others_use_the_new_one_or_nobody_needs_to_be_seen() {
    let once_unused = ["--grace", "0s", "--unused-for", "0s", "--use-lag", "0s", "--wait", "0s"];
    let bench = bench("spartera");
    let record = bench.rotate(&once_unused);
    let id = record["id"].as_str().unwrap();
    let resumed = bench.json(&["resume", id, "--wait", "0s"]);
    assert_eq!((&resumed["state"]["name"], &resumed["evidence"]["new_is_used"]), (&"promoted".into(), &false.into()));
    let status = bench.run(&["status", id]);
    assert!(status.stdout.contains("once others are seen to use the new one"), "{}", status.stdout);
    // Others find it.
    assert!(bench.emulator.works("spartera", &bench.secret()));
    assert_eq!(bench.json(&["resume", id])["state"]["name"], "done");
    assert!(!bench.emulator.works("spartera", &bench.old));

    let (key, old) = bench.emulator.create("spartera");
    fs::write(bench.path("ci.key"), &old).unwrap();
    let bench = Bench { key, old, ..bench };
    let record = bench.rotate(&once_unused);
    let id = record["id"].as_str().unwrap();
    let why = "it runs once a year";
    let done = bench.json(&["resume", id, "--waive-evidence", why]);
    assert_eq!((&done["state"]["name"], &done["waived"]), (&"done".into(), &why.into()));
    let told = bench.run(&["status", id]).stdout;
    assert!(told.contains("evidence waived") && told.contains(why), "{told}");
    let nothing = bench.run(&["resume", id, id, "--waive-evidence", why]);
    assert!(nothing.code == 2 && nothing.stderr.contains("for one rotation"), "{}", nothing.stderr);
}

#[test]
fn in_place_the_key_stays_and_can_be_rotated_again() {
    let bench = bench("monad");
    let mut before = bench.old.clone();
    for _ in 0..2 {
        let record = bench.rotate(&["--in-place"]);
        assert_eq!(
            (&record["state"]["name"], &record["state"]["confirmed"]),
            (&"done".into(), &"secret_refused".into())
        );
        assert!(!bench.emulator.works("monad", &before) && bench.emulator.works("monad", &bench.secret()));
        before = bench.secret();
    }
    assert_eq!(bench.files(), ["ci.key"]);
}

#[test]
fn ones_own_key_is_not_rotated_in_place_unless_forced() {
    let bench = bench("monad");
    let admin = bench.emulator.variables["MONAD_API_KEY"].clone();
    fs::write(bench.path("ci.key"), &admin).unwrap();
    let keys = bench.json(&["list", "monad"]);
    let own = keys.as_array().unwrap().iter().find(|key| key["name"] == "administrator").unwrap();
    let (key, to) = (format!("monad/{}", own["id"].as_str().unwrap()), format!("file:{}", bench.path("ci.key")));
    let rotate = ["rotate", &key, "--in-place", "--to", &to, "--poll", "1ms", "--yes"];
    let refused = bench.run(&rotate);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("lock you out"), "{}", refused.stderr);
    assert!(bench.emulator.works("monad", &admin));
    let record = bench.json(&[&rotate[..], &["--even-own"]].concat());
    assert_eq!(record["state"]["name"], "done");
    assert!(!bench.emulator.works("monad", &admin) && bench.emulator.works("monad", &bench.secret()));
}

#[test]
fn a_plan_is_told_and_nothing_done() {
    let bench = bench("spartera");
    let to = format!("file:{}", bench.path("ci.key"));
    let told = bench.json(&["rotate", &bench.key, "--to", &to, "--role", "3", "--dry-run"]);
    assert_eq!((&told["downtime"], &told["plan"]["sinks"][0]), (&"none".into(), &to.as_str().into()));
    let steps: Vec<_> = told["steps"].as_array().unwrap().iter().map(|step| step["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["issued", "delivered", "verified", "promoted", "retiring", "retired", "done"]);
    assert_eq!(bench.emulator.ids("spartera").len(), 2);
    assert!(!Path::new(&bench.path("state.sqlite")).exists());
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_sent() {
    let bench = bench("monad");
    let nowhere = format!("file:{}", bench.path("missing/ci.key"));
    for (arguments, code, why) in [
        (&["rotate", &bench.key, "--yes"][..], 2, "say where the key's secret is kept"),
        (&["rotate", &bench.key, "--to", "-", "--yes"], 2, "has to be found again"),
        (&["rotate", &bench.key, "--to", "dotenv:.env", "--yes"], 2, "dotenv:PATH#VARIABLE"),
        (&["rotate", &bench.key, "--to", "vault:x", "--yes"], 2, "command:PROGRAM"),
        (&["rotate", &bench.key, "--to", &nowhere, "--yes"], 2, "is empty"),
        (&["rotate", &bench.key, "--to", &nowhere, "--adopt", "--yes"], 1, "missing"),
        (&["rotate", &bench.key, "--to", &nowhere, "--adopt", "--dry-run"], 1, "the destination"),
        (&["rotate", &bench.key, "--to", "command:/no/such/program", "--yes"], 1, "cannot be started"),
        (&["rotate", &bench.key, "--to", "file:x", "--adopt"], 2, "--yes"),
        (&["rotate", "monad/unknown", "--to", "file:x", "--yes"], 5, "unknown"),
        (&["rotate", &bench.key, "--in-place", "--leaked", "--to", "file:x", "--yes"], 2, "cannot be used with"),
        (&["resume", "r-1"], 2, "rotation"),
        (&["resume", "r-0123456789abcdef"], 5, "there is no rotation"),
        (&["history", "r-0123456789abcdef"], 5, "there is no rotation"),
        (&["rotate", &bench.key, "--to", "file:x", "--yes", "--journal", "/no/such/journal"], 1, "/no/such/journal"),
    ] {
        let run = bench.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(bench.emulator.ids("monad").len(), 2, "no key was created");
    assert!(bench.emulator.works("monad", &bench.old));
    assert_eq!(bench.files(), ["ci.key"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_not_taken_for_one_that_was_not_done() {
    let bench = bench("spartera");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let to = format!("file:{}", bench.path("ci.key"));
    let rotate = ["rotate", &bench.key, "--to", &to, "--role", "3", "--leaked", "--poll", "1ms", "--yes"];
    let run: Run = bench.command(&rotate).stdout(full).output().unwrap().into();
    assert!(run.code == 1 && run.stderr.contains("the result cannot be printed"), "{}", run.stderr);
    assert!(bench.emulator.works("spartera", &bench.secret()) && !bench.emulator.works("spartera", &bench.old));
}

#[test]
fn a_secret_that_nobody_writes_down_is_not_asked_for_where_it_may_do_harm() {
    let bench = bench("monad");
    let to_stdout = ["rotate", &bench.key, "--in-place", "--to", "-", "--yes"];
    // Nothing tells whether it is the key that is used here.
    let refused = bench.run(&to_stdout);
    assert!(refused.code == 2 && refused.stderr.contains("may be the one that is used here"), "{}", refused.stderr);
    let record = bench.rotate(&[]);
    let new = format!("monad/{}", record["state"]["key"].as_str().unwrap());
    for key in [&bench.key, &new] {
        let refused = bench.run(&["rotate", key, "--in-place", "--even-own", "--to", "-", "--yes"]);
        assert!(refused.code == 1 && refused.stderr.contains("is being rotated already"), "{}", refused.stderr);
    }
    assert!(bench.emulator.works("monad", &bench.secret()));
    let refused = bench.run(&[&to_stdout[..], &["--dry-run"]].concat());
    assert!(refused.code == 2 && refused.stderr.contains("no plan for standard output"), "{}", refused.stderr);
}

#[test]
fn the_key_that_is_used_here_is_rotated_to_the_end_also_when_an_answer_is_lost() {
    let bench = bench_at(Emulator::with(&["--fault", "create:reset-after:1@2"]), "spartera");
    let admin = bench.emulator.variables["SPARTERA_API_KEY"].clone();
    fs::write(bench.path("own.key"), &admin).unwrap();
    let to = format!("file:{}", bench.path("own.key"));
    let once = ["--settle", "0s", "--poll", "1ms", "--leaked", "--yes"];
    let record = bench.run(&[&["rotate", "spartera/1001", "--to", &to, "--role", "1"][..], &once].concat());
    assert!(record.code == 0 && record.stderr.contains(": lost"), "{}", record.stderr);
    assert!(record.stdout.contains("The key that is used here was replaced"), "{}", record.stdout);
    let new = fs::read_to_string(bench.path("own.key")).unwrap();
    assert!(new != admin && bench.emulator.works("spartera", &new) && !bench.emulator.works("spartera", &admin));
}

#[test]
#[cfg(unix)]
fn a_program_that_keeps_secrets_is_told_no_credential() {
    let bench = bench("spartera");
    let script = r#"cd "$0" || exit 9; env >> seen; case $1 in
        read) cat "$2" 2>/dev/null; true ;; write) cat > "$2" ;; remove) rm -f "$2" ;; esac"#;
    let folder = bench.path("");
    let words = serde_json::json!(["sh", "-c", script, folder]);
    fs::write(bench.path("current"), &bench.old).unwrap();
    let to = format!("command:{words}");
    let once = ["--role", "3", "--leaked", "--poll", "1ms", "--yes"];
    bench.json(&[&["rotate", &bench.key, "--to", &to][..], &once].concat());
    let seen = fs::read_to_string(bench.path("seen")).unwrap();
    assert!(seen.contains("SPARTERA_COMPANY_ID="), "{seen}");
    for variable in ["SPARTERA_API_KEY", "MONAD_API_KEY"] {
        assert!(!seen.contains(&bench.emulator.variables[variable]), "{seen}");
    }
    assert!(bench.emulator.works("spartera", &fs::read_to_string(bench.path("current")).unwrap()));
}

#[test]
fn what_a_rotation_under_way_has_is_no_other_ones() {
    let bench = bench("monad");
    let record = bench.rotate(&[]);
    let new = format!("monad/{}", record["state"]["key"].as_str().unwrap());
    let (other, _) = bench.emulator.create("monad");
    // By another name, too.
    bench.json(&["update", &new, "--name", "renamed"]);
    let to = format!("file:{}", bench.path("ci.key"));
    for (key, why) in [(&other, "puts another key's secret"), (&new, "is being rotated already")] {
        let refused = bench.run(&["rotate", key, "--to", &to, "--role", "role-reader", "--yes"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(why) && refused.stderr.contains("resume or abort"), "{}", refused.stderr);
    }
    // Somebody else's secret stays where it is.
    fs::write(bench.path("ci.key"), "somebody else's").unwrap();
    let abort = ["abort", record["id"].as_str().unwrap(), "--yes"];
    let stuck = bench.run(&abort);
    assert!(stuck.code == 1 && stuck.stderr.contains("leave it there"), "{}", stuck.stderr);
    bench.json(&[&abort[..], &["--leave-destination"]].concat());
    assert_eq!(bench.secret(), "somebody else's");
    assert!(bench.emulator.works("monad", &bench.old));
    assert_eq!(bench.files(), ["ci.key"]);
}

#[test]
fn a_key_that_was_left_behind_is_found_and_deleted_when_asked() {
    let bench = bench("monad");
    let record = bench.rotate(&[]);
    bench.json(&["abort", record["id"].as_str().unwrap(), "--yes"]);
    let name = format!("test ~{}", record["marks"][0].as_str().unwrap());
    // As if the create had acted late, and another journal had rotations, too.
    for name in [&*name, "test ~0123456789abcdef"] {
        let to = format!("file:{}", bench.path(&name[6..]));
        let create = ["create", "monad", "--name", name, "--role", "role-reader", "--expires-in", "90d", "--to", &to];
        bench.json(&create);
    }
    let found = bench.json(&["sweep", "monad"]);
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    let deleted = bench.json(&["sweep", "monad", "--retire", "--yes"]);
    for left in deleted.as_array().unwrap() {
        assert_eq!(left["deleted"].as_bool().unwrap(), left["name"] == *name, "{left}");
    }
    let left = bench.json(&["sweep", "monad"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["rotation"]), (1, &Value::Null));
    assert!(bench.emulator.works("monad", &bench.secret()));
}

#[test]
fn a_key_of_an_unknown_rotation_is_deleted_only_where_its_secret_is_known_to_be_nowhere() {
    let bench = bench_at(Emulator::with(&["--spartera-shape", "guide"]), "spartera");
    // Keys of rotations that another journal had: one in use, one without an owner.
    for (name, file) in [("ci ~0123456789abcdef", "used"), ("ci ~fedcba9876543210", "lost")] {
        let to = format!("file:{}", bench.path(file));
        bench.json(&["create", "spartera", "--name", name, "--role", "3", "--to", &to]);
    }
    let used = fs::read_to_string(bench.path("used")).unwrap();
    let lost = fs::read_to_string(bench.path("lost")).unwrap();
    fs::remove_file(bench.path("lost")).unwrap();
    let place = format!("file:{}", bench.path("used"));
    let works = |secret: &str| bench.emulator.works("spartera", secret);
    // A rotation makes the journal; those who look at what was rotated make none, and say so.
    let looked = bench.run(&["sweep"]);
    assert!(looked.code == 0 && looked.stderr.contains("there is no journal"), "{looked:?}");
    assert_eq!(bench.run(&["sweep", "--journal", "mistyped.sqlite"]).code, 1);
    assert!(!Path::new(&bench.path("state.sqlite")).exists());
    let record = bench.rotate(&["--leaked"]);
    assert_eq!(record["state"]["name"], "done");

    bench.json(&["sweep", "--retire", "--yes"]);
    assert!(works(&used) && works(&lost));
    assert_eq!(bench.run(&["sweep", "--retire", "--even-unknown", "--yes"]).code, 2, "nothing was said of places");
    let mistyped = format!("file:{}", bench.path("mistyped"));
    let refused = bench.run(&["sweep", "--retire", "--even-unknown", "--in", &place, "--in", &mistyped, "--yes"]);
    assert!(refused.code == 2 && refused.stderr.contains("mistyped is empty"), "{refused:?}");
    assert!(works(&used) && works(&lost));
    let swept = bench.json(&["sweep", "--retire", "--even-unknown", "--in", &place, "--yes"]);
    assert!(works(&used) && !works(&lost), "{swept}");
    let what = swept.as_array().unwrap().iter().map(|left| left["what"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(
        what.contains(&"deleted") && what.iter().any(|what| what.starts_with("its secret is in file:")),
        "{what:?}"
    );

    // A vendor that does not show whose secret is whose.
    let name = "ci ~0123456789abcdef";
    let to = format!("file:{}", bench.path("monads"));
    bench.json(&["create", "monad", "--name", name, "--role", "role-reader", "--expires-in", "90d", "--to", &to]);
    let swept = bench.json(&["sweep", "monad", "--retire", "--even-unknown", "--in", &place, "--yes"]);
    assert!(swept[0]["what"].as_str().unwrap().contains("does not show whose secret"), "{swept}");
    assert!(bench.emulator.works("monad", &fs::read_to_string(bench.path("monads")).unwrap()));
}

#[test]
#[cfg(unix)]
fn whoever_is_told_to_stop_stops_between_two_steps() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let bench = bench("monad");
    let to = format!("file:{}", bench.path("ci.key"));
    let slowly = ["rotate", &bench.key, "--to", &to, "--verify-times", "40", "--poll", "10ms", "--leaked", "--yes"];
    let mut process = bench.command(&slowly).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("delivered") {
        assert_ne!(stderr.read_line(&mut told).unwrap(), 0, "{told}");
    }
    crate::harness::signal(&process, "-INT");
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert!(told.contains("was told to stop: resume it") && told.contains("api-keyring resume r-"), "{told}");
    assert_eq!(bench.secret(), bench.old);
    // Nobody has to wait for it: it has given its lease back.
    let resumed = bench.json(&["resume"]);
    assert_eq!(resumed[0]["rotation"]["state"]["name"], "done", "{resumed}");
    assert!(!bench.emulator.works("monad", &bench.old) && bench.emulator.works("monad", &bench.secret()));
}
