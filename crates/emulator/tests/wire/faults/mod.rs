//! Every fault, as it is seen on the wire.

mod answers;
mod connection;
mod errors;
mod lists;
mod schedule;
mod secrets;

use api_keyring_emulator::{Emulator, EmulatorBuilder, Fault};

/// An emulator with these faults.
async fn with(faults: &[&str]) -> Emulator {
    with_builder(crate::client::builder().0, faults).await
}

async fn with_builder(builder: EmulatorBuilder, faults: &[&str]) -> Emulator {
    let builder = faults.iter().fold(builder, |builder, fault| builder.fault(fault.parse::<Fault>().unwrap()));
    builder.start().await.unwrap()
}

/// How many keys there are at both services, without asking them.
fn count(emulator: &Emulator) -> usize {
    emulator.keys().len()
}

/// The faults that hit each request so far, as text.
fn recorded(emulator: &Emulator) -> Vec<String> {
    let in_words = |seen: api_keyring_emulator::SeenRequest| {
        let faults: Vec<_> = seen.faults.iter().map(ToString::to_string).collect();
        faults.join(" ")
    };
    emulator.requests().into_iter().map(in_words).collect()
}
