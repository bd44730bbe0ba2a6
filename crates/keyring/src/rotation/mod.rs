#![doc = include_str!("../../docs/rotation.md")]

mod engine;
mod error;
mod journal;
mod plan;
mod record;
mod rotator;
mod sink;

pub use error::RotateError;
pub use journal::{Journal, JournalError, Lease, MemoryJournal};
pub use plan::{OldKey, Plan, PlannedExpiry, Retirement, RotateKey, Timing};
pub use record::{Confirmation, Discard, Fingerprint, Issued, Record, RotationId, State};
pub use rotator::Rotator;
pub use sink::{MemorySink, Sink, SinkError};
