//! Condition by command: whatever stands between the program and a vendor, and however the vendor answers, no key is
//! lost, no key is left that the program claims is gone, and nothing is claimed that is not true.
//!
//! The emulator judges. It shows its keys as they are, and no fault distorts that.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use api_keyring_emulator::{Emulator, ExistingKey, Fault, ReuseIds, State};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{QUICK, Run, in_process, program};

/// What the program does in a cell, and at which vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Create,
    Delete,
    Revoke,
    Rotate,
    RotateInPlace,
    Resume,
    Abort,
    List,
    Fleet,
    Sweep,
}

const PROVIDERS: [&str; 2] = ["spartera", "monad"];

impl Task {
    const ALL: [Self; 10] = [
        Self::Create,
        Self::Delete,
        Self::Revoke,
        Self::Rotate,
        Self::RotateInPlace,
        Self::Resume,
        Self::Abort,
        Self::List,
        Self::Fleet,
        Self::Sweep,
    ];

    fn is_offered(self, provider: &str) -> bool {
        match self {
            Self::Revoke => provider == "spartera",
            Self::RotateInPlace => provider == "monad",
            _ => true,
        }
    }

    /// The operations that the task depends on.
    fn operations(self, provider: &str) -> Vec<&'static str> {
        let retire = if provider == "spartera" { "revoke" } else { "delete" };
        match self {
            Self::Create => vec!["create", "update"],
            Self::Delete => vec!["get", "delete"],
            Self::Revoke => vec!["get", "revoke"],
            Self::Rotate | Self::Fleet => vec!["get", "create", "list", retire],
            Self::RotateInPlace => vec!["get", "regenerate", "list"],
            Self::Resume => vec!["get", "list", retire],
            Self::Abort => vec!["get", "list", "delete"],
            Self::List => vec!["list"],
            Self::Sweep => vec!["list", "get", "delete"],
        }
    }
}

/// A condition, written as a fault without its operation.
struct Condition {
    fault: &'static str,
    /// The only operation that it can hit.
    only: Option<&'static str>,
    /// Whether somebody else answers in the vendor's place.
    is_foreign: bool,
}

const fn foreign(fault: &'static str) -> Condition {
    Condition { fault, only: None, is_foreign: true }
}

const fn own(fault: &'static str) -> Condition {
    Condition { fault, only: None, is_foreign: false }
}

const fn list(fault: &'static str) -> Condition {
    Condition { fault, only: Some("list"), is_foreign: false }
}

const CONDITIONS: [Condition; 40] = [
    // A: whose word counts.
    foreign("gateway-404"),
    foreign("gateway-404-after"),
    foreign("gateway-404=json"),
    foreign("gateway-404-after=kong"),
    foreign("gateway-404=google"),
    foreign("gateway-404=spring"),
    foreign("gateway-404=problem"),
    foreign("gateway-404=empty"),
    foreign("gateway-403"),
    foreign("gateway-403-after"),
    foreign("gateway-403=json"),
    foreign("gateway-403-after=azure"),
    foreign("gateway-401=json"),
    foreign("gateway-502"),
    foreign("gateway-502-after"),
    foreign("gateway-504-after=json"),
    foreign("gateway-200"),
    foreign("gateway-200-after"),
    foreign("gateway-200=json"),
    foreign("waf"),
    foreign("waf-after"),
    foreign("captive-portal"),
    foreign("captive-portal-after"),
    foreign("html"),
    foreign("html=404"),
    own("unknown-is-403"),
    own("unknown-is-403=own"),
    own("reset-after"),
    // B: answers almost as documented.
    own("encoded"),
    own("wrong-type"),
    own("truncate"),
    own("odd-field"),
    own("zero-time"),
    own("extra-fields"),
    list("odd-row"),
    list("odd-row=number"),
    list("past-end-404"),
    list("page-length=1"),
    list("page-length=3"),
    list("duplicate-rows"),
];

/// How many requests a condition hits.
const COUNTS: [&str; 2] = [":1", ""];

/// A vendor with keys, and a directory with secrets and a journal, before a task begins.
struct World {
    task: Task,
    provider: &'static str,
    /// The directory. The journal names it, so all cells use the same, one after the other.
    folder: TempDir,
    state: State,
    files: Vec<(String, Vec<u8>)>,
    /// The key that the task is about, and the rotation.
    key: String,
    rotation: Option<String>,
}

