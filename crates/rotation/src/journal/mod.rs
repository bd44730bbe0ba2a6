//! Journals, which record rotations.

pub(super) mod memory;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Clock, Mark};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{Record, RotationId};

/// Records rotations, so that any process can finish what another one began, and no two processes act at once.
///
/// An implementation guarantees the following, even if the process or the machine fails at any point:
///
/// - The effect of a write that succeeds is permanent. A write that fails may or may not have had its effect.
/// - [`save`](Self::save) writes only for the holder of the latest lease, and only over the version that the holder
///   knows. It compares and writes in one atomic step.
/// - The journal's own clock decides when a lease ends. The rotators' clocks do not matter.
///
/// Records hold no secret.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Writes the first version of a rotation.
    ///
    /// # Errors
    ///
    /// The error that [`Record::conflict_with`] returns for another rotation:
    ///
    /// - [`JournalError::UnderWay`] if an unfinished rotation rotates the same key, or has issued it.
    /// - [`JournalError::SinkInUse`] if an unfinished rotation uses the same sink.
    /// - [`JournalError::Replaced`] if a rotation has already replaced the key, perhaps after the plan was made.
    ///
    /// If two unfinished rotations conflict, they share a [claim](Record::claims), so you can look for conflicts by
    /// claim. Two rotations that share a claim need not conflict: a vendor may give the id of a deleted key to another
    /// key. For the same reason, the keys of two rotations can have the same id.
    async fn begin(&self, record: &Record) -> Result<(), JournalError>;

    /// Returns the latest version of a rotation. Returns `None` if the journal has no such rotation.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError>;

    /// Returns every unfinished rotation, oldest first.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<Record>, JournalError>;

    /// Returns the `limit` rotations that began last, finished or not, newest first.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError>;

    /// Returns the rotation that this mark was recorded for. Returns `None` if the journal does not know the mark.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError>;

    /// Returns every version of a rotation, oldest first. Returns an empty list if the journal has no such rotation.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError>;

    /// Takes the lease on a rotation. Until `time` has passed, only `holder` may write the rotation.
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] if somebody holds the lease, and [`JournalError::Missing`] if there is no such rotation.
    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError>;

    /// Writes the next version of a rotation, and restarts the lease.
    ///
    /// # Errors
    ///
    /// - [`JournalError::LeaseLost`] if another process has taken the lease.
    /// - [`JournalError::Changed`] if the journal's version is not the one directly before the record's.
    /// - If the new state is [`Issued`](super::State::Issued), the errors of [`begin`](Self::begin) about other
    ///   unfinished rotations. A process that was held up may continue a rotation that others have finished, and whose
    ///   key or sinks another rotation has claimed since.
    async fn save(&self, lease: &Lease, record: &Record) -> Result<(), JournalError>;

    /// Restarts the lease without writing a version.
    ///
    /// # Errors
    ///
    /// [`JournalError::LeaseLost`] if another process has taken the lease, or the lease was released.
    async fn renew(&self, lease: &Lease) -> Result<(), JournalError>;

    /// Gives the lease back. A lease that was lost is not an error.
    ///
    /// # Errors
    ///
    /// If the journal cannot be written. The lease then ends by itself.
    async fn release(&self, lease: &Lease) -> Result<(), JournalError>;
}

/// The right to work on a rotation for a limited time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The rotation that the lease is for.
    pub rotation: RotationId,
    /// A number that grows with every lease on the rotation. Only the holder of the highest one can write.
    pub token: u64,
    /// How long the lease lasts after each write.
    pub time: Duration,
    /// Whether the holder before this one did not release its lease: it died, or it is held up and may still send a
    /// request.
    pub is_takeover: bool,
}

impl Lease {
    /// Returns a lease, for an implementation of [`Journal`].
    pub fn new(rotation: RotationId, token: u64, time: Duration) -> Self {
        Self { rotation, token, time, is_takeover: false }
    }

    /// Marks a lease whose last holder did not release it.
    #[must_use]
    pub fn takeover(mut self, is_takeover: bool) -> Self {
        self.is_takeover = is_takeover;
        self
    }
}

/// Returns when a lease ends that begins now and lasts for `time`.
fn lease_end(clock: &dyn Clock, time: Duration) -> DateTime<Utc> {
    let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Why a call to a journal failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// An unfinished rotation rotates the same key, or has issued it.
    UnderWay(RotationId),
    /// A rotation has already replaced the key.
    Replaced(RotationId),
    /// An unfinished rotation of another key uses the same sink.
    SinkInUse {
        /// The name of the sink.
        sink: String,
        /// The other rotation.
        by: RotationId,
    },
    /// Another holder has the lease on the rotation.
    Held {
        /// The name of the holder.
        by: String,
        /// When the lease ends, unless its holder renews it.
        until: DateTime<Utc>,
    },
    /// Another process has taken the lease, or the lease was released.
    LeaseLost,
    /// Another process has written the rotation.
    Changed,
    /// The journal has no such rotation.
    Missing(RotationId),
    /// The journal cannot be read or written.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay(id) => {
                write!(f, "the key belongs to the unfinished rotation {id}: resume or abort that rotation first")
            }
            Self::Replaced(id) => write!(f, "rotation {id} has already replaced the key. Rotate its new key instead"),
            Self::SinkInUse { sink, by } => {
                write!(
                    f,
                    "{sink} is in use: the unfinished rotation {by} puts another key's secret there. Name another \
                     destination (`--to`), or resume or abort {by}"
                )
            }
            Self::Held { by, until } => {
                let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
                write!(
                    f,
                    "{by} is working on the rotation. If that process has died, others can resume the rotation after \
                     {until}"
                )
            }
            Self::LeaseLost => f.write_str(
                "another process has taken over the rotation, so this one stops. `status` shows how far the rotation \
                 has got",
            ),
            Self::Changed => f.write_str(
                "another process has written to the rotation, so this one stops. `status` shows how far the rotation \
                 has got",
            ),
            Self::Missing(id) => {
                write!(f, "there is no rotation {id} in the journal. `history` lists the rotations that it has")
            }
            Self::Unavailable(_) => {
                f.write_str("the journal cannot be used, and no rotation continues without it. Check `--journal`")
            }
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

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        (**self).find_by_mark(mark).await
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
