//! `emulator`: both services, for whoever speaks HTTP.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use api_keyring_emulator::{EmulatorBuilder, Revision, SparteraShape};

use crate::arguments::{self, Format};
use crate::failure::{Failure, Result};
use crate::interrupt::StopRequests;
use crate::output;

pub(super) async fn run(format: Format, arguments: &arguments::Emulator) -> Result {
    let mut builder = api_keyring_emulator::Emulator::builder().port(arguments.port).control(arguments.control);
    if !arguments.control {
        // Nobody can ask what has happened, so nothing is kept of it.
        builder = builder.record_limit(0);
    }
    builder = builder.revision(match arguments.revision {
        arguments::Revision::Documented => Revision::Documented,
        arguments::Revision::Current => Revision::Current,
    });
    builder = builder.spartera_shape(match arguments.spartera_shape {
        arguments::SparteraShape::Documented => SparteraShape::Documented,
        arguments::SparteraShape::Guide => SparteraShape::Guide,
    });
    builder = arguments.faults.iter().cloned().fold(builder, EmulatorBuilder::fault);
    if arguments.log {
        // A log that cannot be written is no reason to stop serving.
        builder = builder.observe(|seen| drop(writeln!(io::stderr(), "{seen}")));
    }
    let emulator = builder.start().await;
    let emulator = emulator.map_err(|error| Failure::Other(format!("the emulator cannot start: {error}")))?;
    // Before the first line tells that the emulator can be reached, and so be stopped.
    let mut stop = StopRequests::listen()?;
    // Everything that a client needs, and the sign that the emulator can be reached.
    if format == Format::Json {
        output::json(&emulator.environment().into_iter().collect::<BTreeMap<_, _>>())?;
    } else {
        let mut stdout = io::stdout().lock();
        for (name, value) in emulator.environment() {
            writeln!(stdout, "{name}={value}")?;
        }
        stdout.flush()?;
    }
    stop.next().await?;
    emulator.shutdown().await;
    Ok(())
}
