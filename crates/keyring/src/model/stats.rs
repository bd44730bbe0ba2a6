//! Usage statistics of a key.

use api_keyring_transport::{RawFields, Timestamp};
use serde::Serialize;

use crate::ApiKey;

/// A key's usage, as far as its vendor counts it.
///
/// Spartera mentions the numbers but documents no fields for them, so any of them may be missing. The key's
/// [`extra`](ApiKey::extra) holds whatever else the vendor reports.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyStats {
    /// The number of requests made with the key.
    pub usage_count: Option<u64>,
    /// The number of rejected requests made with the key.
    pub failed_attempts: Option<u64>,
    /// When the key was last used.
    pub last_used_at: Option<Timestamp>,
    /// The key that these statistics describe.
    pub key: ApiKey,
}

impl KeyStats {
    /// Creates statistics without any numbers.
    pub fn new(key: ApiKey) -> Self {
        Self { usage_count: None, failed_attempts: None, last_used_at: None, key }
    }

    /// Reads the numbers from the fields of the vendor's answer that usually hold them.
    pub(crate) fn from_extra(key: ApiKey) -> Self {
        let number = |fields: &RawFields, names: [&str; 2]| {
            names.iter().find_map(|name| fields.get_raw(name)).and_then(|json| serde_json::from_str(json).ok())
        };
        Self {
            usage_count: number(key.extra(), ["usage_count", "total_requests"]),
            failed_attempts: number(key.extra(), ["failed_attempts", "failed_requests"]),
            last_used_at: key.last_used_at().cloned(),
            key,
        }
    }
}
