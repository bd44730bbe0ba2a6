//! Runs the benchmark program, alone or under valgrind.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace_root;

/// How many requests a run of its own sends, to measure its time.
const TIMED: [(&str, u64); 2] = [("get", 4000), ("page", 400)];

/// How many pages are decoded.
const DECODED: u64 = 2000;

/// The benchmark program.
pub(super) struct Program(PathBuf);

impl Program {
    /// Builds the program as users build theirs.
    pub(super) fn build() -> Result<Self> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--release", "--package", "api-keyring-benchmarks", "--message-format=json"]);
        let built = cargo.current_dir(workspace_root()).stderr(Stdio::inherit()).output()?;
        ensure!(built.status.success(), "the benchmark program does not build");
        let messages = String::from_utf8(built.stdout)?;
        let executable = messages.lines().rev().find_map(|message| {
            let message: serde_json::Value = serde_json::from_str(message).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        executable.map(Self).context("cargo does not say where the benchmark program is")
    }

    /// Starts a service of this shape.
    pub(super) fn serve(&self, shape: &'static str) -> Result<Service<'_>> {
        let mut process =
            Command::new(&self.0).args(["serve", shape]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let mut line = String::new();
        BufReader::new(output.context("no output")?).read_line(&mut line)?;
        let (url, key) = line.trim().split_once(' ').context("the service does not say where it is")?;
        Ok(Service { program: self, shape, url: url.to_owned(), key: key.to_owned(), process, _input: input })
    }

    /// Returns how many megabytes a second a client decodes.
    pub(super) fn decode(&self, client: &str, shape: &str) -> Result<f64> {
        let output = succeeded(Command::new(&self.0).args(["decode", client, shape, &DECODED.to_string()]).output()?)?;
        Ok(printed(&output, "bytes")? * 1000.0 / printed(&output, "cpu")?)
    }
}

/// A running service. Dropping it stops it.
pub(super) struct Service<'a> {
    program: &'a Program,
    shape: &'static str,
    url: String,
    key: String,
    process: Child,
    /// The service runs until this ends.
    _input: Option<ChildStdin>,
}

impl Service<'_> {
    fn arguments(&self, client: &str, request: &str, count: u64) -> [String; 7] {
        let count = count.to_string();
        ["call", client, self.shape, request, &count, &self.url, &self.key].map(str::to_owned)
    }

    /// Counts the instructions of one request.
    pub(super) fn instructions(&self, client: &str, request: &str, counts: [u64; 2]) -> Result<f64> {
        self.counted(client, request, counts, &["--tool=callgrind", "--callgrind-out-file=/dev/null"], "Collected : ")
    }

    /// Counts the allocations of one request.
    pub(super) fn allocations(&self, client: &str, request: &str, counts: [u64; 2]) -> Result<f64> {
        let tool = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"];
        self.counted(client, request, counts, &tool, "total heap usage: ")
    }

    fn counted(&self, client: &str, request: &str, counts: [u64; 2], tool: &[&str], before: &str) -> Result<f64> {
        let count = |count| -> Result<u64> {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(tool).arg(&self.program.0).args(self.arguments(client, request, count));
            let output = succeeded(valgrind.output().context("cannot run valgrind")?)?;
            let report = String::from_utf8_lossy(&output.stderr);
            let (_, found) = report.rsplit_once(before).context("valgrind does not say what it counted")?;
            let digits = found.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit);
            Ok(digits.collect::<String>().parse()?)
        };
        let [few, many] = counts;
        Ok((count(many)?.saturating_sub(count(few)?) as f64 / (many - few) as f64).round())
    }

    /// Returns the CPU time and the wall time of one request in microseconds.
    pub(super) fn times(&self, client: &str, request: &str) -> Result<(f64, f64)> {
        let Some((_, count)) = TIMED.iter().find(|(timed, _)| *timed == request) else { bail!("unknown: {request}") };
        let output = succeeded(Command::new(&self.program.0).args(self.arguments(client, request, *count)).output()?)?;
        let each = |nanos: f64| nanos / 1000.0 / *count as f64;
        Ok((each(printed(&output, "cpu")?), each(printed(&output, "wall")?)))
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn succeeded(output: Output) -> Result<Output> {
    ensure!(output.status.success(), "the benchmark program failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// Returns a number that the program printed.
fn printed(output: &Output, name: &str) -> Result<f64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.with_context(|| format!("the benchmark program does not print {name}"))
}
