//! Every fault, as a client sees it.

mod almost;
mod answers;
mod connection;
mod errors;
mod held_up;
mod intermediaries;
mod lists;
mod schedule;
mod secrets;

use api_keyring_emulator::{Emulator, EmulatorBuilder, Fault};

/// Starts an emulator with these faults.
async fn with(faults: &[&str]) -> Emulator {
    with_builder(crate::client::builder().0, faults).await
}

async fn with_builder(builder: EmulatorBuilder, faults: &[&str]) -> Emulator {
    let builder = faults.iter().fold(builder, |builder, fault| builder.fault(fault.parse::<Fault>().unwrap()));
    builder.start().await.unwrap()
}

/// Returns the number of keys of both services, without a request.
fn count(emulator: &Emulator) -> usize {
    emulator.keys().len()
}

/// Returns the faults that hit each request so far, as text.
fn recorded(emulator: &Emulator) -> Vec<String> {
    let describe = |seen: api_keyring_emulator::SeenRequest| {
        let faults: Vec<_> = seen.faults.iter().map(ToString::to_string).collect();
        faults.join(" ")
    };
    emulator.requests().into_iter().map(describe).collect()
}
