//! Runs the program, and an emulator that it talks to.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

use api_keyring_emulator::EmulatorBuilder;
use serde_json::Value;
use tokio::runtime::Handle;

/// Returns the program without this process's environment. It retries nothing, so that no test waits, and records
/// rotations in a folder of the tests.
pub(crate) fn program() -> Command {
    static STATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let state = STATE.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-keyring"));
    command.env_clear().env("API_KEYRING_ATTEMPTS", "1").env("XDG_STATE_HOME", state.path()).stdin(Stdio::null());
    command
}

/// Starts an emulator in this process, so that a test can look into it. Dropping it stops it.
pub(crate) fn in_process(builder: EmulatorBuilder) -> api_keyring_emulator::Emulator {
    static SERVER: OnceLock<Handle> = OnceLock::new();
    // All emulators share one thread.
    let server = SERVER.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    });
    let (sender, receiver) = mpsc::channel();
    server.spawn(async move { sender.send(builder.start().await.unwrap()) });
    receiver.recv().unwrap()
}

/// A running `api-keyring emulator`. Dropping it kills the process.
pub(crate) struct Emulator {
    pub(crate) process: Child,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Emulator {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts an emulator with these options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::with_stderr(options, Stdio::inherit())
    }

    /// Starts an emulator with these options and this standard error.
    pub(crate) fn with_stderr(options: &[&str], stderr: Stdio) -> Self {
        let mut command = program();
        let mut process = command.arg("emulator").args(options).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let variables = lines.take(6).map(|line| {
            let line = line.unwrap();
            let (name, value) = line.split_once('=').expect("a line NAME=value");
            (name.to_owned(), value.to_owned())
        });
        let variables = variables.collect();
        Self { process, variables }
    }

    /// Returns the program, configured for this emulator.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.envs(&self.variables).args(arguments);
        command
    }

    /// Runs the program, and returns its output and its exit code.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.client(arguments).output().unwrap().into()
    }

    /// Runs the program, which must succeed, and returns the one JSON document that it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
        serde_json::from_str(&run.stdout).expect("one JSON document")
    }

    /// Creates a key that can only read. Returns it as `PROVIDER/ID`, and its secret.
    pub(crate) fn create(&self, provider: &str) -> (String, String) {
        let role = if provider == "spartera" { "3" } else { "role-reader" };
        let key =
            self.json(&["create", provider, "--name", "test", "--role", role, "--expires-in", "90d", "--to", "-"]);
        (format!("{provider}/{}", key["id"].as_str().unwrap()), key["secret"].as_str().unwrap().to_owned())
    }

    /// Returns the ids of all keys of a provider.
    pub(crate) fn ids(&self, provider: &str) -> Vec<String> {
        let keys = self.json(&["list", provider]);
        keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns whether the vendor accepts a secret.
    pub(crate) fn works(&self, provider: &str, secret: &str) -> bool {
        let variable = if provider == "spartera" { "SPARTERA_API_KEY" } else { "MONAD_API_KEY" };
        let run: Run = self.client(&["list", provider]).env(variable, secret).output().unwrap().into();
        assert!(matches!(run.code, 0 | 4), "{}", run.stderr);
        run.code == 0
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The output and the exit code of the program.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let run = Self {
            code: output.status.code().expect("an exit code, not a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        run
    }
}

/// Options of `rotate` and `rotate-fleet` for a rotation that waits for nothing.
pub(crate) const QUICK: [&str; 9] =
    ["--settle", "0s", "--poll", "1ms", "--confirm-within", "0s", "--verify-within", "0s", "--yes"];

/// A user who is not root, in case root runs the tests.
#[cfg(unix)]
const NOBODY: u32 = 65534;

/// The program as a user runs it who is not root.
#[cfg(unix)]
pub(crate) struct Unprivileged {
    /// Holds a copy of the program where every user can run it.
    folder: tempfile::TempDir,
    user: Option<u32>,
}

#[cfg(unix)]
impl Unprivileged {
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let user = (folder.path().metadata().unwrap().uid() == 0).then_some(NOBODY);
        // A process of its own copies it: a copy that this process has open for writing cannot run.
        assert!(Command::new("cp").arg(program().get_program()).arg(folder.path()).status().unwrap().success());
        Self { folder, user }
    }

    /// Returns the user, if it is another one than the tests'.
    pub(crate) fn user(&self) -> Option<u32> {
        self.user
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new(self.folder.path().join("api-keyring"));
        command.env_clear().env("API_KEYRING_ATTEMPTS", "1").stdin(Stdio::null()).args(arguments);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// Sends a signal to a process.
#[cfg(unix)]
pub(crate) fn signal(process: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &process.id().to_string()]).status().unwrap().success());
}

/// Opens a terminal. Returns the side of the user, and the side of the program.
#[cfg(unix)]
pub(crate) fn open_terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    (File::from(controller), File::options().read(true).write(true).open(name).unwrap())
}

/// Returns the names of all commands, as the help of the program lists them.
pub(crate) fn commands() -> Vec<String> {
    let help = help(&["--help"], 1000);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.map(|line| line.split_whitespace().next().unwrap().to_owned());
    // clap answers `help` itself.
    names.filter(|name| name != "help").collect()
}

/// Returns the help that the program prints on a terminal of this width.
pub(crate) fn help(arguments: &[&str], width: usize) -> String {
    let run: Run = program().args(arguments).env("COLUMNS", width.to_string()).output().unwrap().into();
    assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
    run.stdout
}
