//! A sink that runs a program of your own.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use api_keyring::{Mark, Secret, VENDORS};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::SinkError;
use super::store::{Slot, Store};
use crate::host::Host;

/// How many bytes a program may print. No secret is that long.
const MAX_BYTES: usize = 64 * 1024;

/// The ends of the names of a vendor's variables that hold no credential.
const HARMLESS: [&str; 2] = ["_ID", "_URL"];

/// Stores secrets with a program, for example a script around a vault's command line.
///
/// The sink runs the program with its arguments, followed by an action and a slot:
///
/// | action and slot | what the program does |
/// |---|---|
/// | `check` | checks that secrets could be written |
/// | `read SLOT` | prints the secret in that slot, and prints nothing if the slot is empty |
/// | `write SLOT` | reads a secret from its standard input and puts it into that slot, atomically and permanently |
/// | `remove SLOT` | empties that slot, if it is not empty |
///
/// `SLOT` is `current`, `pending-MARK` or `previous-MARK`. A mark is 16 letters and digits. A call fails if the program
/// does not exit successfully within the timeout. Its standard error is the standard error of this process.
///
/// The arguments never contain a secret. The program inherits the environment of this process, without the variables
/// that may hold a vendor's credential, such as `MONAD_API_KEY`.
///
/// The program belongs to one [host](Host), so the sink's name has the host in it, and the program's absolute path.
#[derive(Clone, Debug)]
pub struct CommandSink {
    program: OsString,
    arguments: Vec<OsString>,
    timeout: Duration,
}

