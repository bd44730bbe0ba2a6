//! The request for a rotation.

use std::time::Duration;

use api_keyring::{Expiry, KeyId};
use serde::{Deserialize, Serialize};

use super::Adoption;

/// Which key to rotate, and how.
///
/// ```
/// use std::time::Duration;
/// use api_keyring_rotation::RotateKey;
///
/// // The old key still works for an hour after the new one has replaced it.
/// let rotate = RotateKey::new("key_abc123".parse()?).grace(Duration::from_secs(3600)).reason("quarterly");
/// # Ok::<(), api_keyring::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotateKey {
    /// The key to rotate.
    pub key: KeyId,
    /// When the new key expires. `None` gives it the old key's lifetime.
    pub expiry: Option<Expiry>,
    /// The new key's role, for a vendor that does not show the old key's role.
    pub role: Option<String>,
    /// The reason for the rotation. The vendor records it, if it keeps reasons.
    pub reason: Option<String>,
    /// Whether a new key or a new secret replaces the old secret.
    pub strategy: Strategy,
    /// Whether your own credential may be rotated in place, or by a [fleet](crate::Fleet).
    pub even_own: bool,
    /// Whether the old key expires at the end of the grace. The vendor has to support a change of expiry.
    pub expire_old: bool,
    /// How long the old key must be unused before it is retired. The vendor has to show use.
    pub unused_for: Option<Duration>,
    /// Whether the sink may be empty, or hold another key's secret.
    pub adopt_sink: bool,
    /// How long the rotation waits, and how often it tries.
    pub timing: Timing,
}

impl RotateKey {
    /// Requests a new key like the old one, with a grace of one hour.
    pub fn new(key: KeyId) -> Self {
        Self {
            key,
            expiry: None,
            role: None,
            reason: None,
            strategy: Strategy::Overlap,
            even_own: false,
            expire_old: false,
            unused_for: None,
            adopt_sink: false,
            timing: Timing::default(),
        }
    }

    /// Requests a new secret for the same key, if the vendor offers that.
    ///
    /// The old secret stops working before the new one is in the sink. If the vendor's answer is lost, users may have
    /// no secret that works until the rotation has requested another one.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.strategy = Strategy::InPlace;
        self
    }

    /// Allows the rotation of your own credential in place, or by a [fleet](crate::Fleet). In place, the provider is
    /// locked out if the vendor's answer is lost.
    #[must_use]
    pub fn even_own(mut self) -> Self {
        self.even_own = true;
        self
    }

    /// Makes the old key expire at the end of the grace, so that it ends then even if nobody resumes the rotation.
    ///
    /// The key must already have an expiry. If the rotation is aborted, it puts that expiry back.
    #[must_use]
    pub fn expire_old(mut self) -> Self {
        self.expire_old = true;
        self
    }

    /// Retires the old key only after the vendor shows that others use the new one, and nothing has used the old one
    /// for this long.
    ///
    /// Rounds the time up to a whole second. The rotation waits for the end of the grace as well. If the evidence never
    /// comes, waive it with [`waive_evidence`](crate::Rotator::waive_evidence).
    #[must_use]
    pub fn unused_for(mut self, time: Duration) -> Self {
        self.unused_for = Some(Duration::from_secs(Timing::seconds(time)));
        self
    }

    /// Accepts a sink that is empty, or that holds another key's secret, and puts the new secret there.
    ///
    /// Otherwise a plan refuses such a sink: the key's users seem to read its secret elsewhere. A plan assumes that a
    /// secret is the key's if the vendor accepts it and the vendor's masked secret, where there is one, agrees. The
    /// rotation never treats the earlier content of an adopted sink as the old secret.
    ///
    /// A plan refuses a sink that holds anything but one secret, even if you call this.
    #[must_use]
    pub fn adopt_sink(mut self) -> Self {
        self.adopt_sink = true;
        self
    }

    /// Sets the new key's expiry.
    #[must_use]
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// Sets the new key's role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets the grace: how long the old key still works after the new one has replaced it. The default is one hour.
    /// Rounds the time up to a whole second.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.timing.grace_seconds = Timing::seconds(grace);
        self
    }

    /// Sets all times, the grace included.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Treats the old key as leaked: retires it as soon as the new one has replaced it, without a grace and whether it
    /// is used or not.
    #[must_use]
    pub fn leaked(mut self) -> Self {
        self.unused_for = None;
        self.grace(Duration::ZERO)
    }

    pub(crate) fn adoption(&self) -> Adoption {
        if self.adopt_sink { Adoption::Allowed } else { Adoption::Refused }
    }
}

/// How a key is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// The vendor issues a new key, and both keys work for a while.
    Overlap,
    /// The vendor issues a new secret for the same key, and the old secret ends at once.
    InPlace,
}

/// How long a rotation waits, and how often it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timing {
    /// The grace: how long the old key still works after the new one has replaced it.
    pub grace_seconds: u64,
    /// The settle time: how long a new key may be missing from the vendor's list.
    pub settle_seconds: u64,
    /// How many times in a row the new secret must work. At first, a new key may work only on some of the vendor's
    /// servers.
    pub verify_successes: u32,
    /// How long it may take until the new secret works.
    pub verify_seconds: u64,
    /// How long it may take until the old key no longer works.
    pub confirm_seconds: u64,
    /// How long it may take until the vendor shows that a key was used.
    pub use_lag_seconds: u64,
    /// How far this machine's clock may differ from the vendor's when a rotation starts.
    pub clock_seconds: u64,
    /// The time between two checks, in milliseconds.
    pub poll_millis: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            grace_seconds: 3600,
            settle_seconds: 60,
            verify_successes: 3,
            verify_seconds: 300,
            confirm_seconds: 300,
            use_lag_seconds: 60,
            clock_seconds: 300,
            poll_millis: 2000,
        }
    }
}

impl Timing {
    /// Returns a time in whole seconds, rounded up: half a second is not no time at all.
    pub fn seconds(time: Duration) -> u64 {
        time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_millis.max(1))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_second_counts_as_a_second() {
        for (time, seconds) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(500), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            let rotate = RotateKey::new("1".parse().unwrap()).grace(time).unused_for(time);
            assert_eq!(rotate.timing.grace_seconds, seconds, "{time:?}");
            assert_eq!(rotate.unused_for, Some(Duration::from_secs(seconds)), "{time:?}");
        }
        assert_eq!(RotateKey::new("1".parse().unwrap()).leaked().timing.grace_seconds, 0);
    }
}
