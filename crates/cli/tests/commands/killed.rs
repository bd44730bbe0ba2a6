//! Kills rotations, fills their disk, or starts two at once, on a real file system.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use api_keyring_emulator::{Emulator, ExistingKey};
use tempfile::TempDir;

use crate::harness::{in_process, program};

/// Returns the number in an environment variable, or `usual` if the variable is not set.
fn count_from(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |count| count.parse().expect("a number"))
}

/// Starts an emulator in a thread of its own.
fn emulator() -> Emulator {
    in_process(Emulator::builder().seed(3))
}

/// A key to rotate, and a directory with its secret and the journal.
struct Rotation<'a> {
    emulator: &'a Emulator,
    provider: &'static str,
    is_in_place: bool,
    folder: TempDir,
    old: ExistingKey,
    old_secret: String,
    /// All other keys, alive or not.
    others: Vec<ExistingKey>,
}

impl<'a> Rotation<'a> {
    fn new(emulator: &'a Emulator, provider: &'static str) -> Self {
        let seeded = match provider {
            "monad" => emulator.monad().add_keys(1),
            _ => emulator.spartera().add_keys(1),
        };
        let (old, others) = emulator.keys().into_iter().partition::<Vec<_>, _>(|key| key.id == seeded[0].id);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ci.key"), &seeded[0].secret).unwrap();
        Self {
            emulator,
            provider,
            is_in_place: false,
            folder,
            old: old.into_iter().next().unwrap(),
            old_secret: seeded[0].secret.clone(),
            others,
        }
    }

    fn program(&self) -> Command {
        let mut command = program();
        command.envs(self.emulator.environment()).env("API_KEYRING_JOURNAL", self.folder.path().join("journal"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn arguments(&self) -> Vec<String> {
        let to = format!("file:{}", self.folder.path().join("ci.key").display());
        let role = if self.provider == "monad" { "role-reader" } else { "3" };
        let key = format!("{}/{}", self.provider, self.old.id);
        let how: &[&str] =
            if self.is_in_place { &["--in-place", "--verify-within", "1s"] } else { &["--role", role, "--leaked"] };
        let arguments = ["rotate", &key, "--to", &to, "--yes"];
        let quick = ["--settle", "0s", "--poll", "1ms", "--lease", "50ms"];
        arguments.iter().chain(how).chain(&quick).map(ToString::to_string).collect()
    }

    fn start(&self) -> Child {
        self.program().args(self.arguments()).spawn().unwrap()
    }

    fn resume(&self) -> Child {
        self.program().args(["resume", "--lease", "50ms"]).spawn().unwrap()
    }

    /// Resumes until no rotation is unfinished. A killed process may hold the lease at first.
    fn resume_until_finished(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let resumed = wait_for(self.resume());
            self.assert_prints_no_secret(&resumed);
            let left = self.program().args(["--output", "json", "status"]).output().unwrap();
            if left.stdout.trim_ascii() == b"[]" {
                return;
            }
            assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&resumed.stdout));
        }
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.folder.path().join("ci.key")).unwrap()
    }

    /// Returns whether the service accepts the secret in the file.
    fn has_working_secret(&self) -> bool {
        let variable = if self.provider == "monad" { "MONAD_API_KEY" } else { "SPARTERA_API_KEY" };
        let listed = self.program().args(["list", self.provider]).env(variable, self.secret()).output().unwrap();
        listed.status.success()
    }

    /// Asserts that the output contains no secret.
    fn assert_prints_no_secret(&self, output: &Output) {
        for secret in [self.secret(), self.old_secret.clone()] {
            for stream in [&output.stdout, &output.stderr] {
                assert!(!String::from_utf8_lossy(stream).contains(&secret), "the output contains a secret");
            }
        }
    }

    /// Asserts that one key of the lineage is alive, that the sink holds its secret, and that no other file holds one.
    fn assert_one_live_key(&self, context: &str) {
        let keys = self.emulator.keys();
        let is_other = |key: &&ExistingKey| self.others.iter().any(|other| other.id == key.id);
        let alive: Vec<_> = keys.iter().filter(|key| !is_other(key) && key.live_secrets > 0).collect();
        assert_eq!(alive.len(), 1, "{context}: {alive:?}");
        for other in &self.others {
            assert!(keys.contains(other), "{context}: the rotation changed {other:?}");
        }
        let secret = self.secret();
        let before = self.emulator.requests().len();
        assert!(self.has_working_secret(), "{context}: the sink's secret does not work");
        let seen = self.emulator.requests().split_off(before);
        assert_eq!(seen[0].authenticated_as.as_ref(), Some(&alive[0].id), "{context}");
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let (name, path) = entry.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).unwrap();
            let bytes = fs::read(&path).unwrap();
            // A file of zeros only reserves room. The next rotation removes it.
            if name.starts_with(".ci.key.new-") && bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            // The next process that locks the file removes it.
            if name == ".ci.key.api-keyring-lock" && bytes.is_empty() {
                continue;
            }
            let content = String::from_utf8_lossy(&bytes);
            for secret in [&secret, &self.old_secret] {
                assert!(name == "ci.key" || !content.contains(secret.as_str()), "{context}: {name} contains a secret");
            }
            assert!(name == "ci.key" || name.starts_with("journal"), "{context}: the rotation left {name} behind");
        }
    }
}