impl CommandSink {
    /// Returns a sink that runs this program, with these arguments before the action. The timeout is one minute.
    ///
    /// The program is a path, or a name that is looked up in the folders of `PATH` now. A later process runs the same
    /// file, whatever its `PATH` and working directory are.
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: find_program(program.into()), arguments, timeout: Duration::from_secs(60) }
    }

    /// Sets how long each run of the program may take. The timeout must be shorter than the
    /// [lease](crate::Rotator::lease) of the rotator.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the program and returns what it prints.
    async fn run(
        &self,
        action: &str,
        slot: Option<&Slot>,
        input: Option<&Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, SinkError> {
        let fails = |problem: &str| SinkError::new(format!("{} {action} {problem}", self.program.display()));
        let child = self.command(action, slot, input).spawn();
        let child = child.map_err(|error| fails("cannot be started").caused_by(error))?;
        match timeout(self.timeout, talk(child, input)).await {
            Err(_) => Err(fails(&format!("took too long and was stopped after {:?}", self.timeout))),
            Ok(Err(error)) => Err(fails("broke off: the connection to the program failed").caused_by(error)),
            Ok(Ok((output, _))) if output.len() > MAX_BYTES => {
                Err(fails(&format!("prints too much: no secret has more than {MAX_BYTES} bytes")))
            }
            Ok(Ok((output, status))) if status.success() => Ok(output),
            Ok(Ok((_, status))) => Err(fails(&format!("failed: {status}"))),
        }
    }

    /// Returns the command for an action.
    fn command(&self, action: &str, slot: Option<&Slot>, input: Option<&Secret>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(action).args(slot.map(Slot::to_string));
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
        command.kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if may_hold_credential(name.as_encoded_bytes()) {
                command.env_remove(name);
            }
        }
        // An interrupt of this process must not reach a program in the middle of a write.
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

/// Returns whether a variable may hold a vendor's credential, or the path of a file with one.
fn may_hold_credential(name: &[u8]) -> bool {
    let is_of = |vendor: &str| name.starts_with(format!("{}_", vendor.to_ascii_uppercase()).as_bytes());
    VENDORS.iter().any(|vendor| is_of(vendor)) && !HARMLESS.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Returns the absolute path of a program. A name that is not found stays, and starting it fails.
fn find_program(program: OsString) -> OsString {
    match which::which(&program) {
        // A link keeps its name, because some programs do what their name says.
        Ok(path) => std::path::absolute(&path).unwrap_or(path).into_os_string(),
        Err(_) if Path::new(&program).components().count() > 1 => {
            std::path::absolute(&program).map_or(program, PathBuf::into_os_string)
        }
        Err(_) => program,
    }
}

/// Writes `input` to a program, and returns what the program prints and how it ends.
///
/// The program is done when it has ended. A process that it leaves behind may keep its output open.
async fn talk(mut child: Child, input: Option<&Secret>) -> io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    let mut group = Group::new(&child);
    let (stdin, mut stdout) = (child.stdin.take(), child.stdout.take());
    // A vector that grows leaves copies of the secret in memory, so this one has its full size from the start.
    let mut output = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let mut talked = (Ok(()), Ok(()));
    let status = tokio::select! {
        biased;
        status = async {
            talked = tokio::join!(send(stdin, input), receive(stdout.as_mut(), &mut output));
            pending().await
        } => status,
        status = child.wait() => status,
    }?;
    group.has_ended();
    let (written, received) = talked;
    // A program that fails may not have read the secret. Its exit status says more than the broken pipe.
    if status.success() {
        written?;
        received?;
        drain(stdout, &mut output).await?;
    }
    Ok((output, status))
}

async fn send(stdin: Option<ChildStdin>, input: Option<&Secret>) -> io::Result<()> {
    if let (Some(mut stdin), Some(secret)) = (stdin, input) {
        stdin.write_all(secret.expose().as_bytes()).await?;
        stdin.shutdown().await?;
    }
    Ok(())
}

/// Reads until the output is closed or too long.
async fn receive(stdout: Option<&mut ChildStdout>, output: &mut Vec<u8>) -> io::Result<()> {
    let Some(stdout) = stdout else { return Ok(()) };
    while output.len() <= MAX_BYTES && stdout.read_buf(output).await? > 0 {}
    Ok(())
}

/// Reads what a program that has ended left in its output.
#[cfg(unix)]
async fn drain(stdout: Option<ChildStdout>, output: &mut Vec<u8>) -> io::Result<()> {
    let Some(stdout) = stdout else { return Ok(()) };
    let mut block = Zeroizing::new([0; 4096]);
    while output.len() <= MAX_BYTES {
        match rustix::io::read(&stdout, block.as_mut_slice()) {
            // The output is closed, or a process that was left behind may still write to it.
            Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
            Ok(count) => {
                let room = (MAX_BYTES + 1).saturating_sub(output.len()).min(count);
                output.extend_from_slice(&block[..room]);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
async fn drain(mut stdout: Option<ChildStdout>, output: &mut Vec<u8>) -> io::Result<()> {
    // What the program has printed is there already, so this waits only for processes that it left behind.
    let received = timeout(Duration::from_millis(100), receive(stdout.as_mut(), output)).await;
    received.unwrap_or(Ok(()))
}

/// A program and all processes that it has started. Dropping this ends them, so that no write happens after a timeout.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn new(child: &Child) -> Self {
        #[cfg(unix)]
        return Self { leader: child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)) };
        #[cfg(not(unix))]
        Self {}
    }

    /// Forgets the program, because another program may get its process id from now on.
    fn has_ended(&mut self) {
        #[cfg(unix)]
        self.leader.take();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // Until this process waits for the program, its process id stays reserved, even if it has ended.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[async_trait]
impl Store for CommandSink {
    /// Returns `command:` and a JSON list of the program and its arguments.
    fn address(&self) -> String {
        let words = [&self.program].into_iter().chain(&self.arguments);
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        format!("command:{}", serde_json::json!(words))
    }

    fn host(&self) -> Option<&Host> {
        Some(Host::this())
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.run("check", None, None).await?;
        match self.read(&Slot::Pending(Mark::random())).await? {
            Some(_) => Err(SinkError::new(format!(
                "{} prints something for a slot that is empty. It must print nothing then",
                self.program.display()
            ))),
            None => Ok(()),
        }
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        let output = self.run("read", Some(slot), None).await?;
        // The error must not repeat the output, which may be a secret.
        let text = str::from_utf8(&output).map_err(|_| {
            SinkError::new(format!("{} prints something that is not UTF-8 text", self.program.display()))
        })?;
        let text = text.trim_end_matches(['\r', '\n']);
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        self.run("write", Some(slot), Some(secret)).await.map(drop)
    }

    async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
        self.run("remove", Some(slot), None).await.map(drop)
    }
}
