//! Stores that know nothing but reading, writing and removing, made into sinks.

use std::fmt;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

use super::{Sink, SinkError};

/// A place in a [`Store`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// Where those who use the key find its secret.
    Current,
    /// Where the secret of the key with this mark waits until it is current.
    Pending(Mark),
    /// Where the secret is kept that was current before the one of this mark.
    Previous(Mark),
}

impl fmt::Display for Slot {
    /// `current`, `pending-MARK`, `previous-MARK`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Pending(mark) => write!(f, "pending-{mark}"),
            Self::Previous(mark) => write!(f, "previous-{mark}"),
        }
    }
}

/// Keeps a [`Store`] locked until it is dropped.
pub type StoreLock = Box<dyn Send>;

/// Secrets by name: a folder, a vault. Every store is a [`Sink`].
///
/// Each call has to be all or nothing, and to last once it has returned: nobody ever reads a part of a secret.
///
/// ```
/// use api_keyring::Secret;
/// use api_keyring_rotation::{Slot, Sink, SinkError, Store};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// #[async_trait::async_trait]
/// impl Store for Vault {
///     fn address(&self) -> String {
///         "vault:secret/ci".to_owned()
///     }
///     async fn probe(&self) -> Result<(), SinkError> {
///         Ok(()) // Ask whether secret/ci may be written.
///     }
///     async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
///         Ok(None) // Read secret/ci/{slot}.
///     }
///     async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
///         Ok(()) // Write it.
///     }
///     async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
///         Ok(()) // Remove it; one that is not there is no error.
///     }
/// }
///
/// assert_eq!(Vault.name(), "vault:secret/ci");
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Where it is, such as `vault:secret/ci`; never a secret. It is the sink's [`name`](Sink::name).
    fn address(&self) -> String;

    /// Makes sure that a secret could be written now, and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When it could not.
    async fn probe(&self) -> Result<(), SinkError>;

    /// What is in a place, if anything.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError>;

    /// Puts a secret into a place, instead of what is there.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError>;

    /// Empties a place. One that is empty already is no error.
    ///
    /// # Errors
    ///
    /// When it cannot be emptied.
    async fn remove(&self, slot: &Slot) -> Result<(), SinkError>;

    /// Keeps everybody else from writing until what it returns is dropped, where the store can do that. Without it, a rotator
    /// that is held up between two writes, for longer than its lease lasts, may disturb what another has done since.
    ///
    /// # Errors
    ///
    /// When somebody else is writing and does not end soon.
    async fn lock(&self) -> Result<StoreLock, SinkError> {
        Ok(Box::new(()))
    }
}

/// What is kept of the current secret where there was none. No vendor's secret is that short.
const NONE: &str = "none";

#[async_trait]
impl<S: Store> Sink for S {
    fn name(&self) -> String {
        self.address()
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.probe().await
    }

    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        self.read(&Slot::Current).await
    }

    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        self.write(&Slot::Pending(mark.clone()), secret).await
    }

    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        self.read(&Slot::Pending(mark.clone())).await
    }

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        let pending = Slot::Pending(mark.clone());
        let Some(secret) = self.read(&pending).await? else { return Ok(()) };
        let current = self.read(&Slot::Current).await?;
        // It is current already where whoever promoted it was cut off before the place was emptied.
        if current.as_ref() != Some(&secret) {
            let previous = current.unwrap_or_else(|| Secret::new(NONE));
            self.write(&Slot::Previous(mark.clone()), &previous).await?;
            self.write(&Slot::Current, &secret).await?;
        }
        self.remove(&pending).await
    }

    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        let previous = self.read(&Slot::Previous(mark.clone())).await?;
        Ok(previous.filter(|secret| secret.expose() != NONE))
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        let previous = Slot::Previous(mark.clone());
        match self.read(&previous).await? {
            None => {}
            Some(secret) if secret.expose() == NONE => self.remove(&Slot::Current).await?,
            Some(secret) => self.write(&Slot::Current, &secret).await?,
        }
        self.remove(&Slot::Pending(mark.clone())).await?;
        self.remove(&previous).await
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        self.remove(&Slot::Previous(mark.clone())).await
    }
}
