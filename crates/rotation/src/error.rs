//! Why a rotation does not go on.

use std::fmt;

use super::{JournalError, SinkError};

/// Why a rotation does not go on. What has been done so far is in the journal, and [`resume`](super::Rotator::resume) goes on from
/// there.
#[derive(Debug)]
#[non_exhaustive]
pub enum RotateError {
    /// It is refused, and nothing was changed.
    Refused(String),
    /// The vendor did not do what was asked.
    Provider(api_keyring::Error),
    /// The journal did not, so that nothing further was done.
    Journal(JournalError),
    /// What the vendor was asked for has not come about yet. Resuming looks again.
    NotYet(String),
    /// It was told to stop, and has between two steps.
    Cancelled,
    /// The sink did not.
    Sink {
        /// Which.
        sink: String,
        /// Why.
        error: SinkError,
    },
}

impl RotateError {
    /// Whether it may be otherwise in a moment.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_transient(),
            Self::Sink { .. } | Self::NotYet(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::NotYet(why) => f.write_str(why),
            Self::Cancelled => f.write_str("the rotation was told to stop: resume it"),
            Self::Provider(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
            Self::Sink { sink, error } => write!(f, "the sink {sink}: {error}"),
        }
    }
}

impl std::error::Error for RotateError {
    /// The cause of what `Display` tells.
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
