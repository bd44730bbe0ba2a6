//! A suite of tests, and how it ends.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::copy::Workspace;

/// The arguments of `cargo test`, and the limit of its time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    /// The arguments that select what to build.
    build: String,
    /// The arguments that select which tests to run.
    #[serde(default)]
    tests: String,
    /// After this many seconds, the mutated code counts as hanging.
    seconds: u64,
}

/// How a suite ended.
#[derive(Debug)]
pub(super) enum Verdict {
    Passed,
    Failed,
    TimedOut,
    Uncompilable,
}

impl Suite {
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Builds the suite and runs it for at most this time.
    pub(super) fn run(&self, workspace: &Workspace, patience: Duration) -> Result<Verdict> {
        let build = self.cargo(workspace).arg("--no-run").status().context("cannot run cargo")?;
        if !build.success() {
            return Ok(Verdict::Uncompilable);
        }
        let mut tests = self.cargo(workspace);
        tests.arg("--").args(self.tests.split_whitespace());
        let mut running = tests.spawn().context("cannot run cargo")?;
        let begun = Instant::now();
        loop {
            if let Some(status) = running.try_wait()? {
                return Ok(if status.success() { Verdict::Passed } else { Verdict::Failed });
            }
            if begun.elapsed() > patience {
                kill_group(&mut running)?;
                return Ok(Verdict::TimedOut);
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn cargo(&self, workspace: &Workspace) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg("test").args(self.build.split_whitespace());
        cargo.current_dir(workspace.root()).env("CARGO_TARGET_DIR", workspace.target());
        // The tests run in the same process group as cargo, so that both can be ended.
        cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        cargo
    }
}

/// Ends cargo and the tests that it runs.
fn kill_group(running: &mut Child) -> Result<()> {
    let group = format!("-{}", running.id());
    Command::new("kill").args(["-KILL", "--", &group]).status().context("cannot run kill")?;
    running.wait()?;
    Ok(())
}
