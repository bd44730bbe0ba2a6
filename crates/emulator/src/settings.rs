//! How an emulator behaves, chosen when it starts.

use chrono::{DateTime, TimeDelta, Utc};

/// Which of the vendors' published descriptions the services follow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Revision {
    /// The SDK documentation: Spartera returns every key at once, Monad regenerates a key by replacing it.
    Documented,
    /// The current machine-readable descriptions: Spartera pages its list, Monad regenerates a key in place, and both
    /// have more fields.
    #[default]
    Current,
}

/// How Spartera writes a key.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SparteraShape {
    /// As in the SDK documentation: `api_key_id` (a number), `expiration_date_utc`, `date_created`, and so on.
    #[default]
    Documented,
    /// As in the reference guide: `id`, `expires_at`, `created_at`, `status`, and so on; a list has `meta` beside it.
    Guide,
}

/// How Monad writes an error.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MonadErrorShape {
    /// A JSON string, as documented for the operations on API keys.
    #[default]
    Text,
    /// An object with `error`, `error_type`, `code` and `additional_details`, as on other operations of the service.
    Object,
}

/// What both services need to know of the builder's choices.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) revision: Revision,
    pub(crate) spartera_shape: SparteraShape,
    /// The field of create's answer that carries the secret; `None` leaves it out.
    pub(crate) spartera_secret_field: Option<String>,
    pub(crate) monad_error_shape: MonadErrorShape,
    /// How long a secret works after its key has expired.
    pub(crate) expiry_lag: TimeDelta,
    /// How many connections are served at once.
    pub(crate) connections: usize,
    /// Whether the emulator's own paths are there.
    pub(crate) control: bool,
}

impl Settings {
    /// When a secret stops working whose key expires then.
    pub(crate) fn secret_end(&self, expires: DateTime<Utc>) -> DateTime<Utc> {
        expires.checked_add_signed(self.expiry_lag).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The time by which secrets are seen to have expired.
    pub(crate) fn expiry_cutoff(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.expiry_lag).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}
