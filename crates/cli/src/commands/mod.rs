//! The commands.

mod create;
mod deliver;
mod demo;
mod destroy;
mod emulator;
mod fleet;
mod journal;
mod list;
mod providers;
mod prune;
mod read;
mod rotate;
mod rotations;
mod rotator;
mod sweep;
mod undo;
mod update;

use api_keyring::{KeyRef, NamedProvider};

use crate::arguments::{Arguments, Command};
use crate::config;
use crate::failure::Result;

/// Runs a command.
pub(crate) async fn run(Arguments { output, command }: Arguments) -> Result {
    match command {
        Command::Demo => demo::run(output).await,
        Command::Emulator(arguments) => emulator::run(output, &arguments).await,
        Command::Providers => providers::run(output),
        Command::List(arguments) => list::run(output, arguments.provider.as_deref()).await,
        Command::Get(arguments) => read::get(output, &arguments.key).await,
        Command::Stats(arguments) => read::stats(output, &arguments.key).await,
        Command::Create(arguments) => create::run(output, arguments).await,
        Command::Update(arguments) => update::run(output, arguments).await,
        Command::Rotate(arguments) => rotate::run(output, arguments).await,
        Command::RotateFleet(arguments) => fleet::run(output, arguments).await,
        Command::Resume(arguments) => rotations::resume(output, arguments).await,
        Command::Status(arguments) => rotations::status(output, &arguments).await,
        Command::Abort(arguments) => rotations::abort(output, arguments).await,
        Command::History(arguments) => rotations::history(output, &arguments).await,
        Command::Prune(arguments) => prune::run(output, &arguments).await,
        Command::Sweep(arguments) => sweep::run(output, &arguments).await,
        Command::Revoke(arguments) => destroy::revoke(output, arguments).await,
        Command::Delete(arguments) => destroy::delete(output, arguments).await,
    }
}

/// Returns the provider with that name, as the environment configures it.
fn provider(name: &str) -> Result<NamedProvider> {
    Ok(config::from_environment(Some(name))?.provider(name)?)
}

/// Returns the provider of a key.
fn provider_of(key: &KeyRef) -> Result<NamedProvider> {
    provider(key.provider())
}
