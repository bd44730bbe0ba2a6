//! Tests the command line as users run it: as a process, against an emulator in another process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod conditions;
mod consent;
mod create;
mod delivery;
mod destroy;
mod documents;
mod emulator;
mod exit_codes;
mod fleet;
mod harness;
mod help;
mod hostile;
mod journal;
mod killed;
mod rotation;