/// A world in which a task runs.
struct Cell<'a> {
    world: &'a World,
    emulator: Emulator,
    before: Vec<ExistingKey>,
}

fn role(provider: &str) -> &'static str {
    if provider == "spartera" { "3" } else { "role-reader" }
}

impl World {
    /// Prepares the vendor and the directory.
    fn new(task: Task, provider: &'static str) -> Self {
        let (folder, state) = (tempfile::tempdir().unwrap(), State::default());
        let mut world = Self { task, provider, folder, state, files: Vec::new(), key: String::new(), rotation: None };
        let cell = world.cell(None);
        // Nobody may touch these two.
        for name in ["bystander", "bystander ~0123456789abcdef"] {
            cell.create(name, "bystander.key");
        }
        let key = cell.create("ci", "ci.key");
        let mut rotation = None;
        match task {
            Task::Resume => {
                let retire = if provider == "spartera" { "revoke" } else { "delete" };
                cell.inject(&format!("{retire}:status=500:1"));
                let run = cell.run(&cell.rotate(&key, &["--leaked"]));
                assert_eq!(run.code, 1, "the rotation stops before its end: {run:?}");
                rotation = Some(cell.json(&["status"])[0]["id"].as_str().unwrap().to_owned());
            }
            Task::Abort => {
                rotation = Some(cell.json(&cell.rotate(&key, &["--grace", "1h"]))["id"].as_str().unwrap().to_owned());
            }
            Task::Sweep => {
                let record = cell.json(&cell.rotate(&key, &["--grace", "1h"]));
                let id = record["id"].as_str().unwrap().to_owned();
                cell.json(&["abort", &id, "--yes"]);
                // The create was late.
                cell.create(&format!("ci ~{}", record["marks"][0].as_str().unwrap()), "late.key");
                rotation = Some(id);
            }
            Task::Fleet => drop(cell.create("ci-2", "ci-2.key")),
            _ => {}
        }
        let files = fs::read_dir(world.folder.path()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        });
        (world.files, world.state) = (files.collect(), cell.emulator.state());
        (world.key, world.rotation) = (key, rotation);
        world
    }

    fn cell(&self, reuse: Option<ReuseIds>) -> Cell<'_> {
        let mut builder = Emulator::builder().seed(7).state(self.state.clone());
        if let Some(reuse) = reuse {
            builder = builder.reuse_ids(reuse);
        }
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, content) in &self.files {
            let path = self.folder.path().join(name);
            fs::write(&path, content).unwrap();
            // As the program made it. It refuses a file whose rights have changed since the plan.
            #[cfg(unix)]
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let emulator = in_process(builder);
        let before = emulator.keys();
        Cell { world: self, emulator, before }
    }
}

