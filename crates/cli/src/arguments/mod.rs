//! The command line's grammar.

mod rotation;

use std::path::PathBuf;

use api_keyring::{Expiry, KeyRef, Timestamp};
use api_keyring_emulator::Fault;
use chrono::TimeDelta;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::rotation::{
    Abort, History, JournalArguments, Resume, Rotate, RotateFleet, RotateOptions, RotatorArguments, Status, Sweep,
    Target,
};
use crate::destination::Destination;

/// Issue, list, inspect, update, rotate, revoke and delete the API keys of SaaS vendors.
#[derive(Debug, Parser)]
#[command(name = "api-keyring", version, after_help = ENVIRONMENT)]
pub(crate) struct Arguments {
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  SPARTERA_API_KEY, SPARTERA_COMPANY_ID        configure the provider `spartera`
  SPARTERA_BASE_URL                            another address than https://api.spartera.com
  MONAD_API_KEY or MONAD_BEARER_TOKEN, MONAD_ORGANIZATION_ID
                                               configure the provider `monad`
  MONAD_BASE_URL                               another address than https://monad.com/api
  API_KEYRING_JOURNAL                          the file in which rotations are written down:
                                               api-keyring/rotations.sqlite in the user's folder for state unless set
  API_KEYRING_ATTEMPTS                         how often a call may be tried that fails for a while and may be repeated:
                                               4 times unless set; 1 never tries again

Exit codes:
  0 done   1 failed   2 usage   4 authentication or permission   5 not found";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: one JSON document on standard output
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Walk both vendors through a key's whole life, on a built-in emulator
    Demo,
    /// Run an emulator of both services until it is told to stop
    Emulator(Emulator),
    /// Show the configured providers and what each can do
    Providers,
    /// List keys, of one provider or of all
    List(List),
    /// Show one key
    Get(Key),
    /// Issue a new key
    Create(Create),
    /// Change a key's metadata
    Update(Update),
    /// Put a new key, whose secret goes where the old one's is, in a key's place
    Rotate(Rotate),
    /// Rotate many keys of a provider
    RotateFleet(RotateFleet),
    /// Go on with rotations that were cut off, or wait
    Resume(Resume),
    /// Show rotations that are not finished
    Status(Status),
    /// Undo a rotation
    Abort(Abort),
    /// Show rotations, or every step of one
    History(History),
    /// Find keys that rotations have left behind
    Sweep(Sweep),
    /// Make a key's secret useless, and have the vendor keep a record of why
    Revoke(Revoke),
    /// Delete a key
    Delete(Delete),
    /// Show how a key is used
    Stats(Key),
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// The port to listen on, of this machine alone; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Which of the vendors' published descriptions to follow
    #[arg(long, value_enum, default_value_t = Revision::Current)]
    pub(crate) revision: Revision,
    /// How Spartera writes a key
    #[arg(long, value_enum, default_value_t = SparteraShape::Documented)]
    pub(crate) spartera_shape: SparteraShape,
    /// Have something go wrong: OPERATION:FAULT[:COUNT], as in create:reset-after:1; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<Fault>,
    /// Answer below /_emulator/ too: inject faults, and tell what has happened, for whoever asks on this machine
    #[arg(long)]
    pub(crate) control: bool,
    /// Begin with what is in this file, if it exists, and write it anew when told to stop: all keys, secrets included
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Make the same ids and secrets, and have chances hit the same requests, as another time with this number
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many seconds a secret goes on working after its key has expired
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) expiry_lag: u64,
    /// Tell of every request on standard error, a line each; secrets are masked
    #[arg(long)]
    pub(crate) log: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Revision {
    /// The SDK documentation
    Documented,
    /// The current machine-readable descriptions
    Current,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SparteraShape {
    /// As in the SDK documentation
    Documented,
    /// As in the reference guide
    Guide,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The provider whose keys to list; all if left out
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The key
    #[arg(value_name = "PROVIDER/ID")]
    pub(crate) key: KeyRef,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The provider that issues the key
    pub(crate) provider: String,
    /// The key's name
    #[arg(long)]
    pub(crate) name: String,
    /// The role whose permissions the key gets: a number at Spartera, an id at Monad
    #[arg(long)]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// What the key is for
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// The user who shall own the key
    #[arg(long)]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) delivery: DeliveryArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    pub(crate) key: Key,
    /// The new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The new role
    #[arg(long)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// The new description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// The new owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Why; the vendor keeps it
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// The key's role, for a vendor that wants to be told and does not tell it itself
    #[arg(long)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// When a key shall stop working.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ExpiryArguments {
    /// How long from now until the key stops working, such as 90d or 12h
    #[arg(long, value_name = "DURATION", value_parser = expires_in)]
    expires_in: Option<Expiry>,
    /// When the key stops working, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = expires_at)]
    expires_at: Option<Expiry>,
}

impl ExpiryArguments {
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        self.expires_in.or(self.expires_at)
    }
}

fn expires_in(text: &str) -> Result<Expiry, String> {
    let duration = humantime::parse_duration(text).map_err(|why| format!("{why}; write 90d or 12h"))?;
    TimeDelta::from_std(duration).map(Expiry::In).map_err(|_| "the duration is too long".to_owned())
}

fn expires_at(text: &str) -> Result<Expiry, String> {
    Timestamp::from(text).utc().map(Expiry::At).ok_or_else(|| "write a time as 2030-01-31T00:00:00Z".to_owned())
}

/// Where a new secret goes.
#[derive(Debug, Args)]
pub(crate) struct DeliveryArguments {
    /// Where the secret goes: `-` for standard output, or file:PATH for a new file that only you can read
    #[arg(long, value_name = "DEST")]
    pub(crate) to: Option<Destination>,
    /// Overwrite the file, should it exist
    #[arg(long, requires = "to")]
    pub(crate) force: bool,
}

/// Leave to destroy something.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}
