//! What became of the keys of a fleet.

use api_keyring::KeyId;

use super::run::Stage;
use crate::{JournalError, RotateError, RotationId};

/// The result for one key of a fleet.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyResult {
    /// A new key or a new secret has replaced the old one, which no longer works.
    Done,
    /// The rotation waits for the end of the grace, or for evidence of use.
    Waiting,
    /// Another rotation of the key is not finished.
    UnderWay(RotationId),
    /// The key no longer exists.
    NotFound,
    /// Another rotation has already replaced the key.
    Replaced(RotationId),
    /// The rotation was aborted or needs attention, for this reason.
    NotRotated(String),
    /// The rotation was cancelled between two steps. You can resume it.
    Unfinished,
    /// The key is your own credential, and the request does not [allow that](crate::RotateKey::even_own). The fleet left
    /// the key alone.
    OwnCredential,
    /// The rotation stopped with an error. If it had started, you can resume it.
    Failed(RotateError),
}

/// The result for a fleet.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FleetSummary {
    /// How many keys were replaced.
    pub done: usize,
    /// How many keys wait for the end of their grace, for evidence of use, or for another rotation.
    pub waiting: usize,
    /// How many keys no longer existed or were already replaced.
    pub not_found: usize,
    /// How many keys have a rotation that was cancelled between two steps. You can resume these rotations.
    pub unfinished: usize,
    /// How many keys were not rotated, or have a rotation that stopped with an error.
    pub failed: usize,
    /// How many times a key came again. The fleet rotates a key once, and counts it once.
    pub repeated: usize,
    /// Why the fleet halted and left the remaining keys alone. `None` if it did not halt.
    pub halted: Option<String>,
}

impl FleetSummary {
    /// Counts a key. If the fleet must halt because of it, returns why.
    pub(super) fn count(&mut self, key: &KeyId, result: &KeyResult, stage: Stage) -> Option<String> {
        let why = match result {
            KeyResult::Done => {
                self.done += 1;
                return None;
            }
            KeyResult::Waiting | KeyResult::UnderWay(_) => {
                self.waiting += 1;
                return None;
            }
            KeyResult::NotFound | KeyResult::Replaced(_) => {
                self.not_found += 1;
                return None;
            }
            KeyResult::Unfinished => {
                self.unfinished += 1;
                return Some("it was cancelled".to_owned());
            }
            KeyResult::OwnCredential => "it is your own credential".to_owned(),
            KeyResult::NotRotated(why) => why.clone(),
            KeyResult::Failed(error) => error.to_string(),
        };
        self.failed += 1;
        let concerns_all_keys = match result {
            KeyResult::Failed(RotateError::Provider(error)) => error.is_unauthenticated(),
            KeyResult::Failed(RotateError::Journal(error)) => error.concerns_all_rotations(),
            _ => false,
        };
        // A record that cannot be read says nothing of other keys, either.
        let is_unreadable = matches!(result, KeyResult::Failed(RotateError::Journal(JournalError::Unreadable(_))));
        (concerns_all_keys || (stage == Stage::Canary && !is_unreadable)).then(|| format!("key {key}: {why}"))
    }
}