fn wait_for(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output
}

/// Pseudo-random numbers, the same for the same seed.
struct PseudoRandom(u64);

impl PseudoRandom {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let limit = u64::try_from(limit.as_micros()).unwrap().max(1);
        Duration::from_micros((self.0 >> 33) % limit)
    }
}

/// Kills a process after a time. Returns whether it was still running.
fn killed_after(mut child: Child, time: Duration) -> bool {
    thread::sleep(time);
    child.kill().unwrap();
    // A process that a signal ended has no exit code.
    child.wait().unwrap().code().is_none()
}

#[test]
#[cfg(unix)]
fn a_rotation_that_is_killed_at_any_moment_can_be_finished() {
    let emulator = emulator();
    let mut random = PseudoRandom(count_from("ROTATION_SEED", 1));
    let uninterrupted = Rotation::new(&emulator, "monad");
    let start = Instant::now();
    assert!(wait_for(uninterrupted.start()).status.success());
    let duration = start.elapsed();
    uninterrupted.assert_one_live_key("uninterrupted");
    let (mut killed, mut twice) = (0, 0);
    for number in 0..count_from("ROTATION_KILLS", 12) {
        let mut rotation = Rotation::new(&emulator, if number % 2 == 0 { "monad" } else { "spartera" });
        rotation.is_in_place = number % 4 == 0;
        killed += u64::from(killed_after(rotation.start(), random.below(duration)));
        if number % 3 == 0 {
            thread::sleep(Duration::from_millis(60)); // The lease of the killed process ends.
            twice += u64::from(killed_after(rotation.resume(), random.below(duration)));
        }
        rotation.resume_until_finished();
        rotation.assert_one_live_key(&format!("killed, number {number}"));
    }
    println!("killed: {killed} rotations, and {twice} processes that resumed one; 0 violations");
    assert!(killed > 0);
}

