//! Journals, which record rotations.

mod check;
mod error;
mod list;
pub(super) mod memory;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{Clock, Mark};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

pub use self::error::JournalError;
pub use self::list::{JournalCursor, JournalEntry, JournalPage, Listing, Prune, Pruned, UnreadableRecord};
use super::{Record, RotationId};

/// The longest lease. A journal shortens every longer one to this time: one day.
pub const MAX_LEASE: Duration = Duration::from_secs(86_400);

/// How many rotations or versions to read at a time.
const PAGE: usize = 500;

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
    /// Also [`JournalError::Unreadable`] if the record of such a rotation cannot be read, and [`JournalError::Changed`]
    /// if the journal has a rotation with this id.
    ///
    /// If two unfinished rotations conflict, they share a [claim](Record::claims), so you can look for conflicts by
    /// claim. Two rotations that share a claim need not conflict: a vendor may give the id of a deleted key to another
    /// key. For the same reason, the keys of two rotations can have the same id.
    async fn begin(&self, record: &Record) -> Result<(), JournalError>;

    /// Returns the latest version of a rotation. Returns `None` if the journal has no such rotation, or has pruned it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unreadable`] if the record cannot be read, and the errors of the journal itself.
    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError>;

    /// Returns a page of rotations, each in its latest version: at most `limit` of them after the cursor, or the first
    /// ones without a cursor. One record that cannot be read is one [entry](JournalEntry::Unreadable), not an error.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError>;

    /// Returns the rotation that this mark was recorded for. Returns `None` if the journal does not know the mark.
    ///
    /// Of a rotation that was [pruned](Self::prune), it returns what the journal has kept. All other fields are blank.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unreadable`] if the record cannot be read, and the errors of the journal itself.
    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError>;

    /// Returns at most `limit` versions of a rotation, oldest first, beginning with the version of this number. Returns
    /// an empty list if the journal has no such version.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError>;

    /// Removes the finished rotations that were last written longer ago than `older_than`, with all their versions.
    /// With [`Prune::Count`] it only counts them.
    ///
    /// The journal keeps what later checks need of them: which key replaced which, all marks, and the lifetime that was
    /// asked for. It keeps records that it cannot read, and rotations on which somebody holds the lease.
    ///
    /// # Errors
    ///
    /// If the journal cannot be written. Some of the rotations may have been removed.
    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError>;

    /// Returns every unfinished rotation whose record can be read, oldest first.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<Record>, JournalError> {
        list::records(self, Listing::Unfinished, usize::MAX).await
    }

    /// Returns the `limit` rotations that began last and whose records can be read, finished or not, newest first.
    ///
    /// # Errors
    ///
    /// If the journal cannot be read.
    async fn latest(&self, limit: usize) -> Result<Vec<Record>, JournalError> {
        list::records(self, Listing::All, limit).await
    }

    /// Returns every version of a rotation, oldest first. Returns an empty list if the journal has no such rotation.
    ///
    /// # Errors
    ///
    /// [`JournalError::Unreadable`] if a version cannot be read, and the errors of the journal itself.
    async fn history(&self, id: &RotationId) -> Result<Vec<Record>, JournalError> {
        list::history(self, id).await
    }

    /// Makes sure, as far as the journal can, that there is room to record what follows. A rotation in place calls this
    /// before it ends the old secret. The default does nothing.
    ///
    /// # Errors
    ///
    /// If there is no room.
    async fn make_room(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Takes the lease on a rotation. Until `time` has passed, or [`MAX_LEASE`] if that is less, only `holder` may
    /// write the rotation.
    ///
    /// A lease whose end cannot be read, or is further away than any lease can last, ends after [`MAX_LEASE`] from now.
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] if somebody holds the lease, and [`JournalError::Missing`] if there is no such rotation.
    async fn take(&self, id: &RotationId, holder: &str, time: Duration) -> Result<Lease, JournalError>;

    /// Writes the next version of a rotation, and restarts the lease.
    ///
    /// # Errors
    ///
    /// - [`JournalError::LeaseLost`] if another process has taken the lease, or the lease was released.
    /// - [`JournalError::Changed`] if the journal's version is not the one directly before the record's, or the record
    ///   is of another rotation.
    /// - If the new state is [`Issued`](super::State::Issued), or the rotation was finished and is not any more, the
    ///   errors of [`begin`](Self::begin) about other rotations. A process that was held up may continue a rotation
    ///   that others have finished, and whose key or sinks another rotation has claimed or replaced since.
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
    /// Returns a lease, for an implementation of [`Journal`]. It lasts for [`MAX_LEASE`] at most.
    pub fn new(rotation: RotationId, token: u64, time: Duration) -> Self {
        Self { rotation, token, time: time.min(MAX_LEASE), is_takeover: false }
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
    let time = TimeDelta::from_std(time.min(MAX_LEASE)).unwrap_or(TimeDelta::MAX);
    clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Returns the time this long ago.
fn time_before(clock: &dyn Clock, time: Duration) -> DateTime<Utc> {
    let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    clock.now().checked_sub_signed(time).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[async_trait]
impl<J: Journal + ?Sized> Journal for Arc<J> {
    async fn begin(&self, record: &Record) -> Result<(), JournalError> {
        (**self).begin(record).await
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Record>, JournalError> {
        (**self).load(id).await
    }

    async fn list(
        &self,
        listing: Listing,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        (**self).list(listing, after, limit).await
    }

    async fn find_by_mark(&self, mark: &Mark) -> Result<Option<Record>, JournalError> {
        (**self).find_by_mark(mark).await
    }

    async fn versions(&self, id: &RotationId, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        (**self).versions(id, from, limit).await
    }

    async fn prune(&self, older_than: Duration, prune: Prune) -> Result<Pruned, JournalError> {
        (**self).prune(older_than, prune).await
    }

    async fn make_room(&self) -> Result<(), JournalError> {
        (**self).make_room().await
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
