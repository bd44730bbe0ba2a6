//! Secrets that do not work yet, and ended secrets that still work.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::fault::Warmup;
use crate::permission::Caller;

/// The secrets whose state has not reached every part of the service.
///
/// A secret is identified by itself, or by its key's id with the secret's version.
#[derive(Default)]
pub(crate) struct Propagation {
    warming: HashMap<String, Warming>,
    lingering: HashMap<String, Lingering>,
}

/// How the service treats the next use of a new secret.
enum Warming {
    /// The service refuses it this number of times.
    Refused(u64),
    /// The service accepts and refuses it in turn.
    Alternating { works: bool },
}

struct Lingering {
    caller: Caller,
    uses: u64,
    expires: Option<DateTime<Utc>>,
    /// Whether another key has got the id of the caller's key since.
    is_id_reused: bool,
}

impl Propagation {
    /// Sets how a new secret starts to work.
    pub(crate) fn warm(&mut self, secret: &str, warmup: Option<Warmup>) {
        if let Some(warmup) = warmup {
            let warming = match warmup {
                Warmup::Late(uses) => Warming::Refused(uses),
                Warmup::Flaky => Warming::Alternating { works: false },
            };
            self.warming.insert(secret.to_owned(), warming);
        }
    }

    /// Returns whether a secret that has not ended works this time. The call counts as a use.
    pub(crate) fn accepts(&mut self, secret: &str) -> bool {
        match self.warming.get_mut(secret) {
            None => true,
            Some(Warming::Refused(0)) => {
                self.warming.remove(secret);
                true
            }
            Some(Warming::Refused(uses)) => {
                *uses -= 1;
                false
            }
            Some(Warming::Alternating { works }) => {
                *works = !*works;
                !*works
            }
        }
    }

    /// Lets an ended secret work `uses` more times, until `expires`.
    pub(crate) fn linger(&mut self, secret: &str, caller: Caller, uses: u64, expires: Option<DateTime<Utc>>) {
        self.warming.remove(secret);
        if uses > 0 {
            self.lingering.insert(secret.to_owned(), Lingering { caller, uses, expires, is_id_reused: false });
        }
    }

    /// Ends all lingering secrets of a deleted key.
    pub(crate) fn forget(&mut self, id: &str) {
        self.lingering.retain(|_, lingering| lingering.caller.id != id || lingering.is_id_reused);
    }

    /// Separates the lingering secrets of a deleted key from the new key that gets its id.
    pub(crate) fn reuse(&mut self, id: &str) {
        self.lingering.values_mut().filter(|lingering| lingering.caller.id == id).for_each(|lingering| {
            lingering.is_id_reused = true;
        });
    }

    /// Returns the owner of an ended secret, if the secret still works. The call counts as a use.
    pub(crate) fn lingering(&mut self, secret: &str, now: DateTime<Utc>) -> Option<Caller> {
        let lingering = self.lingering.get_mut(secret)?;
        if lingering.is_over(now) {
            self.lingering.remove(secret);
            return None;
        }
        lingering.uses -= 1;
        Some(lingering.caller.clone())
    }

    /// Returns how many ended secrets of this key still work.
    pub(crate) fn count_lingering(&self, id: &str, now: DateTime<Utc>) -> usize {
        let is_of_key = |lingering: &&Lingering| lingering.caller.id == id && !lingering.is_id_reused;
        self.lingering.values().filter(is_of_key).filter(|lingering| !lingering.is_over(now)).count()
    }
}

impl Lingering {
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.uses == 0 || self.expires.is_some_and(|expires| expires <= now)
    }
}
