//! The settings with which an emulator starts.

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

/// The form in which Spartera writes a key.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SparteraShape {
    /// The form of the SDK documentation: `api_key_id` (a number), `expiration_date_utc`, `date_created`, and so on.
    #[default]
    Documented,
    /// The form of the reference guide: `id`, `expires_at`, `created_at`, `status`, and so on. A list also has `meta`.
    Guide,
}

/// The form in which Monad writes an error.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MonadErrorShape {
    /// A JSON string, as the vendor documents it for the operations on API keys.
    #[default]
    Text,
    /// An object with `error`, `error_type`, `code` and `additional_details`, as in the service's other operations.
    Object,
}

/// Which id of a deleted key a new key gets.
///
/// No two keys have the same id at the same time. Vendors whose ids are rows of a database, or names, do reuse them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ReuseIds {
    /// The id of the key that was deleted last and whose id is free.
    #[default]
    Next,
    /// The lowest id of all that deleted keys have left. Numbers come first and in their order, then text.
    LowestFree,
    /// The key's name, with `-` in place of everything that an id cannot contain. If another key has this id, or if the
    /// name is missing, too long or looks like a secret, the key gets a new id.
    Name,
}

/// The builder's choices that both services need.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) revision: Revision,
    pub(crate) spartera_shape: SparteraShape,
    /// The field of create's answer that contains the secret; `None` leaves the secret out.
    pub(crate) spartera_secret_field: Option<String>,
    pub(crate) monad_error_shape: MonadErrorShape,
    /// Which ids of deleted keys new keys get; `None` never reuses an id.
    pub(crate) reuse_ids: Option<ReuseIds>,
    /// How long a secret still works after its key has expired.
    pub(crate) expiry_lag: TimeDelta,
    /// How many connections the server serves at once.
    pub(crate) connections: usize,
    /// Whether the emulator's own paths are open.
    pub(crate) control: bool,
}

impl Settings {
    /// Returns when the secret of a key that expires at `expires` stops working.
    pub(crate) fn secret_end(&self, expires: DateTime<Utc>) -> DateTime<Utc> {
        expires.checked_add_signed(self.expiry_lag).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the expiry up to which secrets no longer work at `now`.
    pub(crate) fn expiry_cutoff(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.expiry_lag).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}
