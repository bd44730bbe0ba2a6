//! Stores, which read, write and remove secrets by name. Every store is a sink.

use std::fmt;
use std::sync::Arc;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

use super::{Held, Room, Sink, SinkError};
use crate::host::{Host, name_on};

/// A place in a [`Store`] that can hold one secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// Holds the secret in use. The key's users read it here.
    Current,
    /// Holds the secret of the key with this mark until it is promoted.
    Pending(Mark),
    /// Holds the secret that was current before the one of this mark.
    Previous(Mark),
}

impl fmt::Display for Slot {
    /// Writes `current`, `pending-MARK` or `previous-MARK`.
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

/// Stores secrets by name, for example in a folder or in a vault. Every store is a [`Sink`].
///
/// Every call must be atomic, so that a reader never finds a part of a secret. When a call returns, its effect must be
/// permanent.
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
///         Ok(()) // Check that secret/ci can be written.
///     }
///     async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
///         Ok(None) // Read secret/ci/{slot}.
///     }
///     async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
///         Ok(()) // Write it.
///     }
///     async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
///         Ok(()) // Remove it. A slot that is empty already is not an error.
///     }
/// }
///
/// assert_eq!(Vault.name(), "vault:secret/ci");
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Returns the store's address, such as `vault:secret/ci`, from which the sink's [`name`](Sink::name) is made. It
    /// must not contain a secret.
    fn address(&self) -> String;

    /// Returns the host whose programs alone can reach the store. The default is `None`: every host can reach it.
    ///
    /// The sink's [`name`](Sink::name) then has the host in it.
    fn host(&self) -> Option<&Host> {
        None
    }

    /// Checks that a secret could be written now: does once what a write does. Changes nothing, and leaves nothing
    /// behind.
    ///
    /// # Errors
    ///
    /// If no secret could be written.
    async fn probe(&self) -> Result<(), SinkError>;

    /// Does what [`probe`](Self::probe) does, and keeps the room that a write needs, as [`Sink::reserve`] does. The
    /// default keeps nothing.
    ///
    /// # Errors
    ///
    /// If no secret could be written.
    async fn reserve(&self) -> Result<Room, SinkError> {
        self.probe().await?;
        Ok(Box::new(()))
    }

    /// Returns the secret in a slot. Returns `None` if the slot is empty.
    ///
    /// # Errors
    ///
    /// If the slot cannot be read.
    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError>;

    /// Returns whether the current slot exists, although it holds no secret, as an empty file does. Such a slot gets an
    /// empty text if the secret is withdrawn, and is not removed. The default is `false`.
    ///
    /// # Errors
    ///
    /// If the slot cannot be read.
    async fn is_blank(&self) -> Result<bool, SinkError> {
        Ok(false)
    }

    /// Returns what the store holds, and what else a rotation compares, as [`Sink::look`] does. The default reads the
    /// current slot.
    ///
    /// # Errors
    ///
    /// If the slot cannot be read.
    async fn look(&self) -> Result<Held, SinkError> {
        Ok(Held { secret: self.read(&Slot::Current).await?, ..Held::default() })
    }

    /// Returns this store as a sink whose writes fail if its access has changed, as [`Sink::expecting`] does. The default
    /// is `None`.
    fn expecting(&self, access: &str) -> Option<Arc<dyn Sink>> {
        let _ = access;
        None
    }

    /// Puts a secret into a slot, and replaces a secret that is already there.
    ///
    /// # Errors
    ///
    /// If the slot cannot be written.
    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError>;

    /// Empties a slot. A slot that is empty already is not an error.
    ///
    /// # Errors
    ///
    /// If the slot cannot be emptied.
    async fn remove(&self, slot: &Slot) -> Result<(), SinkError>;

    /// Locks the store against other writers until the returned lock is dropped.
    ///
    /// The default locks nothing. Without a lock, a rotator that is held up between two writes for longer than its
    /// lease may overwrite what another rotator has written in the meantime.
    ///
    /// # Errors
    ///
    /// If another writer keeps the store locked for too long.
    async fn lock(&self) -> Result<StoreLock, SinkError> {
        Ok(Box::new(()))
    }
}

