//! Where new secrets go.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring_transport::Secret;
use async_trait::async_trait;

use crate::Mark;

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
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// Where it is, for people; never a secret.
    fn name(&self) -> String;

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

    /// Empties the place of this mark; where its secret is the current one, that before it becomes current again.
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

/// A sink in memory: for tests, and for a program that hands secrets on itself.
///
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemorySink(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    current: Option<Secret>,
    pending: BTreeMap<Mark, Secret>,
    /// What was current before each promotion that is not forgotten.
    previous: BTreeMap<Mark, Option<Secret>>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sink that holds the old key's secret.
    pub fn holding(secret: impl Into<Secret>) -> Self {
        let places = Places { current: Some(secret.into()), ..Places::default() };
        Self(Arc::new(Mutex::new(places)))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        Ok(self.places().current.clone())
    }

    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        self.places().pending.insert(mark.clone(), secret.clone());
        Ok(())
    }

    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        Ok(self.places().pending.get(mark).cloned())
    }

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        let places = &mut *self.places();
        if let Some(secret) = places.pending.remove(mark) {
            let before = places.current.replace(secret);
            places.previous.insert(mark.clone(), before);
        }
        Ok(())
    }

    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        Ok(self.places().previous.get(mark).cloned().flatten())
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        let places = &mut *self.places();
        places.pending.remove(mark);
        if let Some(before) = places.previous.remove(mark) {
            places.current = before;
        }
        Ok(())
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        self.places().previous.remove(mark);
        Ok(())
    }
}
