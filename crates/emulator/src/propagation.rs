//! Secrets that do not work yet, and secrets that still do.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::fault::Warmup;
use crate::permission::Caller;

/// The secrets whose state has not got through to every part of the service. They go by whatever tells one secret from
/// another: the secret itself, or the key with the secret's version.
#[derive(Default)]
pub(crate) struct Propagation {
    warming: HashMap<String, Warming>,
    lingering: HashMap<String, Lingering>,
}

/// How a new secret will answer to its next use.
enum Warming {
    /// Refused so many times.
    Refused(u64),
    /// Refused or not, and the other way round the next time.
    Alternating { works: bool },
}

struct Lingering {
    caller: Caller,
    uses: u64,
    expires: Option<DateTime<Utc>>,
}

impl Propagation {
    /// The secret is new, and begins to work like this.
    pub(crate) fn warm(&mut self, secret: &str, warmup: Option<Warmup>) {
        if let Some(warmup) = warmup {
            let warming = match warmup {
                Warmup::Late(uses) => Warming::Refused(uses),
                Warmup::Flaky => Warming::Alternating { works: false },
            };
            self.warming.insert(secret.to_owned(), warming);
        }
    }

    /// Whether a new secret works this time. Asking counts as a use.
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

    /// The secret has ended, but works for so many uses more, unless it expires.
    pub(crate) fn linger(&mut self, secret: &str, caller: Caller, uses: u64, expires: Option<DateTime<Utc>>) {
        self.warming.remove(secret);
        if uses > 0 {
            self.lingering.insert(secret.to_owned(), Lingering { caller, uses, expires });
        }
    }

    /// A key is gone, and with it every secret that it ever had.
    pub(crate) fn forget(&mut self, id: &str) {
        self.lingering.retain(|_, lingering| lingering.caller.id != id);
    }

    /// Whose the ended secret is, if it still works. Asking counts as a use.
    pub(crate) fn lingering(&mut self, secret: &str, now: DateTime<Utc>) -> Option<Caller> {
        let lingering = self.lingering.get_mut(secret)?;
        if lingering.is_over(now) {
            self.lingering.remove(secret);
            return None;
        }
        lingering.uses -= 1;
        Some(lingering.caller.clone())
    }

    /// How many ended secrets of this key still work.
    pub(crate) fn count_lingering(&self, id: &str, now: DateTime<Utc>) -> usize {
        self.lingering.values().filter(|lingering| lingering.caller.id == id && !lingering.is_over(now)).count()
    }
}

impl Lingering {
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.uses == 0 || self.expires.is_some_and(|expires| expires <= now)
    }
}
