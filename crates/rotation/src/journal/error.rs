//! Why a call to a journal failed.

use std::error::Error as StdError;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::UnreadableRecord;
use crate::RotationId;
use crate::host::shown_name;

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
    /// The journal has the rotation, but this program cannot read its record. It blocks only its own keys and sinks.
    Unreadable(Box<UnreadableRecord>),
    /// The journal cannot be read or written for the moment: it is busy, or its disk is full or failed.
    Transient(Box<dyn StdError + Send + Sync>),
    /// The journal cannot be read or written.
    Unavailable(Box<dyn StdError + Send + Sync>),
}

impl JournalError {
    /// Returns whether the same call may succeed in a moment, although nobody does anything about it.
    ///
    /// A write that failed this way may have had its effect.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    /// Returns whether no rotation can be recorded, whatever its key.
    pub(crate) fn concerns_all_rotations(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::Unavailable(_))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay(id) => {
                write!(f, "the key belongs to the unfinished rotation {id}: resume or abort that rotation first")
            }
            Self::Replaced(id) => write!(f, "rotation {id} has already replaced the key. Rotate its new key instead"),
            Self::SinkInUse { sink, by } => {
                let sink = shown_name(sink);
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
            Self::Unreadable(record) => record.fmt(f),
            Self::Transient(_) => f.write_str(
                "the journal cannot be used for the moment, and no rotation continues without it. Check whether its disk \
                 is full, and try again",
            ),
            Self::Unavailable(_) => {
                f.write_str("the journal cannot be used, and no rotation continues without it. Check `--journal`")
            }
        }
    }
}

impl StdError for JournalError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Transient(source) | Self::Unavailable(source) => Some(&**source),
            _ => None,
        }
    }
}
