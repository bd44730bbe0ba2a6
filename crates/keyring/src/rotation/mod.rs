#![doc = include_str!("../../docs/rotation.md")]

mod engine;
mod error;
mod fleet;
mod journal;
mod plan;
mod preflight;
mod record;
mod rotate_key;
mod rotator;
mod sink;
mod steps;
mod sweep;

pub use error::RotateError;
pub use fleet::{Fleet, FleetKey, InvalidPattern, Rotated, Selector, Summary};
pub use journal::memory::MemoryJournal;
#[cfg(feature = "sqlite")]
pub use journal::sqlite::SqliteJournal;
pub use journal::{Journal, JournalError, Lease};
pub use plan::{InSink, OldKey, Plan, PlannedExpiry, Retirement, UnusedFor};
pub use record::{Confirmation, Discard, Evidence, Fingerprint, Issued, Record, RotationId, State, Use};
pub use rotate_key::{RotateKey, Strategy, Timing};
pub use rotator::Rotator;
#[cfg(feature = "sinks")]
pub use sink::address::open_sinks;
#[cfg(feature = "sinks")]
pub use sink::command::CommandSink;
#[cfg(feature = "sinks")]
pub use sink::file::FileSink;
pub use sink::memory::MemorySink;
pub use sink::several::Several;
pub use sink::store::{Place, Store, StoreLock};
pub use sink::{Sink, SinkError};
pub use steps::{Downtime, PlannedStep};
pub use sweep::{LeftBehind, left_behind};
