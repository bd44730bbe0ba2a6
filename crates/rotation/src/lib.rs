#![doc = include_str!("../docs/rotation.md")]
// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Compiles the README's example.
#[cfg(all(doctest, feature = "sinks"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

mod engine;
mod error;
mod fleet;
mod host;
mod journal;
mod orphans;
mod own_credential;
mod plan;
mod record;
mod rotator;
mod sink;

/// Whether a key is the provider's own credential, as a plan says.
pub use api_keyring::OwnCredential;
pub use engine::{TRANSITIONS, Transition};
pub use error::RotateError;
pub use fleet::{Exclusion, Fleet, FleetKey, FleetSummary, InvalidPattern, KeyResult, Selector};
pub use host::{Host, shown_name};
pub use journal::memory::MemoryJournal;
#[cfg(feature = "sqlite")]
pub use journal::sqlite::SqliteJournal;
pub use journal::{
    Journal, JournalCursor, JournalEntry, JournalError, JournalPage, Lease, Listing, MAX_LEASE, Prune, Pruned,
    UnreadableRecord,
};
pub use orphans::{Orphan, find_orphans, find_orphans_at};
pub use own_credential::own_credential;
pub use plan::request::{RotateKey, Strategy, Timing};
pub use plan::steps::{Downtime, PlannedStep};
pub use plan::{Holding, Holdings, OldKey, Plan, PlannedExpiry, Retirement, SinkContent, UnusedFor};
pub use record::{
    Confirmation, Discard, Evidence, Fingerprint, InvalidRotationId, Issued, Record, RotationId, State, StateKind,
    Usage,
};
pub use rotator::Rotator;
#[cfg(feature = "sinks")]
pub use sink::address::open_sinks;
#[cfg(feature = "sinks")]
pub use sink::command::CommandSink;
#[cfg(feature = "sinks")]
pub use sink::file::FileSink;
#[cfg(feature = "sinks")]
pub use sink::file::secret_file::{Existing, SecretFile, SecretFileError};
pub use sink::memory::MemorySink;
pub use sink::sink_set::SinkSet;
pub use sink::store::{Slot, Store, StoreLock};
pub use sink::{Held, Room, Sink, SinkError};
