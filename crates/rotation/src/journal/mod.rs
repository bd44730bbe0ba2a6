//! Where rotations are written down.

pub(super) mod memory;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Clock, Mark};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Record, RotationId};

/// Where rotations are written down, so that any process can finish what another began, and no two act at once.
///
/// What an implementation has to see to, whatever happens to the process or the machine in between:
///
/// - A write that returns is there to stay. One that fails may or may not have happened.
/// - [`save`](Self::save) writes only for the holder of the lease that was taken last, and only over the version that the
///   holder knows: compare and set, in one.
/// - The journal's own clock decides when a lease ends, so that it does not matter what the rotators' clocks say.
///
/// Records hold no secret.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Writes a rotation down for the first time.
    ///
    /// # Errors
    ///
    /// Those of [`Record::conflict_with`], for every other rotation: [`JournalError::UnderWay`] when one is not finished that is of
    /// the same key or has issued it, [`JournalError::SinkInUse`] when one is not finished that has the same sink, and
    /// [`JournalError::Replaced`] when one is done of the same key: a plan may have been made before that. Rotations that are
    /// not finished and stand in the way have one of the [claims](Record::claims) in common.
    async fn begin(&self, record: &Record) -> Result<(), JournalError>;

    /// The rotation of that name.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError>;

    /// Every rotation that is not finished, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<Record>, JournalError>;

    /// So many rotations that were begun last, newest first, finished or not.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError>;

    /// The rotation that this mark was written down for.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn of_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError>;

    /// Every version that was written of a rotation, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError>;

    /// Takes the lease on a rotation: from now on, for so long, nobody else may write it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] when somebody has it, and [`JournalError::Missing`] when there is no such rotation.
    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError>;

    /// Writes a rotation over the version before the record's, and has the lease begin anew.
    ///
    /// # Errors
    ///
    /// [`JournalError::LeaseLost`] when somebody else has taken the lease since, and [`JournalError::Changed`] when the version
    /// before the record's is not the one that is there. Where the new state is [`Issued`](super::State::Issued), those of
    /// [`begin`](Self::begin) for every other rotation that is not finished: somebody who was held up may go on with a rotation
    /// that others have finished.
    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError>;

    /// Has the lease begin anew, while nothing is to be written.
    ///
    /// # Errors
    ///
    /// [`JournalError::LeaseLost`] when somebody else has taken it since.
    async fn renew(&self, lease: &Lease) -> Result<(), JournalError>;

    /// Gives the lease back. One that was lost is no error.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; the lease then ends by itself.
    async fn release(&self, lease: &Lease) -> Result<(), JournalError>;
}

/// The right to carry a rotation on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The rotation.
    pub rotation: RotationId,
    /// Grows with every lease on the rotation: only the highest one writes.
    pub token: u64,
    /// How long it lasts after each write.
    pub time: Duration,
}

impl Lease {
    /// A lease that an implementation has given.
    pub fn new(rotation: RotationId, token: u64, time: Duration) -> Self {
        Self { rotation, token, time }
    }
}

/// Returns when a lease ends that begins now and lasts for `time`.
fn lease_end(clock: &dyn Clock, time: Duration) -> DateTime<Utc> {
    let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Why a journal does not do what it is asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// A rotation of the same key is not finished.
    UnderWay(RotationId),
    /// A rotation has replaced the key already.
    Replaced(RotationId),
    /// A rotation of another key is not finished, and has the same sink.
    SinkInUse {
        /// Which sink.
        sink: String,
        /// Which rotation.
        by: RotationId,
    },
    /// Somebody else carries the rotation on.
    Held {
        /// Who.
        by: String,
        /// Until when, unless it is renewed.
        until: DateTime<Utc>,
    },
    /// Somebody else has taken the lease.
    LeaseLost,
    /// The rotation was written meanwhile.
    Changed,
    /// There is no such rotation.
    Missing(RotationId),
    /// The journal cannot be read or written.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay(id) => {
                write!(f, "the key is being rotated already, by the rotation {id}: resume or abort it")
            }
            Self::Replaced(id) => write!(f, "the key was replaced already, by the rotation {id}"),
            Self::SinkInUse { sink, by } => {
                write!(
                    f,
                    "{sink} is where the rotation {by} puts another key's secret: name another place, or resume or abort that one"
                )
            }
            Self::Held { by, until } => {
                let until = until.format("%Y-%m-%d %H:%M:%SZ");
                write!(
                    f,
                    "{by} is at work on the rotation, or was cut off: should it be gone, others can go on after {until}"
                )
            }
            Self::LeaseLost => f.write_str("somebody else has taken the rotation over"),
            Self::Changed => f.write_str("the rotation was written by somebody else meanwhile"),
            Self::Missing(id) => write!(f, "there is no rotation {id}"),
            Self::Unavailable(_) => f.write_str("the journal cannot be used"),
        }
    }
}

impl StdError for JournalError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable(source) => Some(&**source),
            _ => None,
        }
    }
}

#[async_trait]
impl<J: Journal + ?Sized> Journal for Arc<J> {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        (**self).begin(record).await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        (**self).load(id).await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, JournalError> {
        (**self).unfinished().await
    }

    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        (**self).latest(limit).await
    }

    async fn of_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        (**self).of_mark(mark).await
    }

    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        (**self).history(id).await
    }

    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError> {
        (**self).take(id, holder, time).await
    }

    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError> {
        (**self).save(lease, record).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), JournalError> {
        (**self).renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), JournalError> {
        (**self).release(lease).await
    }
}
