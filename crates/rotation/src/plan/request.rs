//! What is asked of a rotation.

use std::time::Duration;

use api_keyring::{Expiry, KeyId};
use serde::{Deserialize, Serialize};

/// Which key to rotate, and how.
///
/// ```
/// use std::time::Duration;
/// use api_keyring_rotation::RotateKey;
///
/// // The old key goes on working for an hour after the new one has been put in its place.
/// let rotate = RotateKey::new("key_abc123".parse()?).grace(Duration::from_secs(3600)).reason("quarterly");
/// # Ok::<(), api_keyring::InvalidName>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotateKey {
    /// The key.
    pub key: KeyId,
    /// When the new key expires. `None` gives it the old one's lifetime.
    pub expiry: Option<Expiry>,
    /// The new key's role, where the vendor does not tell the old one's.
    pub role: Option<String>,
    /// Why, for the vendor's records where it keeps a reason.
    pub reason: Option<String>,
    /// By a new key, or by a new secret for the same one.
    pub strategy: Strategy,
    /// Whether the provider's own credential may be rotated in place.
    pub even_own: bool,
    /// Whether the old key is to expire at the end of the grace, where the vendor can change that.
    pub expire_old: bool,
    /// For how long the old key has to be unused before it goes, where the vendor shows use.
    pub unused_for: Option<Duration>,
    /// Whether the sink may be empty, or hold the secret of another key.
    pub adopt_sink: bool,
    /// How long, how often and until when things are tried and waited for.
    pub timing: Timing,
}

impl RotateKey {
    /// By a new key like the old one, with an hour of grace.
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

    /// Has the vendor give the key a new secret, where it offers that. The old secret stops working before the new one is in the
    /// sink, and when the vendor's answer is lost, no secret works until another one was asked for.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.strategy = Strategy::InPlace;
        self
    }

    /// Rotates in place also when the key is the one that the provider itself authenticates with. Should the answer be lost, the
    /// provider is locked out.
    #[must_use]
    pub fn even_own(mut self) -> Self {
        self.even_own = true;
        self
    }

    /// Has the old key expire at the end of the grace, so that it ends then although nobody resumes the rotation. For keys that
    /// have an expiry, which is put back if the rotation is undone.
    #[must_use]
    pub fn expire_old(mut self) -> Self {
        self.expire_old = true;
        self
    }

    /// Retires the old key only once the vendor shows that others use the new one, and that nobody has used the old one for so
    /// long. The grace is waited for besides. Should it never come to that,
    /// [`waive_evidence`](crate::Rotator::waive_evidence) goes on without.
    #[must_use]
    pub fn unused_for(mut self, time: Duration) -> Self {
        self.unused_for = Some(time);
        self
    }

    /// Puts the new secret into the sink although it is empty, or holds the secret of another key as far as the vendor's masked
    /// secret tells. Otherwise that is taken for a mistake: those who use the key look elsewhere.
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

    /// Sets how long the old key goes on working after the new one has been put in its place: an hour unless set here.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.timing.grace_seconds = grace.as_secs();
        self
    }

    /// Sets all times.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The old key has leaked: no grace, it is retired as soon as the new one has been put in its place, used or not.
    #[must_use]
    pub fn leaked(mut self) -> Self {
        self.unused_for = None;
        self.grace(Duration::ZERO)
    }
}

/// How a key is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// A new key takes the old one's place, and both work for a while.
    Overlap,
    /// The vendor replaces the key's secret.
    InPlace,
}

/// How long, how often and until when things are tried and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timing {
    /// How long the old key goes on working after the new one has been put in its place.
    pub grace_seconds: u64,
    /// How long a vendor's list may not show a key that was just issued.
    pub settle_seconds: u64,
    /// How often in a row the new secret has to be seen to work. A new key may be valid only here and there at first.
    pub verify_successes: u32,
    /// How long the new secret may take until it works.
    pub verify_seconds: u64,
    /// How long the old key may take until it is gone.
    pub confirm_seconds: u64,
    /// How far behind the vendor may be when it shows that a key was used.
    pub use_lag_seconds: u64,
    /// How far this machine's clock may be off the vendor's when the rotation begins.
    pub clock_seconds: u64,
    /// How long it is between one look and the next, in milliseconds.
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
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_millis.max(1))
    }
}
