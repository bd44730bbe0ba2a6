//! `cargo xtask codegen` generates the two files of a raw crate from a spec.
//!
//! 1. [`spec`] loads and checks the spec.
//! 2. [`generate`] runs the generator.
//! 3. [`rewire`] makes the generated code call our runtime, [`decoding`] makes its types decode field by field, and
//!    [`ids`] makes them check ids without regular expressions.
//! 4. [`output`] writes the files, or compares them with the existing ones.

mod decoding;
mod generate;
mod ids;
mod output;
mod rewire;
mod spec;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::vendors::Vendor;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing. Print a diff and fail if the generated code does not match the specs
    #[arg(long)]
    check: bool,
    /// The workspace with the specs and the crates
    #[arg(long, default_value = workspace(), hide = true)]
    root: PathBuf,
    /// The vendors to generate clients for [default: all]
    vendors: Vec<Vendor>,
}

fn workspace() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/..")
}

/// Generates the clients. With `--check`, fails if a file differs from the generated text.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let vendors = match &arguments.vendors[..] {
        [] => Vendor::value_variants(),
        some => some,
    };
    // Generates every file before it writes one, so an invalid spec changes nothing.
    let mut files = Vec::new();
    for vendor in vendors {
        let spec = spec::load(&arguments.root, *vendor)?;
        files.extend(generate::client(*vendor, &spec)?);
    }
    if arguments.check {
        let stale = output::compare(&arguments.root, &files)?;
        return Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    output::write(&arguments.root, &files)?;
    Ok(ExitCode::SUCCESS)
}
