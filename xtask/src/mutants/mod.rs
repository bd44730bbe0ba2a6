//! `cargo xtask mutants` breaks the code in small ways, one at a time, and checks that a test notices.
//!
//! `mutants.yaml` lists the mutations and the tests that should notice them. The command works on a copy of the workspace
//! below `target/mutants`, so the checkout stays as it is.

mod copy;
mod suite;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::copy::Workspace;
use self::suite::{Suite, Verdict};
use self::table::{Mutation, Table};
use crate::workspace_root;

/// Break the code in small ways, one at a time, and check that a test notices
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Try only the mutations whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// List the mutations, and try none
    #[arg(long)]
    list: bool,
    /// Leave out the check that the tests pass without a mutation
    #[arg(long)]
    skip_baseline: bool,
}

/// What became of a mutation.
enum Outcome {
    /// A test of this suite failed.
    Caught(String),
    /// All tests passed. The text explains why that is right, if it is.
    Survived(Option<String>),
    /// The mutated code does not compile, so the mutation proves nothing.
    Uncompilable,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace_root();
    let table = Table::read(root)?;
    table.check(root)?;
    let only = arguments.only.as_deref().unwrap_or_default();
    let chosen: Vec<_> = table.mutations.iter().filter(|mutation| mutation.name.contains(only)).collect();
    ensure!(!chosen.is_empty(), "no mutation's name contains {only:?}");
    if arguments.list {
        for mutation in chosen {
            print(&format!("{:<50} {}", mutation.name, mutation.file));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let workspace = Workspace::copy(root, &root.join("target/mutants"))?;
    if !arguments.skip_baseline {
        check_baseline(&table, &chosen, &workspace)?;
    }
    let mut problems = Vec::new();
    for (number, mutation) in chosen.iter().enumerate() {
        let since = Instant::now();
        let outcome = try_mutation(&table, mutation, &workspace).with_context(|| mutation.name.clone())?;
        let told = match &outcome {
            Outcome::Caught(suite) => format!("caught by {suite}"),
            Outcome::Survived(Some(why)) => format!("survived, as expected: {why}"),
            Outcome::Survived(None) => "SURVIVED".to_owned(),
            Outcome::Uncompilable => "DOES NOT COMPILE".to_owned(),
        };
        let (number, count, seconds) = (number + 1, chosen.len(), since.elapsed().as_secs());
        print(&format!("[{number}/{count}] {}: {told} ({seconds} s)", mutation.name));
        if matches!(outcome, Outcome::Survived(None) | Outcome::Uncompilable) {
            problems.push(mutation.name.as_str());
        }
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    print(&format!("{} mutations, {} of them a problem, in {minutes:.1} min", chosen.len(), problems.len()));
    if !problems.is_empty() {
        bail!("no test notices: {}", problems.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that the tests pass without a mutation. Otherwise every mutation would count as caught.
fn check_baseline(table: &Table, chosen: &[&Mutation], workspace: &Workspace) -> Result<()> {
    let names: std::collections::BTreeSet<_> = chosen.iter().flat_map(|mutation| &mutation.suites).collect();
    for name in names {
        let since = Instant::now();
        let suite = table.suite(name)?;
        let verdict = suite.run(workspace, Duration::MAX)?;
        ensure!(matches!(verdict, Verdict::Passed), "the suite {name} does not pass without a mutation: {verdict:?}");
        print(&format!("baseline {name}: passed ({} s)", since.elapsed().as_secs()));
    }
    Ok(())
}

fn try_mutation(table: &Table, mutation: &Mutation, workspace: &Workspace) -> Result<Outcome> {
    let _mutated = workspace.mutate(mutation)?;
    for name in &mutation.suites {
        let suite: &Suite = table.suite(name)?;
        match suite.run(workspace, suite.patience())? {
            Verdict::Passed => {}
            Verdict::Failed | Verdict::TimedOut => return Ok(Outcome::Caught(name.clone())),
            Verdict::Uncompilable => return Ok(Outcome::Uncompilable),
        }
    }
    Ok(Outcome::Survived(mutation.explained.clone()))
}

#[allow(clippy::print_stdout)]
fn print(line: &str) {
    println!("{line}");
}

/// Returns the part of a path that is below the workspace.
fn below<'a>(root: &Path, path: &'a Path) -> Result<&'a Path> {
    path.strip_prefix(root).with_context(|| format!("{} is not in the workspace", path.display()))
}
