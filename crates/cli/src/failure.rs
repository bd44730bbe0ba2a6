//! Why a command failed, and the exit code that says so.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use api_keyring::{Error, ErrorKind};
use api_keyring_rotation::{JournalError, RotateError};

/// The result of a command.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a command failed. `Display` gives whole lines for standard error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command cannot be carried out as it was given. Nothing was done.
    Usage(String),
    /// A provider failed.
    Keyring(Error),
    /// There is no rotation of that name.
    NoRotation(String),
    /// Something on this machine failed, or a check did.
    Other(String),
    /// Whoever read the output has gone. That is theirs to decide, and no failure.
    OutputClosed,
}

impl Failure {
    /// 1 failed, 2 usage, 4 authentication, 5 not found.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::NoRotation(_) => 5,
            Self::Other(_) => 1,
            Self::Keyring(error) => match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::Unsupported => 2,
                ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => 4,
                ErrorKind::NotFound => 5,
                _ => 1,
            },
        })
    }

    /// The same as `Display`, as a part of something else: in one line, without what it begins with.
    pub(crate) fn in_one_line(&self) -> String {
        self.to_string().trim_end().trim_start_matches("error: ").replace("\n  caused by:", ":")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputClosed => Ok(()),
            Self::Usage(text) | Self::NoRotation(text) | Self::Other(text) => writeln!(f, "error: {text}"),
            Self::Keyring(error) => writeln!(f, "error: {}", chain(error)),
        }
    }
}

/// An error, and below it its causes.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  caused by: {error}"));
        cause = error.source();
    }
    text
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Provider(error) => Self::Keyring(error),
            RotateError::Refused(why) => Self::Usage(why),
            RotateError::Journal(error) => error.into(),
            other => Self::Other(chain(&other)),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let text = chain(&error);
        if let JournalError::Missing(_) = error { Self::NoRotation(text) } else { Self::Other(text) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Keyring(error)
    }
}

/// Failures to write output, and of the machine below.
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