#[test]
fn one_of_two_simultaneous_rotations_succeeds() {
    let emulator = emulator();
    let (mut both, mut refused) = (0, 0);
    let rounds = count_from("ROTATION_PAIRS", 6);
    for number in 0..rounds {
        let rotation = Rotation::new(&emulator, if number % 2 == 0 { "monad" } else { "spartera" });
        let pair = [rotation.start(), rotation.start()].map(wait_for);
        for output in &pair {
            rotation.assert_prints_no_secret(output);
            match output.status.success() {
                true => both += 1,
                false => {
                    refused += 1;
                    let why = String::from_utf8_lossy(&output.stderr);
                    let reported = [
                        "belongs to the unfinished rotation",
                        "has already replaced the key",
                        "has taken over the rotation",
                    ];
                    let is_gone = ["there is nothing to hand over", "not found", "no such", "has changed since"];
                    let explained = reported.iter().chain(&is_gone).any(|message| why.contains(message));
                    assert!(explained || why.contains(&rotation.old.id), "{why}");
                }
            }
        }
        rotation.resume_until_finished();
        rotation.assert_one_live_key(&format!("two at once, number {number}"));
    }
    println!("two at once: {rounds} pairs, {both} succeeded, {refused} refused; 0 violations");
    assert_eq!(both, rounds);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rotation_that_runs_out_of_disk_can_be_finished_with_more_disk() {
    let emulator = emulator();
    let (mut failed, mut done) = (0, 0);
    let step = if count_from("ROTATION_KILLS", 0) > 0 { 8 } else { 64 };
    // The limit is the length of a file. At first the journal does not fit, then each round fits a little more.
    let kinds = [("monad", false), ("spartera", false), ("monad", true)];
    let cells =
        (0..1024).step_by(step).flat_map(|blocks| kinds.map(|(provider, is_in_place)| (blocks, provider, is_in_place)));
    for (blocks, provider, is_in_place) in cells {
        let mut rotation = Rotation::new(&emulator, provider);
        rotation.is_in_place = is_in_place;
        let mut shell = Command::new("sh");
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        shell.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_api-keyring")]).args(rotation.arguments());
        let environment = rotation.program();
        shell.env_clear().envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.output().unwrap();
        rotation.assert_prints_no_secret(&output);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{stderr}");
        if output.status.success() {
            done += 1;
        } else {
            failed += 1;
            assert!(output.status.code().is_some() && stderr.contains("error: "), "{blocks}: {stderr}");
        }
        // A disk that is too small is noticed before the old secret ends.
        assert!(rotation.has_working_secret(), "files of {blocks} blocks: {stderr}");
        rotation.resume_until_finished();
        rotation.assert_one_live_key(&format!("files of {blocks} blocks"));
    }
    println!("disk full: {failed} failed, {done} succeeded; 0 violations");
    assert!(failed > 0 && done > 0);
}

/// System calls on files, and the errors with which each of them may fail.
#[cfg(target_os = "linux")]
const FAILURES: [(&str, &[&str]); 8] = [
    ("rename", &["EBUSY", "EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("fchmod", &["EPERM"]),
    ("unlink", &["EIO"]),
    ("unlinkat", &["EPERM"]),
    ("flock", &["ENOLCK"]),
    ("ftruncate", &["EIO"]),
    ("openat", &["EMFILE"]),
];

#[test]
#[cfg(target_os = "linux")]
fn a_system_call_that_fails_once_loses_nothing() {
    if !Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
        println!("failing system calls: not run, because this machine has no strace");
        return;
    }
    let emulator = emulator();
    let (mut runs, mut failed) = (0, 0);
    let step = usize::try_from(count_from("SYSTEM_CALL_STRIDE", 5)).unwrap();
    for (call, errors) in FAILURES {
        for (error, number) in errors.iter().flat_map(|error| (1..400).step_by(step).map(move |number| (error, number)))
        {
            let mut rotation = Rotation::new(&emulator, "monad");
            rotation.is_in_place = number % 2 == 0;
            let trace = rotation.folder.path().join("journal-trace");
            let (environment, mut traced) = (rotation.program(), Command::new("strace"));
            traced.env_clear().envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
            traced.args(["-f", "-e", &format!("trace={call}")]);
            traced.args(["-e", &format!("inject={call}:error={error}:when={number}"), "-o"]).arg(&trace);
            let output = traced.arg(env!("CARGO_BIN_EXE_api-keyring")).args(rotation.arguments()).output().unwrap();
            if !fs::read_to_string(&trace).unwrap().contains("(INJECTED)") {
                break;
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!stderr.contains("panicked") && output.status.code().is_some(), "{call} {number}: {output:?}");
            rotation.assert_prints_no_secret(&output);
            (runs, failed) = (runs + 1, failed + u64::from(!output.status.success()));
            rotation.resume_until_finished();
            rotation.assert_one_live_key(&format!("{call} fails with {error}, number {number}: {stderr}"));
        }
    }
    println!("failing system calls: {runs} runs, {failed} of them failed; 0 violations");
    assert!(failed > 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_sink_that_cannot_be_written_is_reported_before_anything_is_sent() {
    let emulator = emulator();
    let rotation = Rotation::new(&emulator, "monad");
    let mut arguments = rotation.arguments();
    assert!(Path::new("/proc/self").exists());
    arguments[3] = "file:/proc/ci.key".to_owned();
    arguments.push("--adopt".to_owned());
    let output = rotation.program().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/proc/ci.key"));
    assert_eq!(emulator.keys().len(), rotation.others.len() + 1);
    rotation.assert_one_live_key("a sink that cannot be written");
}
