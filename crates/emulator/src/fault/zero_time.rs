//! Times that stand for no time.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::distort::each_object;
use super::variant::Variant;
use crate::timestamp;

/// What a service writes in place of no time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ZeroTime {
    /// The zero of Go and of .NET: `0001-01-01T00:00:00Z`, in the service's own form of timestamps. (`0001`)
    #[default]
    Year1,
    /// The zero of MySQL: `0000-00-00 00:00:00`. (`0000`)
    Year0,
    /// The zero of Unix: `1970-01-01T00:00:00Z`, in the service's own form of timestamps. (`1970`)
    Epoch,
    /// The end of time: `9999-12-31T23:59:59Z`, in the service's own form of timestamps. (`9999`)
    Year9999,
    /// An empty text. (`empty`)
    Empty,
    /// The number 0. (`0`)
    Number,
}

impl Variant for ZeroTime {
    const ALL: &'static [(&'static str, Self)] = &[
        ("0001", Self::Year1),
        ("0000", Self::Year0),
        ("1970", Self::Epoch),
        ("9999", Self::Year9999),
        ("empty", Self::Empty),
        ("0", Self::Number),
    ];
}

/// A key of Monad that lives longer than this counts as a key without an expiry, because each of its keys has one.
const FOREVER: TimeDelta = TimeDelta::days(50 * 365);

impl ZeroTime {
    pub(super) fn change(self, value: &mut Value, now: DateTime<Utc>) {
        each_object(value, &mut |key| {
            if key.contains_key("date_created") {
                // The documented shape leaves unset fields out.
                self.fill(key, "expiration_date_utc", " ", "+00:00");
            } else if key.contains_key("expires_at") {
                self.fill(key, "expires_at", "T", "Z");
                self.fill(key, "last_used", "T", "Z");
            } else if let Some(Value::String(expiry)) = key.get_mut("expiration_time") {
                if timestamp::parse_rfc3339(expiry).is_some_and(|expiry| expiry - now > FOREVER) {
                    key.remove("expiration_time");
                    self.fill(key, "expiration_time", "T", "Z");
                }
                if key.contains_key("token_version") {
                    self.fill(key, "last_used_at", "T", "Z");
                }
            }
        });
    }

    /// Sets an unset field. Timestamps have `separator` in the middle and `offset` at the end.
    fn fill(self, key: &mut Map<String, Value>, name: &str, separator: &str, offset: &str) {
        let zero = match self {
            Self::Year1 => format!("0001-01-01{separator}00:00:00{offset}").into(),
            Self::Year0 => "0000-00-00 00:00:00".into(),
            Self::Epoch => format!("1970-01-01{separator}00:00:00{offset}").into(),
            Self::Year9999 => format!("9999-12-31{separator}23:59:59{offset}").into(),
            Self::Empty => "".into(),
            Self::Number => 0.into(),
        };
        if key.get(name).is_none_or(Value::is_null) {
            key.insert(name.to_owned(), zero);
        }
    }
}
