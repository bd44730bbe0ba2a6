//! Timestamps as vendors write them.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// A point in time. It keeps the vendor's text and parses it on demand.
///
/// Vendors write RFC 3339, or a space instead of its `T`, or no offset, which means UTC. A timestamp keeps every other
/// text as well, so an unreadable timestamp does not make its key unreadable.
///
/// ```
/// use api_keyring_transport::Timestamp;
///
/// let rfc3339: Timestamp = serde_json::from_str(r#""2025-04-01T02:00:00+02:00""#)?;
/// let spaced: Timestamp = serde_json::from_str(r#""2025-04-01 00:00:00+00:00""#)?;
/// assert_eq!(rfc3339.utc(), spaced.utc());
///
/// let odd: Timestamp = serde_json::from_str(r#""next tuesday""#)?;
/// assert_eq!((odd.utc(), odd.as_str()), (None, "next tuesday"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp(String);

impl Timestamp {
    /// Returns the time in UTC, or `None` if the text has no known form.
    pub fn utc(&self) -> Option<DateTime<Utc>> {
        let text = self.0.trim();
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(time.to_utc());
        }
        // `%#z` parses "+00", "+0000", "+00:00" and "Z".
        for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"] {
            if let Ok(time) = DateTime::parse_from_str(text, format) {
                return Some(time.to_utc());
            }
        }
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|time| time.and_utc())
    }

    /// Returns the text as the vendor wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }
}

impl From<&str> for Timestamp {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Other JSON values, such as numbers, become their JSON text.
        Ok(Self(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_parses() {
        let moment = "2025-04-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        for form in [
            "2025-04-01T00:00:00Z",
            "2025-04-01T00:00:00.000Z",
            "2025-04-01T02:00:00+02:00",
            "2025-04-01 00:00:00+00:00",
            "2025-04-01 00:00:00.000000+00:00",
            "2025-04-01 00:00:00+0000",
            "2025-04-01 00:00:00 +00:00",
            "2025-04-01 00:00:00Z",
            "2025-04-01 00:00:00",
            "2025-04-01T00:00:00",
            " 2025-04-01T00:00:00Z ",
        ] {
            assert_eq!(Timestamp::from(form).utc(), Some(moment), "{form}");
            assert_eq!(Timestamp::from(form).as_str(), form);
        }
    }

    #[test]
    fn an_unreadable_timestamp_keeps_its_text() {
        for odd in ["", "never", "2025-13-01T00:00:00Z", "2025-02-30 00:00:00+00:00", "99999999999"] {
            assert_eq!(Timestamp::from(odd).utc(), None, "{odd}");
        }
        let number: Timestamp = serde_json::from_str("1743465600").unwrap();
        assert_eq!((number.as_str(), number.utc()), ("1743465600", None));
        assert_eq!(Timestamp::from(DateTime::UNIX_EPOCH).as_str(), "1970-01-01T00:00:00Z");
    }
}
