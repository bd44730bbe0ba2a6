//! Sinks: where secrets are stored for the programs that use them.

#[cfg(feature = "sinks")]
pub(super) mod address;
#[cfg(feature = "sinks")]
pub(super) mod command;
#[cfg(feature = "sinks")]
mod dotenv;
#[cfg(feature = "sinks")]
pub(super) mod file;
pub(super) mod memory;
#[cfg(feature = "sinks")]
pub(super) mod secret_file;
pub(super) mod sink_set;
pub(super) mod store;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

/// Stores a key's secret for the programs that use it, for example in a file or in a vault.
///
/// A rotation first [puts](Self::put) a new secret into a pending slot, which the key's mark names. Once the rotation
/// has seen the secret work, [`promote`](Self::promote) makes it the current one, so the programs that read the sink
/// never find a secret that does not work yet. In place, the rotation promotes first.
///
/// An implementation guarantees the following, even if the process or the machine fails at any point:
///
/// - The effect of a call that succeeds is permanent. A call that fails may or may not have had its effect.
/// - Every call can be repeated, even by another process. The repetition changes nothing.
/// - Every call is atomic. A reader never finds a part of a secret. While a call replaces a secret, the reader never
///   finds the slot empty.
///
/// If you read, write and remove secrets by name, implement [`Store`](super::Store) instead.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// Returns the sink's name, such as `file:/etc/ci.key`. It must not contain a secret.
    ///
    /// The journal records the name. To resume a rotation you need a sink with the same name.
    fn name(&self) -> String;

    /// Returns the names of all sinks in this one. A single sink returns its own name.
    fn names(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// Returns the sinks in this one. A single sink returns an empty list.
    fn parts(&self) -> Vec<Arc<dyn Sink>> {
        Vec::new()
    }

    /// Checks that a secret could be put here now. Leaves nothing behind.
    ///
    /// # Errors
    ///
    /// If no secret could be put here.
    async fn check(&self) -> Result<(), SinkError>;

    /// Returns the current secret, which the key's users find here. Returns `None` if the sink is empty.
    ///
    /// # Errors
    ///
    /// If the secret cannot be read.
    async fn current(&self) -> Result<Option<Secret>, SinkError>;

    /// Puts a secret into the pending slot of this mark.
    ///
    /// # Errors
    ///
    /// If the secret cannot be written.
    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError>;

    /// Returns the secret in the pending slot of this mark, if there is one.
    ///
    /// # Errors
    ///
    /// If the secret cannot be read.
    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError>;

    /// Makes the pending secret of this mark the current one, and keeps the secret that was current before. Does
    /// nothing if the pending slot is empty.
    ///
    /// # Errors
    ///
    /// If the sink cannot be written.
    async fn promote(&self, mark: &Mark) -> Result<(), SinkError>;

    /// Returns the secret that was current before the one of this mark was promoted, as long as the sink keeps it.
    ///
    /// # Errors
    ///
    /// If the secret cannot be read.
    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError>;

    /// Empties the pending slot of this mark. If its secret was promoted, makes the previous secret the current one
    /// again, regardless of which secret is current by then.
    ///
    /// # Errors
    ///
    /// If the sink cannot be written.
    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError>;

    /// Removes the secret that was current before the one of this mark.
    ///
    /// # Errors
    ///
    /// If the sink cannot be written.
    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError>;
}

/// Returns the single sinks in a sink: its parts, or the sink itself if it has none.
pub(super) fn parts_of(sink: &Arc<dyn Sink>) -> Vec<Arc<dyn Sink>> {
    match sink.parts() {
        parts if parts.is_empty() => vec![Arc::clone(sink)],
        parts => parts,
    }
}

/// Why a call to a sink failed. It holds no secret.
#[derive(Debug)]
pub struct SinkError {
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SinkError {
    /// Returns an error with a short description of the problem, which must not hold a secret.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), source: None }
    }

    /// Adds the cause, which must not hold a secret.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the name of the sink in which the error happened.
    fn at(self, sink: &Arc<dyn Sink>) -> Self {
        Self { problem: format!("{}: {}", sink.name(), self.problem), source: self.source }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl StdError for SinkError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn names(&self) -> Vec<String> {
        (**self).names()
    }

    fn parts(&self) -> Vec<Arc<dyn Sink>> {
        (**self).parts()
    }

    async fn check(&self) -> Result<(), SinkError> {
        (**self).check().await
    }

    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        (**self).current().await
    }

    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        (**self).put(mark, secret).await
    }

    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        (**self).pending(mark).await
    }

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        (**self).promote(mark).await
    }

    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        (**self).previous(mark).await
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        (**self).withdraw(mark).await
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        (**self).forget_previous(mark).await
    }
}
