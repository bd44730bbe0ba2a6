//! A sink that runs a program of your own.

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

/// How many bytes a program may print. No secret is that long.
const MAX_BYTES: u64 = 64 * 1024;

/// The environment variables from which `api-keyring` reads credentials. The program of a sink must not see them.
const CREDENTIALS: [&str; 3] = ["MONAD_API_KEY", "MONAD_BEARER_TOKEN", "SPARTERA_API_KEY"];

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
/// from which the command line reads credentials.
#[derive(Clone, Debug)]
pub struct CommandSink {
    program: OsString,
    arguments: Vec<OsString>,
    timeout: Duration,
}

impl CommandSink {
    /// Returns a sink that runs this program, with these arguments before the action. The timeout is one minute.
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, timeout: Duration::from_secs(60) }
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
            Ok(Ok((output, _))) if output.len() as u64 > MAX_BYTES => {
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
    // A vector that grows leaves copies of the secret in memory, so this one has its full size from the start.
    let mut output = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    if let Some(stdout) = stdout {
        stdout.take(MAX_BYTES + 1).read_to_end(&mut output).await?;
    }
    Ok(output)
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
