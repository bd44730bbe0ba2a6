//! Why a rotation stopped.

use std::fmt;

use api_keyring::Error;

use super::{JournalError, SinkError};
use crate::host::shown_name;

/// Why a rotation stopped. The journal has what was done so far, and [`resume`](super::Rotator::resume) continues from
/// there.
#[derive(Debug)]
#[non_exhaustive]
pub enum RotateError {
    /// The rotator refused the request, and changed nothing.
    Refused(String),
    /// A request to the vendor failed.
    Provider(api_keyring::Error),
    /// The journal failed or refused, so the rotator did nothing more.
    Journal(JournalError),
    /// The vendor has not carried a request out yet. Resuming checks again.
    NotYet(String),
    /// The rotator was cancelled, and stopped between two steps.
    Cancelled,
    /// The sink failed.
    Sink {
        /// The sink's name.
        sink: String,
        /// Its error.
        error: SinkError,
    },
}

impl RotateError {
    /// Returns whether the same step may succeed in a moment, although nobody does anything about it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Provider(error) => may_pass(error),
            Self::Journal(error) => error.is_transient(),
            Self::Sink { .. } | Self::NotYet(_) => true,
            Self::Refused(_) | Self::Cancelled => false,
        }
    }
}

/// Returns whether a call that failed may succeed in a moment, although nobody changes a setting.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.is_transient() && !error.is_misconfigured()
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::NotYet(why) => f.write_str(why),
            Self::Cancelled => f.write_str("the rotation was cancelled. Resume it later"),
            Self::Provider(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
            Self::Sink { sink, error } => write!(f, "the destination {}: {error}", shown_name(sink)),
        }
    }
}

impl std::error::Error for RotateError {
    /// Returns the cause. `Display` does not repeat it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) | Self::NotYet(_) | Self::Cancelled => None,
            Self::Provider(error) => error.source(),
            Self::Journal(error) => error.source(),
            Self::Sink { error, .. } => error.source(),
        }
    }
}

impl From<api_keyring::Error> for RotateError {
    fn from(error: api_keyring::Error) -> Self {
        Self::Provider(error)
    }
}

impl From<JournalError> for RotateError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
