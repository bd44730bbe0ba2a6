//! `api-keyring` manages the API keys of SaaS vendors from the command line.

mod arguments;
mod cancellation;
mod commands;
mod config;
mod confirm;
mod core_dumps;
mod credential_file;
// For `--to -` it prints the secret itself, which `output` might change.
#[allow(clippy::disallowed_methods)]
mod destination;
mod failure;
mod output;
mod secrets;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::arguments::NoArguments;
use crate::failure::{Failure, Result};

fn main() -> ExitCode {
    core_dumps::forbid();
    let line: Vec<_> = std::env::args_os().collect();
    match run(&line) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(line: &[OsString]) -> Result<ExitCode> {
    secrets::refuse_in_arguments(line, &config::credentials())?;
    let arguments = match arguments::read(line) {
        Ok(arguments) => arguments,
        Err(NoArguments::Help(text)) => return output::help(&text).map(|()| ExitCode::SUCCESS),
        Err(NoArguments::Wrong(why)) => {
            output::usage(&why);
            return Ok(Failure::Usage(why).exit_code());
        }
    };
    config::check_host()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(commands::run(arguments)).map(|()| ExitCode::SUCCESS)
}
