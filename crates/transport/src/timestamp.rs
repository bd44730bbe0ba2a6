//! Timestamps as vendors write them.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A point in time. It keeps the vendor's text and parses it on demand.
///
/// Vendors write RFC 3339, or a space instead of its `T`, or no offset, which means UTC. A timestamp keeps every other
/// text as well, and numbers as text, so an unreadable timestamp does not make its key unreadable.
///
/// Some times stand for something else, because a service's language or database has no other way to write it:
/// [`is_zero`](Self::is_zero), [`is_epoch`](Self::is_epoch) and [`is_end_of_time`](Self::is_end_of_time) tell.
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

    /// Returns whether the text stands for no time at all, rather than for a point in time: it is blank, a date of
    /// zeros such as MySQL's, or a time before the year 2, such as the zero time of Go and of .NET in any time zone.
    ///
    /// ```
    /// use api_keyring_transport::Timestamp;
    ///
    /// for zero in ["0001-01-01T00:00:00Z", "0000-12-31T16:07:02-07:52", "0000-00-00 00:00:00", ""] {
    ///     assert!(Timestamp::from(zero).is_zero(), "{zero}");
    /// }
    /// assert!(!Timestamp::from("1970-01-01T00:00:00Z").is_zero());
    /// ```
    pub fn is_zero(&self) -> bool {
        // An offset moves a time by a day at most. So most times are told apart without parsing them.
        if self.year().is_some_and(|year| year > 2) {
            return false;
        }
        let text = self.0.trim();
        let is_date_of_zeros = || {
            let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
            text.starts_with("0000-00-00") && shape.eq(text.bytes())
        };
        // PHP writes MySQL's date of zeros as a negative year, which no format above has.
        text.is_empty()
            || is_date_of_zeros()
            || text.starts_with("-000")
            || self.utc().is_some_and(|time| time.year() < 2)
    }

    /// Returns whether this is the Unix epoch, or the number 0. A program that stores no time as 0 writes it, and so
    /// does one that means a long time ago.
    pub fn is_epoch(&self) -> bool {
        if self.year().is_some_and(|year| !(1969..=1970).contains(&year)) {
            return false;
        }
        let is_number = || self.0.trim().parse::<f64>().is_ok_and(|number| number == 0.0);
        self.utc() == Some(DateTime::UNIX_EPOCH) || is_number()
    }

    /// Returns whether the text stands for a time that never comes: the last day of the year 9999 in any time zone,
    /// which is the greatest time of .NET, SQL and RFC 3339, or a word such as PostgreSQL's `infinity`.
    ///
    /// ```
    /// use api_keyring_transport::Timestamp;
    ///
    /// for end in ["9999-12-31T23:59:59.9999999Z", "9999-12-31 23:59:59", "infinity", "never"] {
    ///     assert!(Timestamp::from(end).is_end_of_time(), "{end}");
    /// }
    /// assert!(!Timestamp::from("2038-01-19T03:14:07Z").is_end_of_time());
    /// ```
    pub fn is_end_of_time(&self) -> bool {
        if self.year().is_some_and(|year| year < 9999) {
            return false;
        }
        let is_word = || ["infinity", "never"].iter().any(|word| self.0.trim().eq_ignore_ascii_case(word));
        let is_late = |time: DateTime<Utc>| time.year() > 9999 || (time.year() == 9999 && time.ordinal() >= 364);
        is_word() || self.utc().is_some_and(is_late)
    }

    /// Returns whether the text begins as a date of an ordinary year does, so that it stands for a point in time, if it can
    /// be read: it is neither [zero](Self::is_zero) nor the [epoch](Self::is_epoch) nor the [end](Self::is_end_of_time).
    #[inline]
    pub fn is_ordinary(&self) -> bool {
        self.year().is_some_and(|year| (1971..9999).contains(&year))
    }

    /// Returns the year with which the text begins, if it begins as a date does.
    #[inline]
    fn year(&self) -> Option<u16> {
        let [digits @ .., _] = self.0.as_bytes().first_chunk::<5>()?;
        let is_date = self.0.as_bytes()[4] == b'-' && digits.iter().all(u8::is_ascii_digit);
        is_date.then(|| digits.iter().fold(0, |year, digit| year * 10 + u16::from(digit - b'0')))
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

/// Reads a text, or a number, `true`, `false` or `null`, which become text. A list or an object is no time.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// Turns a value into the text of a timestamp.
struct Text;

impl Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E>(self, text: &str) -> Result<Timestamp, E> {
        Ok(Timestamp(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Timestamp, E> {
        Ok(Timestamp(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Timestamp, E> {
        Ok(Timestamp(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Timestamp, E> {
        Ok(Timestamp(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Timestamp, E> {
        Ok(Timestamp(serde_json::Value::from(number).to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Timestamp, E> {
        Ok(Timestamp(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Timestamp, E> {
        Ok(Timestamp("null".to_owned()))
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

    #[test]
    fn special_times_are_recognized_in_every_spelling() {
        for zero in [
            "",
            "  ",
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00",
            "0001-01-01 00:00:00+00:00",
            "0001-01-01T00:00:00.0000000",
            "0001-01-01T00:00:00+08:05",
            "0000-12-31T16:07:02-07:52",
            "0000-00-00 00:00:00",
            "0000-00-00",
            "0000-00-00T00:00:00.000Z",
            "-0001-11-30T00:00:00+00:00",
        ] {
            let time = Timestamp::from(zero);
            assert_eq!((time.is_zero(), time.is_epoch(), time.is_end_of_time()), (true, false, false), "{zero:?}");
        }
        for epoch in ["1970-01-01T00:00:00Z", "1970-01-01 00:00:00", "1970-01-01T01:00:00+01:00", "0", "0.0", "-0"] {
            let time = Timestamp::from(epoch);
            assert_eq!((time.is_epoch(), time.is_end_of_time()), (true, false), "{epoch:?}");
        }
        for end in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.9999999Z",
            "9999-12-31 23:59:59.9999999",
            "9999-12-31T23:59:59-08:00",
            "9999-12-31T00:00:00+14:00",
            "Infinity",
            "never",
        ] {
            let time = Timestamp::from(end);
            assert_eq!((time.is_zero(), time.is_epoch(), time.is_end_of_time()), (false, false, true), "{end:?}");
        }
        for plain in
            ["0002-01-01T00:00:00Z", "1970-01-01T00:00:01Z", "9999-12-29T00:00:00Z", "soon", "00", "0000-00-0x"]
        {
            let time = Timestamp::from(plain);
            let is_number = plain == "00";
            assert_eq!(
                (time.is_zero(), time.is_epoch(), time.is_end_of_time()),
                (false, is_number, false),
                "{plain:?}"
            );
        }
    }

    #[test]
    fn other_scalars_become_text_and_lists_are_no_time() {
        for (json, text) in [("1.5", "1.5"), ("-1", "-1"), ("true", "true"), ("null", "null"), ("\"x\"", "x")] {
            assert_eq!(serde_json::from_str::<Timestamp>(json).unwrap().as_str(), text);
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::from_value::<Timestamp>(value).unwrap().as_str(), text);
        }
        for json in ["[]", "{}", "1e400", "\"\\ud800\""] {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json}");
        }
    }
}
