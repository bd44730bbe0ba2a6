//! A sink that is somebody else's program.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
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

    /// Runs it, and returns what it prints.
    async fn run(
        &self,
        action: &str,
        place: Option<&Slot>,
        input: Option<&Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, SinkError> {
        let fails = |what: &str| SinkError::new(format!("{} {action} {what}", self.program.display()));
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(action).args(place.map(Slot::to_string));
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
        command.kill_on_drop(true);
        for credential in CREDENTIALS {
            command.env_remove(credential);
        }
        // Whoever interrupts this process does not mean to cut a write off.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| fails("cannot be started").caused_by(error))?;
        let mut group = Group::of(&child);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            let write = async {
                if let (Some(mut stdin), Some(secret)) = (stdin, input) {
                    stdin.write_all(secret.expose().as_bytes()).await?;
                    stdin.shutdown().await?;
                }
                Ok::<_, std::io::Error>(())
            };
            let read = async {
                // Room from the start: a secret is not left behind where a vector has grown.
                let mut output = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
                if let Some(stdout) = stdout {
                    stdout.take(MAX_BYTES + 1).read_to_end(&mut output).await?;
                }
                Ok::<_, std::io::Error>(output)
            };
            let (written, output) = tokio::join!(write, read);
            // One that fails need not have read the secret first: how it ended tells more.
            let status = child.wait().await?;
            group.has_ended();
            if status.success() {
                written?;
            }
            Ok::<_, std::io::Error>((output?, status))
        };
        match timeout(self.timeout, talk).await {
            Err(_) => Err(fails("took too long and was stopped")),
            Ok(Err(error)) => Err(fails("broke off").caused_by(error)),
            Ok(Ok((output, _))) if output.len() as u64 > MAX_BYTES => Err(fails("prints too much")),
            Ok(Ok((output, status))) if status.success() => Ok(output),
            Ok(Ok((_, status))) => Err(fails(&format!("failed: {status}"))),
        }
    }
}

/// A program and all that it has begun, which end when this is dropped: nothing is to be written later than anybody waits for.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
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

    async fn read(&self, place: &Slot) -> Result<Option<Secret>, SinkError> {
        let output = self.run("read", Some(place), None).await?;
        // The bytes of what is no text may be those of a secret: they are in no error.
        let text = str::from_utf8(&output).map_err(|_| SinkError::new("the program prints what is no text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    async fn write(&self, place: &Slot, secret: &Secret) -> Result<(), SinkError> {
        self.run("write", Some(place), Some(secret)).await.map(drop)
    }

    async fn remove(&self, place: &Slot) -> Result<(), SinkError> {
        self.run("remove", Some(place), None).await.map(drop)
    }
}
