//! Why a command fails, and the exit code for it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use api_keyring::{Error, ErrorKind};
use api_keyring_rotation::{JournalError, RotateError};

/// The result of a command.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a command fails. `Display` gives the message and its causes in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the environment is wrong. The command changed nothing.
    Usage(String),
    /// A provider reports an error.
    Keyring(Error),
    /// The journal has no rotation with that id.
    RotationNotFound(String),
    /// Somebody cancelled the command. What has begun can be continued.
    Unfinished(String),
    /// Something on this machine failed, or a check did.
    Other(String),
    /// The same, with its causes.
    Caused(Vec<String>),
    /// The command finished its work, but cannot print the result.
    Unprintable(io::Error),
    /// The reader closed standard output, which is not a failure.
    OutputClosed,
}

impl Failure {
    /// Returns 1 for failed, 2 for wrong usage, 3 for unfinished, 4 for authentication or permission, and 5 for not found.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::Unfinished(_) => 3,
            Self::RotationNotFound(_) => 5,
            Self::Other(_) | Self::Caused(_) | Self::Unprintable(_) => 1,
            Self::Keyring(error) => match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::Unsupported => 2,
                ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => 4,
                ErrorKind::NotFound => 5,
                _ => 1,
            },
        })
    }

    /// Returns the message and its causes in one line, for use inside another text.
    pub(crate) fn in_one_line(&self) -> String {
        self.texts().join(": ")
    }

    /// Returns the message, followed by its causes.
    pub(crate) fn texts(&self) -> Vec<String> {
        match self {
            Self::OutputClosed => vec!["standard output is closed".to_owned()],
            Self::Usage(text) | Self::RotationNotFound(text) | Self::Unfinished(text) | Self::Other(text) => {
                vec![text.clone()]
            }
            Self::Unprintable(error) => {
                vec![format!("cannot print the result: {error}. The command itself finished its work")]
            }
            Self::Caused(texts) => texts.clone(),
            Self::Keyring(error) => with_causes(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_one_line())
    }
}

/// Returns the message of an error, followed by its causes.
fn with_causes(error: &dyn StdError) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Provider(error) => Self::Keyring(error),
            RotateError::Refused(why) => Self::Usage(why),
            RotateError::Journal(error) => error.into(),
            RotateError::Cancelled => Self::Unfinished(error.to_string()),
            other => Self::Caused(with_causes(&other)),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Missing(_) => Self::RotationNotFound(error.to_string()),
            other => Self::Caused(with_causes(&other)),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Keyring(error)
    }
}

/// Covers output that cannot be written, and failures of the operating system.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { io::Error::from(error).into() } else { Self::Other(error.to_string()) }
    }
}
