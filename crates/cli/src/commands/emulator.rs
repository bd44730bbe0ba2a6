//! `emulator` serves both vendors over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use api_keyring::Secret;
use api_keyring_emulator::{Emulator, EmulatorBuilder, ReuseIds, Revision, SparteraShape, State};
use api_keyring_rotation::Existing;

use crate::arguments::{self, Format};
use crate::cancellation::CancelRequests;
use crate::destination::{Aside, DeliveryError, Destination};
use crate::failure::{Failure, Result};
use crate::output;

/// The file that keeps the emulator's keys from one run to the next.
struct StateFile<'a>(&'a Path);

impl StateFile<'_> {
    /// Returns the state in the file, or an empty one. Fails if the file could not be written at the end.
    fn read(&self) -> Result<State> {
        let path = self.0.display();
        drop(self.destination().prepare(Existing::Overwrite, Aside::IfPossible(None))?);
        match fs::read_to_string(self.0) {
            Ok(text) => State::from_json(&text)
                .map_err(|error| Failure::Other(format!("cannot load the state from {path}: {error}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(Failure::Other(format!("cannot read {path}: {error}"))),
        }
    }

    /// Replaces the file as a whole. Only its owner can read it.
    fn write(&self, state: &State) -> Result {
        let written = self
            .destination()
            .prepare(Existing::Overwrite, Aside::IfPossible(None))?
            .deliver(&Secret::from(state.to_json()));
        written.map_err(|error| match error {
            DeliveryError::Lost(why) => Failure::Other(format!("cannot save the state to {}: {why}", self.0.display())),
            DeliveryError::Elsewhere { why, path } => {
                Failure::Other(format!("the state is in {} instead of {}: {why}", path.display(), self.0.display()))
            }
        })
    }

    fn destination(&self) -> Destination {
        Destination::File(self.0.to_owned())
    }
}

pub(super) async fn run(format: Format, arguments: &arguments::Emulator) -> Result {
    let mut builder = builder(arguments);
    let state = arguments.state.as_deref().map(StateFile);
    if let Some(file) = &state {
        builder = builder.state(file.read()?);
    }
    let emulator = builder.start().await;
    let emulator = emulator.map_err(|error| Failure::Other(format!("the emulator cannot start: {error}")))?;
    // A client may cancel the emulator as soon as it reads the first line.
    let mut cancel_requests = CancelRequests::listen()?;
    print_environment(format, &emulator)?;
    cancel_requests.next().await?;
    match state {
        Some(file) => file.write(&emulator.into_state().await),
        None => {
            emulator.shutdown().await;
            Ok(())
        }
    }
}

fn builder(arguments: &arguments::Emulator) -> EmulatorBuilder {
    let mut builder = Emulator::builder()
        .port(arguments.port)
        .control(arguments.control)
        .expiry_lag(Duration::from_secs(arguments.expiry_lag))
        .revision(match arguments.revision {
            arguments::Revision::Documented => Revision::Documented,
            arguments::Revision::Current => Revision::Current,
        })
        .spartera_shape(match arguments.spartera_shape {
            arguments::SparteraShape::Documented => SparteraShape::Documented,
            arguments::SparteraShape::Guide => SparteraShape::Guide,
        });
    if let Some(reuse) = arguments.reuse_ids {
        builder = builder.reuse_ids(match reuse {
            arguments::ReuseIds::Next => ReuseIds::Next,
            arguments::ReuseIds::Lowest => ReuseIds::LowestFree,
            arguments::ReuseIds::Name => ReuseIds::Name,
        });
    }
    builder = arguments.seed.into_iter().fold(builder, EmulatorBuilder::seed);
    builder = arguments.faults.iter().cloned().fold(builder, EmulatorBuilder::fault);
    if !arguments.control {
        // Only the control API shows recorded requests.
        builder = builder.record_limit(0);
    }
    if arguments.log {
        // The emulator keeps serving even if nobody reads its log.
        builder = builder.observe(|request| output::notice(&request.to_string()));
    }
    builder
}

/// Prints the variables that a client needs. Clients take the output as the sign that the emulator is ready.
fn print_environment(format: Format, emulator: &Emulator) -> Result {
    let variables = emulator.environment();
    if format == Format::Json {
        return output::json(&variables.into_iter().collect::<BTreeMap<_, _>>());
    }
    variables.iter().try_for_each(|(name, value)| output::line(&format!("{name}={value}")))
}
