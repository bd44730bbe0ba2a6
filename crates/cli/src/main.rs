//! `api-keyring` manages the API keys of SaaS vendors from the command line.

mod arguments;
mod cancellation;
mod commands;
mod config;
mod confirm;
mod destination;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(commands::run(arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(&failure);
            failure.exit_code()
        }
    }
}

/// Prints a failure on standard error. A closed standard output is not a failure and prints nothing.
pub(crate) fn print_error(failure: &Failure) {
    if !matches!(failure, Failure::OutputClosed) {
        output::notice(&format!("error: {failure}"));
    }
}
