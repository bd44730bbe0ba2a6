//! How a key is used.

use api_keyring_transport::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ApiKey;

/// A key's use, as far as its vendor counts it.
///
/// Spartera promises the figures in words and documents no fields for them, so each may be missing; whatever else the
/// vendor reports is in the key's [`extra`](ApiKey::extra).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyStats {
    /// How many requests were made with the key.
    pub usage_count: Option<u64>,
    /// How many requests with the key were refused.
    pub failed_attempts: Option<u64>,
    /// When the key was last used.
    pub last_used_at: Option<Timestamp>,
    /// The key that the figures are of.
    pub key: ApiKey,
}

impl KeyStats {
    /// The figures of a key, none of which is known yet.
    pub fn new(key: ApiKey) -> Self {
        Self { usage_count: None, failed_attempts: None, last_used_at: None, key }
    }

    /// The figures of a key, taken from the fields of a vendor's answer that usually hold them.
    pub(crate) fn from_extra(key: ApiKey) -> Self {
        let number = |fields: &Map<String, Value>, names: [&str; 2]| {
            names.iter().find_map(|name| fields.get(*name)).and_then(Value::as_u64)
        };
        Self {
            usage_count: number(key.extra(), ["usage_count", "total_requests"]),
            failed_attempts: number(key.extra(), ["failed_attempts", "failed_requests"]),
            last_used_at: key.last_used_at().cloned(),
            key,
        }
    }
}
