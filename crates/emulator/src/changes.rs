//! The record of changes to the keys.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use crate::lock;
use crate::route::Provider;
use crate::secret;

/// One change of a service's state: what happened, to which key, and on whose request.
///
/// It shows what really happened, even if the client got another answer. It contains no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StateChange {
    /// When the change happened, by the emulator's clock.
    pub time: DateTime<Utc>,
    /// The service.
    pub provider: Provider,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The id of the key. If a regenerate has replaced the key, this is the new key's id.
    pub key_id: String,
    /// The [number](crate::ExistingKey::serial) of the key, which tells it from another key that has had its id.
    pub serial: u64,
    /// The key's name after the change, cut to 256 characters.
    pub name: Option<String>,
    /// The id of the old key, if a regenerate has replaced and thereby deleted it.
    pub replaces: Option<String>,
    /// The id of the key that authenticated the request; `None` if the emulator's owner made the change without one.
    pub by: Option<String>,
}

/// The kinds of changes to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The key existed from the start, or the emulator's owner added it without a request.
    Seeded,
    /// A request created the key.
    Created,
    /// A request changed the key's metadata.
    Updated,
    /// The key got a new secret, or it replaced the key that [`StateChange::replaces`] names.
    Regenerated,
    /// A request revoked the key. Revoking it again is not a change.
    Revoked,
    /// A request deleted the key.
    Deleted,
}

impl ChangeKind {
    /// Returns the kind in lower case, such as `created`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seeded => "seeded",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Regenerated => "regenerated",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many characters of a key's name the record keeps.
const MAX_NAME: usize = 256;

/// The latest changes of both services.
pub(crate) struct Changes {
    changes: Mutex<VecDeque<StateChange>>,
    limit: usize,
}

impl Changes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { changes: Mutex::default(), limit }
    }

    pub(crate) fn push(&self, mut change: StateChange) {
        if self.limit == 0 {
            return;
        }
        // The client chooses the name, so it may contain a secret. Mask before cutting, because half a secret does not
        // look like one.
        change.name = change.name.map(|name| secret::redact(&name).chars().take(MAX_NAME).collect());
        let mut changes = lock(&self.changes);
        while changes.len() >= self.limit {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    pub(crate) fn to_vec(&self) -> Vec<StateChange> {
        lock(&self.changes).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.changes).clear();
    }
}