impl Cell<'_> {
    fn inject(&self, fault: &str) {
        self.emulator.inject(fault.parse::<Fault>().unwrap_or_else(|error| panic!("{fault}: {error}")));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .envs(self.emulator.environment())
            .env("API_KEYRING_JOURNAL", "journal")
            .current_dir(self.world.folder.path());
        command.args(["--output", "json"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[impl AsRef<str>]) -> Run {
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        self.command(&arguments).output().unwrap().into()
    }

    fn json(&self, arguments: &[impl AsRef<str>]) -> Value {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{run:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Issues a key with this very name. Returns `PROVIDER/ID`.
    fn create(&self, name: &str, file: &str) -> String {
        let (provider, to) = (self.world.provider, format!("file:{file}"));
        let create =
            ["create", provider, "--name", name, "--exact-name", "--role", role(provider), "--expires-in", "90d"];
        let issued = self.json(&[&create[..], &["--force", "--to", &to]].concat());
        format!("{provider}/{}", issued["id"].as_str().unwrap())
    }

    fn rotate(&self, key: &str, more: &[&str]) -> Vec<String> {
        let rotate = ["rotate", key, "--to", "file:ci.key", "--verify-times", "1", "--lease", "1s"];
        let role = ["--role", role(self.world.provider)];
        let role = if more.contains(&"--in-place") { &[] } else { &role[..] };
        [&rotate, &QUICK[..], role, more].concat().into_iter().map(str::to_owned).collect()
    }

    /// The command line of the task.
    fn task(&self) -> Vec<String> {
        let World { provider, key, rotation, .. } = self.world;
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rotation = rotation.as_deref().unwrap_or_default();
        match self.world.task {
            Task::Create => words(&[
                "create",
                provider,
                "--name",
                "new",
                "--role",
                role(provider),
                "--expires-in",
                "90d",
                "--settle",
                "0s",
                "--to",
                "file:new.key",
            ]),
            Task::Delete => words(&["delete", key, "--yes"]),
            Task::Revoke => words(&["revoke", key, "--yes"]),
            Task::Rotate => self.rotate(key, &["--leaked"]),
            Task::RotateInPlace => self.rotate(key, &["--in-place", "--even-own"]),
            Task::Resume => words(&["resume", rotation, "--lease", "1s"]),
            Task::Abort => words(&["abort", rotation, "--lease", "1s", "--yes"]),
            Task::List => words(&["list", provider]),
            Task::Fleet => {
                let rotate = self.rotate("", &["--leaked"]);
                let mut fleet = words(&["rotate-fleet", provider, "--named", "ci*", "--to", "file:{name}.key"]);
                fleet.extend(rotate.into_iter().skip(4));
                fleet
            }
            Task::Sweep => words(&["sweep", provider, "--retire", "--yes"]),
        }
    }

    fn keys(&self) -> Vec<ExistingKey> {
        self.emulator.keys()
    }

    fn find(&self, key: &str) -> Option<ExistingKey> {
        self.keys().into_iter().find(|found| format!("{}/{}", found.provider, found.id) == key)
    }

    fn is_alive(&self, key: &str) -> bool {
        self.find(key).is_some_and(|key| key.live_secrets > 0)
    }

    /// Returns the key that the secret in a file belongs to, if it works. Asks the service without any client of ours.
    fn key_of_file(&self, file: &str) -> Option<String> {
        let secret = fs::read_to_string(self.world.folder.path().join(file)).ok()?;
        let variables: BTreeMap<_, _> = self.emulator.environment().into_iter().collect();
        let path = match self.world.provider {
            "spartera" => format!("/companies/{}/api-keys", variables["SPARTERA_COMPANY_ID"]),
            _ => format!("/api/v2/{}/api_keys", variables["MONAD_ORGANIZATION_ID"]),
        };
        let mut socket = TcpStream::connect(self.emulator.address()).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nx-api-key: {}\r\nConnection: close\r\n\r\n",
            self.emulator.address(),
            secret.trim()
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let seen = self.emulator.requests().pop().unwrap();
        let works = answer.starts_with("HTTP/1.1 200 ");
        works.then(|| format!("{}/{}", self.world.provider, seen.authenticated_as.unwrap()))
    }

    /// Judges what the task did, under the condition, and what it said. Then continues without the condition.
    fn judge(&self, run: &Run, fault: &str, is_foreign: bool) -> Result<(), String> {
        let check = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(what.to_owned()) };
        self.judge_always(run, is_foreign)?;
        self.emulator.clear_faults();
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let World { provider, key, .. } = self.world;
        match self.world.task {
            Task::Create => self.judge_create(run, &document)?,
            Task::Delete | Task::Revoke => {
                let claims = document["confirmed"].is_string();
                check(!(claims && self.is_alive(key)), "it claims that a key is gone that lives")?;
                check(run.code != 5, "it claims that the key does not exist")?;
                check(run.code != 0 || claims || document["done"] == "acknowledged", "it says nothing")?;
            }
            Task::List => {
                let listed: Vec<_> = document.as_array().into_iter().flatten().map(|key| &key["id"]).collect();
                let keys: Vec<_> =
                    self.keys().into_iter().filter(|key| key.provider.to_string() == *provider).collect();
                check(
                    listed.len() == keys.len() || run.code != 0,
                    &format!("it hides a key and says nothing ({} of {})", listed.len(), keys.len()),
                )?;
                let is_one_row = run.code == 0 || !fault.contains("odd-row");
                check(is_one_row || listed.len() + 1 >= keys.len(), "one odd row hides others")?;
                check(listed.iter().all(|id| keys.iter().any(|key| **id == *key.id)), "it lists a key that is none")?;
            }
            Task::Rotate | Task::RotateInPlace | Task::Fleet | Task::Resume | Task::Abort => {
                self.judge_rotation(run, &document)?;
            }
            Task::Sweep => {
                for swept in document.as_array().into_iter().flatten().filter(|swept| swept["deleted"] == true) {
                    let key = format!("{provider}/{}", swept["id"].as_str().unwrap_or_default());
                    check(!self.is_alive(&key), "it claims that a key is deleted that lives")?;
                }
            }
        }
        Ok(())
    }

    /// What holds for every task.
    fn judge_always(&self, run: &Run, is_foreign: bool) -> Result<(), String> {
        let check = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(what.to_owned()) };
        for output in [&run.stdout, &run.stderr] {
            check(!output.contains("sk_live_") && !output.contains("eyJ"), "it prints a secret")?;
        }
        check(!run.stderr.contains("panicked"), "it panics")?;
        // Whoever answers in the vendor's place says nothing of the credential, or of what exists.
        check(!is_foreign || matches!(run.code, 0..=3), "it takes a gateway's word for the vendor's")?;
        let now = self.keys();
        let is_spared = |key: &&ExistingKey| {
            let name = key.name.as_deref().unwrap_or_default();
            name.starts_with("bystander") || name == "administrator" || key.provider.to_string() != self.world.provider
        };
        for key in self.before.iter().filter(is_spared) {
            let is_same = now.iter().any(|now| {
                (&now.id, now.created, &now.name, now.live_secrets)
                    == (&key.id, key.created, &key.name, key.live_secrets)
            });
            check(is_same, &format!("it touched {key:?}"))?;
        }
        Ok(())
    }

    fn judge_create(&self, run: &Run, document: &Value) -> Result<(), String> {
        let check = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(what.to_owned()) };
        let provider = self.world.provider;
        let new = self.keys().into_iter().filter(|key| !self.before.iter().any(|before| before.serial == key.serial));
        let new: Vec<_> = new.filter(|key| key.live_secrets > 0).collect();
        if run.code == 0 {
            let key = format!("{provider}/{}", document["id"].as_str().unwrap_or_default());
            check(new.len() == 1, "not exactly one key was issued")?;
            return check(self.key_of_file("new.key") == Some(key), "the file does not hold the secret");
        }
        let swept = self.json(&["sweep", provider]);
        for key in &new {
            let name = format!("{provider}/{}", key.id);
            let is_known = run.stderr.contains(&format!("delete {name}"))
                || swept.as_array().unwrap().iter().any(|swept| swept["id"] == *key.id);
            check(is_known, "a key lives of which nobody knows")?;
            check(!run.stderr.contains(&format!("deleted the new key {name}")), "it claims that a key is gone")?;
            self.json(&["delete", &name, "--yes"]);
            check(!self.is_alive(&name), "the command that ends it does not")?;
        }
        Ok(())
    }

    /// No program is locked out, every claim is true, and the rotation can be finished.
    fn judge_rotation(&self, run: &Run, document: &Value) -> Result<(), String> {
        let check = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(what.to_owned()) };
        let World { key, provider, task, .. } = self.world;
        let holds = |file: &str| self.key_of_file(file);
        if *task != Task::RotateInPlace {
            check(holds("ci.key").is_some(), "the secret in the file does not work")?;
        }
        if *task == Task::Fleet {
            check(holds("ci-2.key").is_some(), "the secret in the second file does not work")?;
        } else if run.code == 0 {
            match document["state"]["name"].as_str() {
                Some("done") => {
                    check(*task == Task::RotateInPlace || !self.is_alive(key), "it claims that the old key is gone")?;
                    check(holds("ci.key").is_some(), "the new secret does not work")?;
                }
                Some("aborted") => {
                    check(holds("ci.key").as_ref() == Some(key), "it claims that the old secret is back")?;
                }
                _ => {}
            }
        }
        // The condition is over.
        let (begin, more): (_, &[&str]) = if *task == Task::Abort { ("abort", &["--yes"]) } else { ("resume", &[]) };
        let mut left = self.json(&["status"]);
        for _ in 0..3 {
            for rotation in left.as_array().unwrap() {
                let id = rotation["id"].as_str().unwrap();
                self.judge_always(&self.run(&[&[begin, id, "--lease", "1s"], more].concat()), false)?;
            }
            if left.as_array().unwrap().is_empty() {
                break;
            }
            left = self.json(&["status"]);
        }
        let why = || left.as_array().unwrap().iter().map(|rotation| rotation["state"].to_string()).collect::<String>();
        check(left.as_array().unwrap().is_empty(), &format!("it cannot be finished: {}", why()))?;
        self.json(&["sweep", provider, "--retire", "--yes"]);
        let files: &[&str] = if *task == Task::Fleet { &["ci.key", "ci-2.key"] } else { &["ci.key"] };
        let held: Vec<_> = files.iter().map(|file| holds(file)).collect();
        check(held.iter().all(Option::is_some), "in the end, the secret in the file does not work")?;
        let is_of_lineage = |key: &ExistingKey| {
            key.provider.to_string() == *provider && key.name.as_deref().unwrap_or_default().starts_with("ci")
        };
        let alive: Vec<_> = self.keys().into_iter().filter(|key| is_of_lineage(key) && key.live_secrets > 0).collect();
        check(alive.len() == files.len(), &format!("in the end, these keys live: {alive:?}"))
    }
}

