//! The grammar and the help of the command line.

mod command_line;
mod rotation;

use std::path::PathBuf;
use std::time::Duration;

use api_keyring::{Expiry, KeyRef, Timestamp};
use api_keyring_emulator::Fault;
use api_keyring_rotation::Timing;
use chrono::TimeDelta;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::command_line::{NoArguments, read};
pub(crate) use self::rotation::{
    Abort, History, JournalArguments, Prune, Resume, Rotate, RotateFleet, RotateOptions, RotatorArguments, Status,
    Sweep, Target,
};
use crate::destination::Destination;

/// Lists an option of every command behind the options of the command itself.
const LAST: usize = 900;

/// Issue, list, update, rotate, revoke and delete API keys of SaaS vendors
#[derive(Debug, Parser)]
#[command(name = "api-keyring", bin_name = "api-keyring", version, after_help = ENVIRONMENT)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, display_order = LAST)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  SPARTERA_API_KEY, SPARTERA_COMPANY_ID
          The provider `spartera`: the API key that api-keyring itself uses, and
          the company whose keys it manages
  SPARTERA_BASE_URL
          Base URL of Spartera [default: https://api.spartera.com]
  MONAD_ORGANIZATION_ID, and MONAD_API_KEY or MONAD_BEARER_TOKEN
          The provider `monad`: the organization whose keys api-keyring manages,
          and the API key or token that it uses itself
  MONAD_BASE_URL
          Base URL of Monad [default: https://monad.com/api]
  SPARTERA_API_KEY_FILE, MONAD_API_KEY_FILE, MONAD_BEARER_TOKEN_FILE
          File that holds the credential, instead of the variable without _FILE
  HTTPS_PROXY or ALL_PROXY, and NO_PROXY
          URL of the proxy, which begins with http:// or https://, and the hosts
          that are reached without it; also in lower case
  SSL_CERT_FILE, SSL_CERT_DIR
          File or folders with the certificates of the authorities to trust,
          instead of those of the system
  API_KEYRING_JOURNAL
          File that records rotations
          [default: api-keyring/rotations.sqlite in $XDG_STATE_HOME, or else in
          %LOCALAPPDATA% or ~/.local/state]
  API_KEYRING_HOST
          Name of this machine in the names of destinations, for containers whose
          machine id changes [default: a hash of the machine's id]
  API_KEYRING_ATTEMPTS
          How many times to try a call that is safe to repeat, if it fails
          temporarily: from 1 (no retry) to 100 [default: 4]

Durations:
  A number and a unit, such as 30s, 5m (minutes), 12h or 90d. Where a vendor or
  a rotation counts whole seconds, a part of a second counts as a second.

Exit codes:
  0  done, or the rotation waits to be resumed
  1  failed, or the rotation was aborted or needs attention
  2  wrong usage, or refused
  3  unfinished, because you cancelled it: what has begun can be resumed
  4  authentication failed or permission denied
  5  not found";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and text, for people
    Table,
    /// One JSON document on standard output, for programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, use, rotate and delete a key at both vendors, on the built-in emulator
    ///
    /// The demo needs no account, and changes nothing outside the emulator.
    Demo,
    /// Run an emulator of both vendors' services until you stop it
    ///
    /// The emulator first prints the environment variables, with its addresses, that make api-keyring use it.
    Emulator(Emulator),
    /// Show the configured providers and what each one supports
    Providers,
    /// List the keys of one provider or of all
    List(List),
    /// Show one key
    Get(Key),
    /// Issue a new key
    Create(Create),
    /// Change a key's name, role, expiry, description or owner
    Update(Update),
    /// Replace a key with a new one and update the places that store its secret
    ///
    /// The rotation issues a new key, stores its secret, checks that the secret works, and retires the old key after
    /// the grace. If something interrupts the rotation, `api-keyring resume` continues it.
    Rotate(Rotate),
    /// Rotate many keys of one provider
    ///
    /// SELECTION stands for --all, or for one or more of --named, --older-than and --expiring-within. A key must meet
    /// every condition that you give. The fleet rotates your own credential only with --even-own, and last. If the
    /// fleet cannot tell which destination belongs to a key, for example because two keys have the same name, it leaves
    /// the key alone and reports it as failed. Rotate such a key with `api-keyring rotate`.
    RotateFleet(RotateFleet),
    /// Continue unfinished rotations
    ///
    /// A rotation is unfinished if its process was interrupted, if it waits for the end of its grace or for evidence of
    /// use, or if it needs attention. Run this command from a scheduled job.
    Resume(Resume),
    /// Show unfinished rotations
    Status(Status),
    /// Undo a rotation: restore the old secret and retire the new key
    ///
    /// You can abort a rotation until it starts to retire the old key. While it retires that key, you can abort it only
    /// with --leave-destination, or if it needs attention, the vendor never accepted the retirement, and the old key
    /// still works. After that, you cannot abort it. You can abort a rotation in place until it has requested a new
    /// secret. After that, you can abort it only while it needs attention because it cannot request another one: if the
    /// key is gone, or with --leave-destination.
    Abort(Abort),
    /// List all rotations, finished and unfinished, or show every step of one
    History(History),
    /// Remove old finished rotations from the journal
    ///
    /// The journal keeps which key replaced which, the marks of the keys, and the lifetimes that you asked for. No
    /// command shows the removed rotations any more. This changes no key and no destination.
    Prune(Prune),
    /// Find keys that rotations and interrupted creates left behind, and delete them on request
    ///
    /// Without --retire the command only lists the keys. A `create` that was interrupted leaves a key whose name ends
    /// in a mark that no journal knows. The command deletes such a key only with --even-unknown. If nothing uses the
    /// key, you can also delete it with `api-keyring delete`.
    Sweep(Sweep),
    /// Revoke a key, so that it stops working
    ///
    /// You can give the vendor a reason. `api-keyring providers` shows which vendors can revoke keys.
    Revoke(Revoke),
    /// Delete a key, so that it stops working
    ///
    /// You cannot undo this.
    Delete(Delete),
    /// Show how much a key is used, as far as its vendor shows it
    Stats(Key),
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// Port on this machine to listen on; 0 picks a free port
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Which of the vendors' published descriptions to follow
    #[arg(long, value_enum, default_value_t = Revision::Current)]
    pub(crate) revision: Revision,
    /// Form of a key in Spartera's answers
    #[arg(long, value_enum, default_value_t = SparteraShape::Documented)]
    pub(crate) spartera_shape: SparteraShape,
    /// Which id of a deleted key a new key gets; without this option, none
    ///
    /// A vendor whose ids are rows of a database, or names, gives the id of a deleted key to another one.
    #[arg(long, value_enum)]
    pub(crate) reuse_ids: Option<ReuseIds>,
    /// Inject a fault, written OPERATION:FAULT[:COUNT]
    ///
    /// OPERATION is list, create, get, update, regenerate, revoke, delete, stats, or * for all of them. FAULT is one of
    /// delay=20ms, refuse=2s, reset-before, reset-after, reset-body, status=503, status-after=504, rate-limit=5/10s,
    /// redirect=URL, held-up=1m, gateway-404, gateway-404-after, waf, captive-portal, unknown-is-403, truncate, empty,
    /// html, html=502, wrong-type, endless, slow-body=10ms, extra-fields, unknown-enum, encoded, media-type=text/plain,
    /// no-media-type, bom, other-error, odd-row, odd-field, odd-secret, zero-time, past-end-404, page-length=250,
    /// clock-ahead=5m, clock-behind=5m, late=3, flaky, linger=2, stale-list=2, reuse-ids, repeat-page, empty-page,
    /// duplicate-rows and quota=10; the values are examples. COUNT is how many requests the fault hits; without it, the
    /// fault hits all. In list:empty-page:1@2, the part @2 lets the first request pass.
    ///
    /// With create:reset-after:1, for example, the first create takes effect, but its answer is lost. A percentage
    /// after OPERATION, as in *%20:reset-before, hits requests at random. A provider before it, as in
    /// monad.create:empty, limits the fault to that provider. You can give this option several times.
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<Fault>,
    /// Serve the control API below /_emulator/ to every program on this machine
    ///
    /// The control API injects faults and reports what happened.
    #[arg(long)]
    pub(crate) control: bool,
    /// Load all keys from this file at the start, and save them there at the end
    ///
    /// The file contains all keys with their secrets. If it does not exist, the emulator creates it.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Number that makes ids, secrets and random faults repeatable
    ///
    /// Two runs with the same seed issue the same ids and secrets, and their random faults hit the same requests.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many seconds a secret keeps working after its key expires
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LONGEST.as_secs()))]
    pub(crate) expiry_lag: u64,
    /// Log each request on one line of standard error, with secrets masked
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseIds {
    /// The id of the key that was deleted last
    Next,
    /// The lowest free id
    Lowest,
    /// The key's name
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Provider whose keys to list, such as spartera or monad; all providers if omitted
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The key, such as spartera/1002; `api-keyring list` shows the ids
    #[arg(value_name = "PROVIDER/ID")]
    pub(crate) key: KeyRef,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Where to issue the key: spartera or monad
    pub(crate) provider: String,
    /// Name of the key
    #[arg(long)]
    pub(crate) name: String,
    /// Role that gives the key its permissions: a number at Spartera, an id at Monad
    #[arg(long)]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// Purpose of the key
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Id of the user who owns the key, for a vendor that records owners
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Put no mark into the key's name while it is issued
    ///
    /// Usually the name ends in a random mark until the secret is at its destination, and the command then removes the
    /// mark. If the vendor's answer is lost, or the command is interrupted, the mark finds the new key. Without a mark
    /// nothing tells that key from others, so it may live on, and `api-keyring sweep` does not find it.
    #[arg(long)]
    pub(crate) exact_name: bool,
    /// How long a new key may be missing from the vendor's list
    ///
    /// If the vendor's answer is lost, the command looks for the new key that long, and deletes it.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    pub(crate) settle: Duration,
    #[command(flatten)]
    pub(crate) delivery: DeliveryArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    pub(crate) key: Key,
    /// New name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// New role
    #[arg(long)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// New description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Id of the user who owns the key from now on, for a vendor that records owners
    #[arg(long)]
    pub(crate) owner: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Reason to give to the vendor, for vendors that record one
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Role of the key; needed if the vendor's revoke requires the role and the vendor does not show it
    #[arg(long)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) even_own: EvenOwn,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) even_own: EvenOwn,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Permission to end your own credential.
#[derive(Debug, Args)]
pub(crate) struct EvenOwn {
    /// Allow this for your own credential, which locks you out
    ///
    /// Without this option, the command refuses the key that api-keyring itself uses, as far as anything shows which
    /// key that is.
    #[arg(long)]
    pub(crate) even_own: bool,
}

/// When a key expires.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ExpiryArguments {
    /// Time from now until the key expires, such as 90d or 12h
    #[arg(long, value_name = "DURATION", value_parser = expires_in)]
    expires_in: Option<Expiry>,
    /// Time at which the key expires, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = expires_at)]
    expires_at: Option<Expiry>,
}

