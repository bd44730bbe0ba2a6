//! What has become of the keys.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use crate::lock;
use crate::route::Provider;
use crate::secret;

/// One change of a service's state: what happened to which key, and who asked for it.
///
/// It tells what really happened, whatever the client was answered, and holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StateChange {
    /// When it happened, by the emulator's clock.
    pub time: DateTime<Utc>,
    /// The service.
    pub provider: Provider,
    /// What happened.
    pub kind: ChangeKind,
    /// The id of the key; of the new one, where a regenerate has replaced a key.
    pub key_id: String,
    /// The key's name after the change, no more than 256 characters of it.
    pub name: Option<String>,
    /// The id of the key that a regenerate has replaced, and that is gone therefore.
    pub replaces: Option<String>,
    /// The id of the key whose holder asked for it; `None` where nobody did, but the emulator's owner.
    pub by: Option<String>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was there from the start, or was added without a request.
    Seeded,
    /// It was made.
    Created,
    /// Its metadata were changed.
    Updated,
    /// It got a new secret; or it took an old key's place, which [`StateChange::replaces`] names.
    Regenerated,
    /// It was revoked. Revoking it again is no change.
    Revoked,
    /// It was deleted.
    Deleted,
}

impl ChangeKind {
    /// The kind in lower case, such as `created`.
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

/// How much of a key's name is kept.
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
        // A name is the client's choice, so it can be anything.
        // Cut after it was searched: half a secret looks like none.
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
