//! Users of a key, who keep working while it is rotated.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{Acceptance, Clock as _, ManualClock, Provider, ProviderExt as _, Secret};
use chrono::{DateTime, TimeDelta, Utc};

use crate::lineage::Lineage;

/// How long the old key must be unused before it is retired.
pub(crate) const UNUSED_FOR: Duration = Duration::from_secs(600);

/// A use: its time, and the secret.
type Used = (DateTime<Utc>, String);

/// Users of the key. They use it whenever a rotator waits, and read the secret from the sink now and then.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    provider: Arc<dyn Provider>,
    lineage: Lineage,
    clock: ManualClock,
    held: Arc<Mutex<String>>,
    /// All uses so far.
    uses: Arc<Mutex<Vec<Used>>>,
}

impl Users {
    /// Creates the users of a key that has not been rotated yet.
    pub(crate) fn new(provider: Arc<dyn Provider>, lineage: Lineage, clock: ManualClock) -> Self {
        let held = Arc::new(Mutex::new(lineage.old_secret.clone()));
        Self { provider, lineage, clock, held, uses: Arc::default() }
    }

    /// Uses the key once.
    pub(crate) async fn work(&self) {
        let number = self.uses.lock().unwrap().len();
        // They read it so seldom that they hold the old secret beyond the grace.
        if number % 12 == 11 {
            *self.held.lock().unwrap() = self.lineage.current().unwrap();
        }
        let held = self.held.lock().unwrap().clone();
        let accepted = self.provider.accepts(&Secret::from(held.as_str())).await;
        if accepted.is_ok_and(Acceptance::is_refused) && held == self.lineage.old_secret {
            self.lineage.violate("the vendor refused a user who still has the old secret".to_owned());
        }
        self.uses.lock().unwrap().push((self.clock.now(), held));
    }

    /// Returns what is wrong if the old key ended at this time.
    pub(crate) fn judge(&self, ended: DateTime<Utc>, promoted: DateTime<Utc>) -> Option<String> {
        let uses = self.uses.lock().unwrap();
        let is_old = |secret: &String| *secret == self.lineage.old_secret;
        if !uses.iter().any(|(time, secret)| !is_old(secret) && (promoted..=ended).contains(time)) {
            return Some("the old key was retired before anyone used the new one".to_owned());
        }
        let last = uses.iter().rev().find(|(_, secret)| is_old(secret))?.0;
        // The service may show a use up to a minute late.
        let quiet = TimeDelta::from_std(UNUSED_FOR).unwrap() - TimeDelta::seconds(60);
        (ended - last < quiet).then(|| format!("the old key was used at {last}, and retired at {ended}"))
    }
}
