//! `cargo xtask codegen`: from a spec to the two generated files of a raw crate.
//!
//! A spec is [loaded and checked](spec), given to the [generator](generate), [rewired](rewire) to our runtime, and
//! [written or compared](output).

mod generate;
mod output;
mod rewire;
mod spec;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::providers::Provider;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; print a diff and fail if the generated code and the specs disagree
    #[arg(long)]
    check: bool,
    /// The workspace to read specs from and write clients to
    #[arg(long, default_value = workspace(), hide = true)]
    root: PathBuf,
    /// Whose clients to generate; everybody's if left out
    providers: Vec<Provider>,
}

fn workspace() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/..")
}

/// Generates the clients. With `--check`, fails where a file is not what would be written.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let providers = match &arguments.providers[..] {
        [] => Provider::value_variants(),
        some => some,
    };
    // Everything is generated before anything is written: a wrong second spec leaves the first client alone.
    let mut files = Vec::new();
    for provider in providers {
        let spec = spec::load(&arguments.root, *provider)?;
        files.extend(generate::client(*provider, &spec)?);
    }
    if arguments.check {
        let stale = output::compare(&arguments.root, &files)?;
        return Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    output::write(&arguments.root, &files)?;
    Ok(ExitCode::SUCCESS)
}