/// After a key was deleted, somebody else's key gets its id at once, and the program then continues what it has begun.
#[test]
fn somebody_elses_key_under_a_reused_id_is_spared() {
    for provider in PROVIDERS {
        for (task, is_old) in [(Task::Resume, true), (Task::Abort, false), (Task::Sweep, false)] {
            let world = World::new(task, provider);
            let mut cell = world.cell(Some(ReuseIds::Next));
            let names = |key: &&ExistingKey| {
                let name = key.name.as_deref().unwrap_or_default();
                key.provider.to_string() == provider && if is_old { name == "ci" } else { name.starts_with("ci ~") }
            };
            let freed = cell.keys().iter().rfind(names).map(|key| format!("{provider}/{}", key.id)).unwrap();
            cell.json(&["delete", &freed, "--yes"]);
            assert_eq!(cell.create("bystander of the id", "theirs.key"), freed);
            cell.before = cell.keys();
            let run = cell.run(&cell.task());
            cell.judge_always(&run, false).unwrap_or_else(|what| panic!("{task:?} at {provider}: {what}: {run:?}"));
        }
    }
}

/// A fault, and whether somebody else answers in the vendor's place.
type Case = (String, bool);

/// Runs these cells on two threads, and returns the violations.
fn violations(worlds: Vec<(World, Vec<Case>)>) -> Vec<String> {
    let (queue, found) = (Mutex::new(worlds), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some((world, cases)) = queue.lock().unwrap().pop() else { return };
            for (fault, is_foreign) in cases {
                let cell = world.cell(None);
                cell.inject(&fault);
                let run = cell.run(&cell.task());
                if let Err(what) = cell.judge(&run, &fault, is_foreign) {
                    let (task, provider) = (world.task, world.provider);
                    found.lock().unwrap().push(format!("{task:?} at {provider}, {fault}: {what}\n    {run:?}"));
                }
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    found.into_inner().unwrap()
}

/// Returns all cells of a world.
fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in world.task.operations(world.provider) {
        for Condition { fault, only, is_foreign } in &CONDITIONS {
            for count in COUNTS.iter().filter(|_| only.is_none_or(|only| only == operation)) {
                cases.push((format!("{}.{operation}:{fault}{count}", world.provider), *is_foreign));
            }
        }
    }
    cases
}

#[test]
fn every_condition_by_every_command() {
    // A plain `cargo test` runs a sample of the cells.
    let stride = std::env::var("CONDITION_STRIDE").ok().map_or(5, |stride| stride.parse().expect("a number"));
    let offered = Task::ALL.into_iter().flat_map(|task| PROVIDERS.map(|provider| (task, provider)));
    let worlds = offered.filter(|(task, provider)| task.is_offered(provider));
    let mut all = 0;
    let worlds: Vec<_> = worlds
        .map(|(task, provider)| {
            let world = World::new(task, provider);
            let cases = cases(&world);
            let sample =
                cases.iter().skip((stride - all % stride) % stride).step_by(stride).cloned().collect::<Vec<_>>();
            all += cases.len();
            (world, sample)
        })
        .collect();
    let count: usize = worlds.iter().map(|(_, cases)| cases.len()).sum();
    let violations = violations(worlds);
    println!("{count} of {all} cells of {} conditions, {} violations", CONDITIONS.len(), violations.len());
    assert!(violations.is_empty(), "{} of {count}:\n{}", violations.len(), violations.join("\n"));
}
