//! Tests the command line as users run it: as a process, against an emulator in another process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod canaries;
mod cleaned;
mod conditions;
mod consent;
#[cfg(unix)]
mod core_dumps;
mod create;
mod delivery;
mod destroy;
mod documents;
mod emulator;
mod exit_codes;
#[cfg(unix)]
mod files;
mod fleet;
mod harness;
mod help;
mod hostile;
mod journal;
mod killed;
mod odd_secrets;
mod rotation;
mod surroundings;
