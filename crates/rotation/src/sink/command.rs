//! A sink that is somebody else's program.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::SinkError;
use super::store::{Slot, Store};

/// How much a program may print: more than any secret.
const MAX_BYTES: u64 = 64 * 1024;

/// Where the command line has its credentials from, which are nobody else's business.
const CREDENTIALS: [&str; 3] = ["MONAD_API_KEY", "MONAD_BEARER_TOKEN", "SPARTERA_API_KEY"];

/// A program that keeps secrets: a script around a vault's own command line.
///
/// It is run with its arguments and two more, an action and a place:
///
/// | action and place | what it has to do |
/// |---|---|
/// | `check` | see whether secrets could be written |
/// | `read PLACE` | print the secret in that place, and nothing at all where there is none |
/// | `write PLACE` | put the secret that it reads from its standard input into that place, all or nothing, for good |
/// | `remove PLACE` | empty that place, if it is not empty |
///
/// `PLACE` is `current`, `pending-MARK` or `previous-MARK`, where a mark is 16 letters and digits. A program that does not
/// end with success within the time has failed. What it writes to its standard error goes to this process's.
///
/// A secret is never among its arguments. Its environment is this process's without the variables from which the command line
/// reads credentials.
#[derive(Clone, Debug)]
pub struct CommandSink {
    program: OsString,
    arguments: Vec<OsString>,
    timeout: Duration,
}

impl CommandSink {
    /// This program, with these arguments before the action. It may take a minute each time.
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, timeout: Duration::from_secs(60) }
    }

    /// Sets how long the program may take each time. It has to be less than the lease of the
    /// [`Rotator`](crate::Rotator).
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
            Err(_) => Err(fails("took too long and was stopped")),
            Ok(Err(error)) => Err(fails("broke off").caused_by(error)),
            Ok(Ok((output, _))) if output.len() as u64 > MAX_BYTES => Err(fails("prints too much")),
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
        for credential in CREDENTIALS {
            command.env_remove(credential);
        }
        // An interrupt of this process must not reach a program in the middle of a write.
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

/// Writes `input` to a program, and returns what the program prints and how it ends.
async fn talk(mut child: Child, input: Option<&Secret>) -> io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    let mut group = Group::new(&child);
    let (written, output) = tokio::join!(send(child.stdin.take(), input), receive(child.stdout.take()));
    let status = child.wait().await?;
    group.has_ended();
    // A program that fails may not have read the secret. Its exit status says more than the broken pipe.
    if status.success() {
        written?;
    }
    Ok((output?, status))
}

async fn send(stdin: Option<ChildStdin>, input: Option<&Secret>) -> io::Result<()> {
    if let (Some(mut stdin), Some(secret)) = (stdin, input) {
        stdin.write_all(secret.expose().as_bytes()).await?;
        stdin.shutdown().await?;
    }
    Ok(())
}

async fn receive(stdout: Option<ChildStdout>) -> io::Result<Zeroizing<Vec<u8>>> {
    // A vector that grows leaves copies of the secret in memory, so that this one has its full size from the start.
    let mut output = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    if let Some(stdout) = stdout {
        stdout.take(MAX_BYTES + 1).read_to_end(&mut output).await?;
    }
    Ok(output)
}

/// A program and all that it has begun, which end when this is dropped: nothing is to be written later than anybody waits for.
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

    /// From now on its number may be another program's.
    fn has_ended(&mut self) {
        #[cfg(unix)]
        self.leader.take();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // One that has ended meanwhile is not waited for yet, and keeps its number.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[async_trait]
impl Store for CommandSink {
    /// `command:` and a JSON list of the program and its arguments.
    fn address(&self) -> String {
        let words = [&self.program].into_iter().chain(&self.arguments);
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        format!("command:{}", serde_json::json!(words))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.run("check", None, None).await?;
        match self.read(&Slot::Pending(Mark::random())).await? {
            Some(_) => {
                Err(SinkError::new(format!("{} prints something for a place that is empty", self.program.display())))
            }
            None => Ok(()),
        }
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        let output = self.run("read", Some(slot), None).await?;
        // The bytes of what is no text may be those of a secret: they are in no error.
        let text = str::from_utf8(&output).map_err(|_| SinkError::new("the program prints what is no text"))?;
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