/// What the previous slot holds if the current slot did not exist.
const NOTHING: &str = "none";

/// What the previous slot holds if the current slot held the text of [`NOTHING`]. No token has a blank.
const THE_WORD_NONE: &str = "the word none";

/// What the previous slot holds if the current slot was [blank](Store::is_blank).
const BLANK: &str = "an empty text";

/// What was in the current slot before a promotion.
enum Before {
    Absent,
    Blank,
    Secret(Secret),
}

impl Before {
    /// Reads what the previous slot holds.
    fn from_slot(previous: Secret) -> Self {
        match previous.expose() {
            NOTHING => Self::Absent,
            BLANK => Self::Blank,
            THE_WORD_NONE => Self::Secret(Secret::new(NOTHING)),
            _ => Self::Secret(previous),
        }
    }

    /// Returns what to put into the previous slot.
    fn into_slot(self) -> Secret {
        match self {
            Self::Absent => Secret::new(NOTHING),
            Self::Blank => Secret::new(BLANK),
            Self::Secret(secret) if secret.expose() == NOTHING => Secret::new(THE_WORD_NONE),
            Self::Secret(secret) => secret,
        }
    }

    fn secret(self) -> Option<Secret> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Absent | Self::Blank => None,
        }
    }
}

#[async_trait]
impl<S: Store> Sink for S {
    fn name(&self) -> String {
        name_on(Store::host(self), &self.address())
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.probe().await
    }

    async fn reserve(&self) -> Result<Room, SinkError> {
        Store::reserve(self).await
    }

    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        self.read(&Slot::Current).await
    }

    async fn look(&self) -> Result<Held, SinkError> {
        Store::look(self).await
    }

    fn expecting(&self, access: &[Option<String>]) -> Option<Arc<dyn Sink>> {
        Store::expecting(self, access.first()?.as_ref()?)
    }

    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        let _lock = self.lock().await?;
        self.write(&Slot::Pending(mark.clone()), secret).await
    }

    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        self.read(&Slot::Pending(mark.clone())).await
    }

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        let pending = Slot::Pending(mark.clone());
        if self.read(&pending).await?.is_none() {
            return Ok(());
        }
        let _lock = self.lock().await?;
        let Some(secret) = self.read(&pending).await? else { return Ok(()) };
        let current = self.read(&Slot::Current).await?;
        // A process that was cut off may have promoted the secret without emptying the pending slot.
        if current.as_ref() != Some(&secret) {
            let before = match current {
                Some(secret) => Before::Secret(secret),
                None if self.is_blank().await? => Before::Blank,
                None => Before::Absent,
            };
            self.write(&Slot::Previous(mark.clone()), &before.into_slot()).await?;
            self.write(&Slot::Current, &secret).await?;
        }
        self.remove(&pending).await
    }

    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        let previous = self.read(&Slot::Previous(mark.clone())).await?;
        Ok(previous.and_then(|previous| Before::from_slot(previous).secret()))
    }

    async fn keeps_previous(&self, mark: &Mark) -> Result<bool, SinkError> {
        Ok(self.read(&Slot::Previous(mark.clone())).await?.is_some())
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        let (pending, previous) = (Slot::Pending(mark.clone()), Slot::Previous(mark.clone()));
        // Without a lock, so that a store that cannot be written is no obstacle.
        if self.read(&pending).await?.is_none() && self.read(&previous).await?.is_none() {
            return Ok(());
        }
        let _lock = self.lock().await?;
        if let Some(kept) = self.read(&previous).await? {
            let current = self.read(&Slot::Current).await?;
            match Before::from_slot(kept) {
                Before::Secret(secret) if current.as_ref() == Some(&secret) => {}
                Before::Secret(secret) => self.write(&Slot::Current, &secret).await?,
                _ if current.is_none() => {}
                Before::Blank => self.write(&Slot::Current, &Secret::new("")).await?,
                Before::Absent => self.remove(&Slot::Current).await?,
            }
        }
        self.remove(&pending).await?;
        self.remove(&previous).await
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        let previous = Slot::Previous(mark.clone());
        if self.read(&previous).await?.is_none() {
            return Ok(());
        }
        let _lock = self.lock().await?;
        self.remove(&previous).await
    }
}
