//! A `create` whose answer is lost, or that is interrupted, leaves no key of which nobody knows.

use std::process::{Command, Stdio};

use api_keyring_emulator::{Emulator, ExistingKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Run, in_process, program};

/// An emulator in this process, and a directory for secrets and for a journal.
struct Fixture {
    emulator: Emulator,
    folder: TempDir,
    provider: &'static str,
}

impl Fixture {
    fn new(provider: &'static str) -> Self {
        Self { emulator: in_process(Emulator::builder().seed(5)), folder: tempfile::tempdir().unwrap(), provider }
    }

    fn with_fault(provider: &'static str, fault: &str) -> Self {
        let fixture = Self::new(provider);
        fixture.emulator.inject(fault.parse::<api_keyring_emulator::Fault>().unwrap());
        fixture
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.envs(self.emulator.environment()).env("API_KEYRING_JOURNAL", self.path("journal")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    fn create(&self, more: &[&str]) -> Command {
        let role = if self.provider == "spartera" { "3" } else { "role-reader" };
        let to = format!("file:{}", self.path("ci.key").display());
        let create = ["create", self.provider, "--name", "ci", "--role", role, "--expires-in", "90d", "--to", &to];
        self.command(&[&create[..], more].concat())
    }

    /// Returns the keys besides the administrators'.
    fn keys(&self) -> Vec<ExistingKey> {
        let is_ours = |key: &ExistingKey| key.provider.to_string() == self.provider;
        self.emulator.keys().into_iter().filter(is_ours).skip(1).filter(|key| key.live_secrets > 0).collect()
    }

    /// Waits until the service has a new key.
    fn new_key(&self) -> ExistingKey {
        loop {
            if let Some(key) = self.keys().pop() {
                return key;
            }
            std::thread::yield_now();
        }
    }
}

/// The answers to a create that do not tell the new key's secret. The number says how many keys the service creates.
const LOST_ANSWERS: [(&str, usize); 28] = [
    ("reset-before", 0),
    ("reset-after", 1),
    ("reset-body", 1),
    ("truncate", 1),
    ("empty", 1),
    ("html", 1),
    ("html=502", 1),
    ("html=404", 1),
    ("wrong-type", 1),
    ("encoded", 1),
    ("no-media-type", 1),
    ("status-after=500", 1),
    ("status-after=502", 1),
    ("status-after=503", 1),
    ("status-after=504", 1),
    ("status=503", 0),
    ("gateway-502", 0),
    ("gateway-502-after", 1),
    ("gateway-504-after=json", 1),
    ("gateway-404-after", 1),
    ("gateway-404-after=json", 1),
    ("gateway-403-after", 1),
    ("gateway-403-after=kong", 1),
    ("gateway-200-after", 1),
    ("gateway-200-after=json", 1),
    ("waf", 0),
    ("waf-after", 1),
    ("captive-portal-after", 1),
];

#[test]
fn after_a_lost_answer_no_key_lives_of_which_nobody_knows() {
    let mut named = 0;
    for (provider, is_stale) in [("spartera", false), ("monad", false), ("spartera", true), ("monad", true)] {
        for (answer, created) in LOST_ANSWERS {
            let fixture = Fixture::with_fault(provider, &format!("create:{answer}:1"));
            if is_stale {
                fixture.emulator.inject("create:stale-list=2:1".parse::<api_keyring_emulator::Fault>().unwrap());
            }
            let settle = if is_stale { "150ms" } else { "0s" };
            let run: Run = fixture.create(&["--settle", settle]).output().unwrap().into();
            let context = format!("{provider}, {answer}, stale: {is_stale}: {run:?}");
            assert!(
                !run.stderr.contains("sk_live_") && !run.stderr.contains("eyJ") && run.stdout.is_empty(),
                "{context}"
            );
            assert!(!fixture.path("ci.key").exists(), "{context}");
            assert!(matches!(run.code, 1 | 4), "{context}");
            let creates = fixture.emulator.requests().iter().filter(|seen| seen.method == "POST").count();
            assert_eq!(creates, 1, "a create is sent once: {context}");
            let keys = fixture.keys();
            for key in &keys {
                // The answer may hold the secret, so the key stays. It is named with the command that ends it.
                assert!(fixture.path("ci.key.unclaimed").exists(), "{context}");
                let delete = format!("api-keyring delete {provider}/{}", key.id);
                assert!(run.stderr.contains(&delete) || run.stderr.contains("api-keyring sweep"), "{context}");
                // A list may lag for a while.
                let is_found = |found: Value| found.as_array().unwrap().iter().any(|found| found["id"] == *key.id);
                assert!((0..5).any(|_| is_found(fixture.json(&["sweep", provider]))), "{context}");
                let ended = fixture.json(&["delete", &format!("{provider}/{}", key.id), "--yes"]);
                assert_eq!(ended["done"], "deleted", "{context}");
                named += 1;
            }
            if created == 1 && keys.is_empty() {
                assert!(run.stderr.contains("api-keyring deleted the new key"), "{context}");
            }
            if created == 0 {
                assert!(
                    run.stderr.contains("api-keyring sweep") || run.stderr.contains("Nothing was sent"),
                    "{context}"
                );
            }
            assert_eq!(fixture.keys(), [], "{context}");
        }
    }
    println!("{} lost answers, {named} keys named, 0 keys of which nobody knows", 4 * LOST_ANSWERS.len());
}

#[test]
fn a_create_that_succeeds_leaves_no_mark_and_no_orphan() {
    for provider in ["spartera", "monad"] {
        for format in ["table", "json"] {
            let fixture = Fixture::new(provider);
            let run: Run = fixture.create(&["--output", format]).output().unwrap().into();
            assert_eq!((run.code, &*run.stderr), (0, ""), "{run:?}");
            let key = fixture.keys().pop().unwrap();
            assert_eq!(key.name.as_deref(), Some("ci"));
            if format == "json" && provider == "monad" {
                let document: Value = serde_json::from_str(&run.stdout).unwrap();
                assert_eq!(document["key"]["name"], "ci");
            }
            assert_eq!(fixture.json(&["sweep", provider]), serde_json::json!([]));
        }
        // A failure to remove the mark is no failure of the command.
        let fixture = Fixture::with_fault(provider, "update:status=500:1");
        let run: Run = fixture.create(&[]).output().unwrap().into();
        assert!(run.code == 0 && run.stderr.contains("api-keyring update") && run.stderr.contains("\"ci\""), "{run:?}");
        assert!(fixture.keys()[0].name.as_ref().unwrap().starts_with("ci ~"));
    }
}

#[test]
fn a_key_with_an_exact_name_never_has_a_mark_and_is_named_if_the_answer_is_lost() {
    for provider in ["spartera", "monad"] {
        let fixture = Fixture::with_fault(provider, "create:reset-after:1");
        let run: Run = fixture.create(&["--exact-name"]).output().unwrap().into();
        let key = fixture.new_key();
        assert_eq!((run.code, key.name.as_deref()), (1, Some("ci")), "{run:?}");
        assert!(run.stderr.contains(&format!("may be {provider}/{}", key.id)), "{run:?}");
        let run: Run = fixture.create(&["--exact-name"]).output().unwrap().into();
        assert_eq!((run.code, &*run.stderr), (0, ""));
        assert!(fixture.emulator.requests().iter().all(|seen| seen.method != "PATCH"));
    }
}

#[test]
#[cfg(unix)]
fn a_key_of_a_create_that_is_killed_is_found_by_sweep_and_deleted_on_request() {
    for provider in ["spartera", "monad"] {
        // The process is killed while the answer arrives.
        let fixture = Fixture::with_fault(provider, "create:slow-body=1h:1");
        let mut child = fixture.create(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let key = fixture.new_key();
        child.kill().unwrap();
        child.wait().unwrap();
        let name = format!("{provider}/{}", key.id);
        let found = fixture.json(&["sweep", provider, "--retire", "--yes"]);
        let what = found[0]["what"].as_str().unwrap();
        assert!(found[0]["id"] == *key.id && found[0]["rotation"].is_null() && found[0]["deleted"] == false, "{found}");
        assert!(what.contains("`create` was interrupted") && what.contains(&format!("delete {name}`")), "{what}");
        assert_eq!(fixture.keys(), [key]);
        assert_eq!(fixture.json(&["delete", &name, "--yes"])["done"], "deleted");
        assert_eq!(fixture.keys(), []);
        assert_eq!(fixture.json(&["sweep", provider]), serde_json::json!([]));
    }
}

#[test]
#[cfg(unix)]
fn a_key_in_use_is_not_swept_even_if_its_create_was_killed_before_it_removed_the_mark() {
    let fixture = Fixture::with_fault("spartera", "update:delay=1h:1");
    let mut child = fixture.create(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !fixture.path("ci.key").exists() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.emulator.clear_faults();
    let key = fixture.new_key();
    assert!(key.name.as_ref().unwrap().contains('~'));
    let place = format!("file:{}", fixture.path("ci.key").display());
    for more in [&[][..], &["--in", &place], &["--even-unknown", "--in", &place]] {
        let found = fixture.json(&[&["sweep", "spartera", "--retire", "--yes"], more].concat());
        assert_eq!(found[0]["deleted"], false, "{found}");
        if !more.is_empty() {
            assert!(found[0]["what"].as_str().unwrap().contains("its secret is in file:"), "{found}");
        }
        assert_eq!(fixture.keys(), std::slice::from_ref(&key));
    }
    // A key without a mark is no orphan.
    fixture.json(&["update", &format!("spartera/{}", key.id), "--name", "ci"]);
    assert_eq!(fixture.json(&["sweep", "spartera"]), serde_json::json!([]));
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_search_for_a_key_and_says_how_to_find_it() {
    use std::io::{BufRead as _, BufReader, Read as _};

    let fixture = Fixture::with_fault("monad", "create:held-up=1h:1");
    let mut child = fixture.create(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("Looking for it for up to 1m") {
        assert_ne!(stderr.read_line(&mut shown).unwrap(), 0, "{shown}");
    }
    crate::harness::signal(&child, "-INT");
    stderr.read_to_string(&mut shown).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mark = shown.split("its name ends in ~").nth(1).unwrap().split(',').next().unwrap();
    assert!(mark.len() == 16 && shown.contains("`api-keyring sweep monad` lists it"), "{shown}");
}

#[test]
fn a_row_that_cannot_be_read_hides_no_key_whose_answer_was_lost() {
    for provider in ["spartera", "monad"] {
        for row in ["odd-row", "odd-field"] {
            let fixture = Fixture::with_fault(provider, "create:reset-after:1");
            fixture.emulator.inject(format!("list:{row}").parse::<api_keyring_emulator::Fault>().unwrap());
            let run: Run = fixture.create(&["--settle", "0s"]).output().unwrap().into();
            assert!(run.stderr.contains("api-keyring deleted the new key"), "{provider}, {row}: {run:?}");
            assert_eq!(fixture.keys(), [], "{provider}, {row}");
        }
    }
}

#[test]
fn your_own_credential_is_not_swept_even_if_its_name_has_a_mark() {
    let fixture = Fixture::new("spartera");
    let name = "administrator ~0123456789abcdef";
    fixture.json(&["update", "spartera/1001", "--name", name]);
    std::fs::write(fixture.path("other"), "another secret").unwrap();
    let place = format!("file:{}", fixture.path("other").display());
    let swept = fixture.json(&["sweep", "spartera", "--retire", "--even-unknown", "--in", &place, "--yes"]);
    assert!(swept[0]["deleted"] == false && swept[0]["what"] == "it is your own credential", "{swept}");
    assert_eq!(fixture.json(&["get", "spartera/1001"])["status"], "active");
}

/// Writes to a standard output that is not open for writing seem to succeed.
#[test]
#[cfg(target_os = "linux")]
fn a_standard_output_that_cannot_be_written_is_refused_before_a_key_exists() {
    let emulator = crate::harness::Emulator::start();
    let (key, secret) = emulator.create("monad");
    let before = (emulator.ids("spartera"), emulator.ids("monad"));
    for arguments in [
        &["create", "spartera", "--name", "x", "--role", "3", "--to", "-"][..],
        &["rotate", &key, "--in-place", "--even-own", "--to", "-", "--yes"],
    ] {
        for path in ["/dev/zero", "/proc/self/status"] {
            let mut command = emulator.client(arguments);
            let run: Run = command.stdout(std::fs::File::open(path).unwrap()).output().unwrap().into();
            assert!(run.code == 2 && run.stderr.contains("standard output cannot be written"), "{}", run.stderr);
        }
    }
    assert!(emulator.works("monad", &secret));
    assert_eq!((emulator.ids("spartera"), emulator.ids("monad")), before);
}
