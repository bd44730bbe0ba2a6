//! Sinks: where secrets are stored for the programs that use them.

#[cfg(feature = "sinks")]
pub(super) mod address;
#[cfg(feature = "sinks")]
pub(super) mod command;
#[cfg(feature = "sinks")]
pub(super) mod file;
pub(super) mod memory;
pub(super) mod sink_set;
pub(super) mod store;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

use crate::host::shown_name;

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
    /// Returns the sink's name, such as `vault:secret/ci`. It must not contain a secret.
    ///
    /// The journal records the name. To resume a rotation you need a sink with the same name. The name of a sink that
    /// belongs to one host has the [host](crate::Host) in it, as in `file@HOST:/etc/ci.key`, so that a file on another
    /// host has another name.
    fn name(&self) -> String;

    /// Returns the names of all sinks in this one. A single sink returns its own name.
    fn names(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// Returns the sinks in this one. A single sink returns an empty list.
    fn parts(&self) -> Vec<Arc<dyn Sink>> {
        Vec::new()
    }

    /// Checks that a secret could be put here now: does once what putting and promoting a secret does. Changes nothing,
    /// and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// If no secret could be put here.
    async fn check(&self) -> Result<(), SinkError>;

    /// Does what [`check`](Self::check) does, and keeps the room that a secret needs, such as space on a disk, until the
    /// returned value is dropped. The default keeps nothing.
    ///
    /// # Errors
    ///
    /// If no secret could be put here.
    async fn reserve(&self) -> Result<Room, SinkError> {
        self.check().await?;
        Ok(Box::new(()))
    }

    /// Returns the current secret, which the key's users find here. Returns `None` if the sink is empty.
    ///
    /// # Errors
    ///
    /// If the secret cannot be read.
    async fn current(&self) -> Result<Option<Secret>, SinkError>;

    /// Returns what the sink holds, and what else a rotation compares before it writes. The default is
    /// [`current`](Self::current).
    ///
    /// # Errors
    ///
    /// If the sink cannot be read.
    async fn look(&self) -> Result<Held, SinkError> {
        Ok(Held { secret: self.current().await?, ..Held::default() })
    }

    /// Returns this sink as one whose writes fail if its [access](Held::access) has changed. `access` has one entry for
    /// each of its parts, or one for the sink itself if it has no parts. Returns `None` if the sink knows nothing of
    /// access.
    fn expecting(&self, access: &[Option<String>]) -> Option<Arc<dyn Sink>> {
        let _ = access;
        None
    }

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

    /// Makes the pending secret of this mark the current one, and keeps the secret that was current before. Writes
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

    /// Returns whether the sink keeps what was current before the secret of this mark was promoted, even if that was no
    /// secret. The default looks for a [previous](Self::previous) secret.
    ///
    /// # Errors
    ///
    /// If the sink cannot be read.
    async fn keeps_previous(&self, mark: &Mark) -> Result<bool, SinkError> {
        Ok(self.previous(mark).await?.is_some())
    }

    /// Empties the pending slot of this mark. If its secret was promoted, makes the previous secret the current one
    /// again, regardless of which secret is current by then. Does not write a secret that is already there.
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

/// The room for a secret, until it is dropped.
pub type Room = Box<dyn Send + Sync>;

/// What a sink holds, as a rotation compares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The current secret; `None` if the sink is empty.
    pub secret: Option<Secret>,
    /// Why the sink may not be written, although it can be read: it does not hold one secret and nothing else. The text
    /// must not contain a secret.
    pub problem: Option<String>,
    /// Who may use what the sink holds, as a text that changes if that changes; `None` if the sink does not know.
    pub access: Option<String>,
}

impl Held {
    /// Returns what a sink holds, and who may use it.
    pub fn new(secret: Option<Secret>, access: impl Into<String>) -> Self {
        Self { secret, access: Some(access.into()), problem: None }
    }

    /// Returns why a sink of this name may not be written: it holds anything but one secret.
    pub(super) fn problem_at(&self, name: &str) -> Option<String> {
        let is_odd = self.secret.as_ref().is_some_and(|secret| !secret.is_token());
        let odd = || is_odd.then(|| format!("{name} does not hold one secret and nothing else"));
        self.problem.clone().or_else(odd)
    }
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

    /// Adds what to do next: a sentence without a full stop.
    pub(super) fn advise(self, hint: &str) -> Self {
        Self { problem: format!("{}. {hint}", self.problem), source: self.source }
    }

    /// Adds the name of the sink in which the error happened.
    fn at(self, sink: &Arc<dyn Sink>) -> Self {
        Self { problem: format!("{}: {}", shown_name(&sink.name()), self.problem), source: self.source }
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

    async fn reserve(&self) -> Result<Room, SinkError> {
        (**self).reserve().await
    }

    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        (**self).current().await
    }

    async fn look(&self) -> Result<Held, SinkError> {
        (**self).look().await
    }

    fn expecting(&self, access: &[Option<String>]) -> Option<Arc<dyn Sink>> {
        (**self).expecting(access)
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

    async fn keeps_previous(&self, mark: &Mark) -> Result<bool, SinkError> {
        (**self).keeps_previous(mark).await
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        (**self).withdraw(mark).await
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        (**self).forget_previous(mark).await
    }
}
