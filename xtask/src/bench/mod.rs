//! `cargo xtask bench` measures what this workspace's clients cost, beside a bare HTTP client and a hand-written one.
//!
//! Instructions and allocations are counted by valgrind, in user space, so they do not depend on how busy the machine is.
//! Each is counted for two numbers of requests, and the difference is what one request costs without the start of the
//! program. Wall and CPU time come from a run of their own, and are only as good as the machine is quiet.
//!
//! `--check` compares the instructions with `crates/benchmarks/instructions.json`, as ratios to the hand-written client:
//! another compiler or library changes all clients alike.

mod measure;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use self::measure::Program;
use crate::workspace_root;

/// Measure what the clients cost, beside hand-written ones
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Count only instructions, and fail if a client got more than 3 % worse than on record
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Count only instructions, and put them on record
    #[arg(long)]
    record: bool,
    /// Write the results to this file, as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    output: PathBuf,
}

/// The clients, in the order of the table. All others are compared with the hand-written one.
const CLIENTS: [&str; 4] = ["hyper", HAND_WRITTEN, "raw", "facade"];

const HAND_WRITTEN: &str = "hand-written";

const SHAPES: [&str; 3] = ["spartera", "spartera-guide", "monad"];

/// The requests, and the two numbers of them for which a run is counted.
const REQUESTS: [(&str, [u64; 2]); 2] = [("get", [20, 120]), ("page", [5, 35])];

/// How much worse than on record a ratio may get.
const TOLERANCE: f64 = 0.03;

/// Where the instructions are on record.
const RECORD: &str = "crates/benchmarks/instructions.json";

/// What one request costs with each client, by what is requested.
pub(crate) type Costs = BTreeMap<String, BTreeMap<String, f64>>;

/// Everything that a run measures. Times are in microseconds.
#[derive(Default, Deserialize, Serialize)]
struct Results {
    instructions: Costs,
    #[serde(default)]
    allocations: Costs,
    #[serde(default)]
    cpu: Costs,
    #[serde(default)]
    wall: Costs,
    /// Megabytes a second.
    #[serde(default)]
    decode: Costs,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let program = Program::build()?;
    let only_instructions = arguments.check || arguments.record;
    let mut results = Results::default();
    for shape in SHAPES {
        let service = program.serve(shape)?;
        for (request, counts) in REQUESTS {
            let what = format!("{shape} {request}");
            for client in CLIENTS {
                let keep = |costs: &mut Costs, cost| {
                    costs.entry(what.clone()).or_default().insert(client.to_owned(), cost);
                };
                keep(&mut results.instructions, service.instructions(client, request, counts)?);
                if !only_instructions {
                    keep(&mut results.allocations, service.allocations(client, request, counts)?);
                    let (cpu, wall) = service.times(client, request)?;
                    keep(&mut results.cpu, cpu);
                    keep(&mut results.wall, wall);
                }
            }
            report::costs(&results.instructions, &what, "instructions");
        }
        if !only_instructions {
            for client in [HAND_WRITTEN, "raw"] {
                let speed = program.decode(client, shape)?;
                results.decode.entry(shape.to_owned()).or_default().insert(client.to_owned(), speed);
            }
        }
    }
    let record = workspace_root().join(RECORD);
    if arguments.check {
        let text = std::fs::read_to_string(&record).with_context(|| format!("cannot read {RECORD}"))?;
        let recorded: Results = serde_json::from_str(&text).with_context(|| format!("cannot read {RECORD}"))?;
        return Ok(report::compare(&results.instructions, &recorded.instructions, TOLERANCE));
    }
    let output = if arguments.record { &record } else { &workspace_root().join(&arguments.output) };
    std::fs::write(output, serde_json::to_string_pretty(&results)? + "\n")?;
    if !only_instructions {
        report::all(&results);
    }
    report::line(&format!("wrote {}", output.display()));
    Ok(ExitCode::SUCCESS)
}
