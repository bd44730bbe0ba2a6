//! `api-keyring`: the API keys of SaaS vendors, from the command line.

mod arguments;
mod commands;
mod config;
mod confirm;
mod destination;
mod failure;
mod interrupt;
mod output;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(commands::run(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where standard error is closed, too, there is nobody left to tell.
            let _ = write!(std::io::stderr().lock(), "{failure}");
            failure.exit_code()
        }
    }
}
