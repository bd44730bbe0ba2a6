//! Maintenance tasks. `cargo xtask codegen` generates the clients from the specs, `cargo xtask mutants` tests the tests,
//! and `cargo xtask bench` measures what the clients cost.

mod bench;
mod codegen;
#[cfg(unix)]
mod mutants;
mod vendors;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Maintenance tasks of api-keyring.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Bench(bench::Arguments),
    /// Generate the clients from the specs
    Codegen(codegen::Arguments),
    #[cfg(unix)]
    Mutants(mutants::Arguments),
}

/// Returns the workspace's folder.
fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let Arguments { task } = Arguments::parse();
    let done = match task {
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Codegen(arguments) => codegen::run(&arguments),
        #[cfg(unix)]
        Task::Mutants(arguments) => mutants::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