impl ExpiryArguments {
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        self.expires_in.or(self.expires_at)
    }
}

/// The longest duration that an option accepts: a hundred years.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|why| format!("{why}; write 90d, 12h or 30s"))?;
    if duration > LONGEST { Err("the duration is longer than a hundred years".to_owned()) } else { Ok(duration) }
}

/// Reads a duration, and rounds it up to whole seconds: half a second is not no time at all.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    duration(text).map(|duration| Duration::from_secs(Timing::seconds(duration)))
}

/// Reads a duration that must be longer than zero.
fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("the duration must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

fn time_delta(text: &str) -> Result<TimeDelta, String> {
    TimeDelta::from_std(duration(text)?).map_err(|_| "the duration is too long".to_owned())
}

fn expires_in(text: &str) -> Result<Expiry, String> {
    let duration = whole_seconds(text)?;
    match TimeDelta::from_std(duration).map_err(|_| "the duration is too long".to_owned())? {
        duration if duration.is_zero() => Err("the key would have expired before you could use it".to_owned()),
        duration => Ok(Expiry::In(duration)),
    }
}

fn expires_at(text: &str) -> Result<Expiry, String> {
    Timestamp::from(text).utc().map(Expiry::At).ok_or_else(|| "write a time as 2030-01-31T00:00:00Z".to_owned())
}

/// Where a new secret goes.
#[derive(Debug, Args)]
pub(crate) struct DeliveryArguments {
    /// Where to put the secret: - for standard output, or file:PATH
    ///
    /// The command creates the file so that only you can read it. Vendors show a secret once, so this option is
    /// required.
    #[arg(long, value_name = "DEST")]
    pub(crate) to: Option<Destination>,
    /// Overwrite the file if it exists
    #[arg(long, requires = "to")]
    pub(crate) force: bool,
}

/// Permission to change or destroy something.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask for confirmation; required if there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}
