//! What a vendor's times mean.

use api_keyring_transport::{RawFields, Timestamp};

/// The longest text of an unreadable expiry that a key keeps as its expiry. The rest is in the key's `extra`.
const MAX_UNREADABLE: usize = 100;

/// What a key without an expiry means at a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithoutExpiry {
    /// The key never expires.
    Never,
    /// Every key expires, so the expiry is not known.
    NotKnown,
}

/// Returns when a key expires. `times` are the fields that may say it, in order. `None` means what `without` says.
///
/// - An expiry that cannot be read never becomes no expiry: the key keeps its text, so its status is unknown.
/// - A zero time is no expiry. So is the end of time, if keys may live without an expiry.
/// - The Unix epoch stays an expiry, and [`ApiKey::status_at`](crate::ApiKey::status_at) does not believe it: some
///   services write 0 for *never*, and others end a key by setting its expiry to 0.
#[inline]
pub(crate) fn expiry<const N: usize>(
    times: [(&str, Option<Timestamp>); N],
    extra: &RawFields,
    without: WithoutExpiry,
) -> Option<Timestamp> {
    let unreadable = times.iter().find_map(|(name, _)| extra.get_raw(name));
    if let Some(json) = unreadable {
        let start: String = json.chars().take(MAX_UNREADABLE).collect();
        return Some(Timestamp::from(start.as_str()));
    }
    let is_none = |time: &Timestamp| {
        !time.is_ordinary() && (time.is_zero() || (without == WithoutExpiry::Never && time.is_end_of_time()))
    };
    times.into_iter().filter_map(|(_, time)| time).find(|time| !is_none(time))
}

/// Returns when something happened to a key. A zero time and the Unix epoch are older than every key, so they mean that
/// the vendor does not know.
#[inline]
pub(crate) fn moment<const N: usize>(times: [Option<Timestamp>; N]) -> Option<Timestamp> {
    let is_known = |time: &Timestamp| time.is_ordinary() || (!time.is_zero() && !time.is_epoch());
    times.into_iter().fold(None, |first: Option<Timestamp>, time| first.or_else(|| time.filter(is_known)))
}
