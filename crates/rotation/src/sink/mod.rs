//! Where new secrets go.

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

/// Where a key's secret is kept for those who use it: a file, an entry in a vault.
///
/// A new secret is first [put](Self::put) beside the current one, in a place of its own that bears the mark of its key. Only
/// when it has been seen to work does it become the current one, by [`promote`](Self::promote): whoever reads the sink never
/// finds a secret that does not work yet.
///
/// What an implementation has to see to, whatever happens to the process or the machine in between:
///
/// - A call that returns has had its effect for good. One that fails may or may not have had it.
/// - Every call can be made again, also by another process, and then changes nothing more.
/// - Each is all or nothing: nobody ever reads a part of a secret, or none where there was one.
///
/// Where secrets are read, written and removed by name, implement [`Store`](super::Store) instead.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// Where it is, such as `file:/etc/ci.key`; never a secret. It is written down, and whoever resumes has to come with a
    /// sink of the same name.
    fn name(&self) -> String;

    /// The names of all sinks that this one consists of: its own, unless there are several.
    fn names(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// The sinks that this one consists of; none where it is one place.
    fn parts(&self) -> Vec<Arc<dyn Sink>> {
        Vec::new()
    }

    /// Makes sure that a secret could be put here now. Nothing is left behind.
    ///
    /// # Errors
    ///
    /// When it could not.
    async fn check(&self) -> Result<(), SinkError>;

    /// The secret that those who use the key find here; `None` if there never was one.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    async fn current(&self) -> Result<Option<Secret>, SinkError>;

    /// Puts a secret into the place of this mark.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError>;

    /// The secret in the place of this mark, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError>;

    /// Makes the secret in the place of this mark the current one, and keeps the one before it. Does nothing where the place is
    /// empty.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    async fn promote(&self, mark: &Mark) -> Result<(), SinkError>;

    /// The secret that was current before the one of this mark was promoted, while it is kept.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError>;

    /// Empties the place of this mark. Where its secret was promoted, the one before becomes current again, whatever is current
    /// by then.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError>;

    /// Forgets the secret that was current before the one of this mark.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError>;
}

/// The single places that a sink consists of: itself, unless there are several.
pub(super) fn parts_of(sink: &Arc<dyn Sink>) -> Vec<Arc<dyn Sink>> {
    match sink.parts() {
        parts if parts.is_empty() => vec![Arc::clone(sink)],
        parts => parts,
    }
}

/// Why a sink does not do what it is asked. It holds no secret.
#[derive(Debug)]
pub struct SinkError {
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SinkError {
    /// What went wrong, in a few words.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), source: None }
    }

    /// Adds the cause, which must not hold a secret.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, with the name of the sink that it happened at.
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
