//! Maintenance tasks. `cargo xtask codegen` generates the clients from the specs.

mod codegen;
mod vendors;

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
    /// Generate the clients from the specs
    Codegen(codegen::Arguments),
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let Arguments { task } = Arguments::parse();
    let done = match task {
        Task::Codegen(arguments) => codegen::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
