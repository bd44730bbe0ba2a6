//! Values and fields that stay JSON text until somebody asks for them.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::JsonType;
use super::portable::is_portable;
use super::scan::{Fields, lossy_text, replace_texts};
use crate::REDACTED;
use crate::secret::ensure_exposed;

/// Parses a JSON text. `None` if it is nested too deeply, or holds a number or a text that no value can hold.
fn parsed(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

/// A JSON value that stays text until somebody parses it.
///
/// `Serialize` writes the text unchanged. `Debug` prints only its length, because it may hold anything.
///
/// ```
/// use api_keyring_transport::RawJson;
///
/// let deep: RawJson = serde_json::from_str(&format!("{}{}", "[".repeat(1000), "]".repeat(1000)))?;
/// assert_eq!((deep.as_str().len(), deep.value()), (2000, None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value's type.
    pub fn json_type(&self) -> JsonType {
        JsonType::of(&self.0)
    }

    /// Parses the value. `None` if it is nested more than 127 levels deep, or holds a number or a text that no value
    /// can hold. The result may need a hundred times the memory of the text.
    pub fn value(&self) -> Option<Value> {
        parsed(&self.0)
    }
}

impl From<Value> for RawJson {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Box::<RawValue>::deserialize(deserializer)?.into()))
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// The fields of a JSON object, such as those of an answer that its specification does not name. They stay one text
/// until somebody asks for a value.
///
/// - A value that cannot be parsed is kept like any other.
/// - If the service repeats a field, [`iter`](Self::iter) yields it each time, and [`get`](Self::get) returns the last.
/// - `Serialize` writes the values unchanged. A value that many parsers refuse, such as `1e999`, becomes a text that
///   holds its JSON, so that it does not make the whole output unreadable.
/// - `Debug` prints the names of the fields, and not their values.
///
/// ```
/// use api_keyring_transport::RawFields;
///
/// let fields: RawFields = serde_json::from_str(r#"{"plan": "team", "limits": {"keys": 5}, "odd": 1e999}"#)?;
/// assert_eq!(fields.get("limits"), Some(serde_json::json!({"keys": 5})));
/// assert_eq!((fields.get("odd"), fields.get_raw("odd")), (None, Some("1e999")));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawFields {
    /// The inside of the object, without its brackets.
    json: String,
}

impl RawFields {
    /// Creates an object without fields.
    pub const fn new() -> Self {
        Self { json: String::new() }
    }

    /// Returns whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty() || self.iter_raw().next().is_none()
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.iter_raw().count()
    }

    fn iter_raw(&self) -> Fields<'_> {
        Fields::inside(&self.json)
    }

    /// Returns the names and the values of the fields, in the service's order. The values are JSON texts. Each part of
    /// a name that is not valid Unicode becomes U+FFFD.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.iter_raw().filter_map(|(name, value)| Some((lossy_text(name)?, value)))
    }

    /// Returns the names of the fields, in the service's order.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.iter().map(|(name, _)| name)
    }

    /// Returns whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get_raw(name).is_some()
    }

    /// Returns the value of a field as JSON text.
    pub fn get_raw(&self, name: &str) -> Option<&str> {
        if self.json.is_empty() {
            return None;
        }
        self.iter().filter(|(other, _)| other == name).last().map(|(_, value)| value)
    }

    /// Parses the value of a field. `None` if there is no such field, or as in [`RawJson::value`].
    pub fn get(&self, name: &str) -> Option<Value> {
        parsed(self.get_raw(name)?)
    }

    /// Adds a field. It does not replace a field of the same name.
    pub fn push(&mut self, name: &str, value: &Value) {
        self.push_raw(&Value::from(name).to_string(), &value.to_string());
    }

    /// Adds a field with a text. It does not replace a field of the same name.
    pub fn push_text(&mut self, name: &str, text: &str) {
        self.push_name(name, text.len() + 2);
        self.push_quoted(text);
    }

    /// Adds a field with a number. It does not replace a field of the same name.
    pub fn push_number(&mut self, name: &str, number: i64) {
        self.push_name(name, 20);
        // Writing to a string does not fail.
        let _ = write!(self.json, "{number}");
    }

    /// Adds a field with a truth value. It does not replace a field of the same name.
    pub fn push_bool(&mut self, name: &str, value: bool) {
        self.push_name(name, 5);
        self.json.push_str(if value { "true" } else { "false" });
    }

    /// Adds a field with a list of texts. It does not replace a field of the same name.
    pub fn push_texts(&mut self, name: &str, texts: impl IntoIterator<Item: AsRef<str>>) {
        self.push_name(name, 64);
        let mut before = "[";
        for text in texts {
            self.json.push_str(std::mem::replace(&mut before, ","));
            self.push_quoted(text.as_ref());
        }
        self.json.push_str(if before == "[" { "[]" } else { "]" });
    }

    /// Adds a field. Both arguments are JSON texts.
    pub(super) fn push_raw(&mut self, name: &str, value: &str) {
        if !self.json.is_empty() {
            self.json.push(',');
        }
        self.json.extend([name, ":", value]);
    }

    /// Adds a name, and reserves room for a value of about this length.
    fn push_name(&mut self, name: &str, room: usize) {
        self.json.reserve(name.len() + room + 4);
        if !self.json.is_empty() {
            self.json.push(',');
        }
        self.push_quoted(name);
        self.json.push(':');
    }

    fn push_quoted(&mut self, text: &str) {
        // Without an early exit, the compiler looks at many bytes at once.
        let needs_escapes =
            text.bytes().fold(false, |any, byte| any | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
        match needs_escapes {
            true => self.json.push_str(&Value::from(text).to_string()),
            false => {
                self.json.push('"');
                self.json.push_str(text);
                self.json.push('"');
            }
        }
    }

    /// Replaces texts in names and values, at any depth. `replace` gets each text, and returns what replaces it.
    pub fn replace_texts(&mut self, replace: impl FnMut(&str) -> Option<String>) {
        if self.json.is_empty() {
            return;
        }
        if let Some(replaced) = replace_texts(&self.json, replace) {
            self.json = replaced;
        }
    }

    /// Returns the object as JSON text.
    pub fn to_json(&self) -> String {
        format!("{{{}}}", self.json)
    }
}

impl<N: AsRef<str>> FromIterator<(N, Value)> for RawFields {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(fields: I) -> Self {
        let mut all = Self::new();
        fields.into_iter().for_each(|(name, value)| all.push(name.as_ref(), &value));
        all
    }
}

impl fmt::Debug for RawFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl<'de> Deserialize<'de> for RawFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let json = json.get().trim();
        let inside = json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let inside = inside.ok_or_else(|| D::Error::custom("expected an object"))?;
        Ok(Self { json: inside.trim().to_owned() })
    }
}

impl Serialize for RawFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.iter() {
            if is_portable(value) {
                map.serialize_entry(&name, serde_json::from_str::<&RawValue>(value).map_err(S::Error::custom)?)?;
            } else {
                map.serialize_entry(&name, value)?;
            }
        }
        map.end()
    }
}

/// [`RawFields`] of an answer that issues a secret. Any of them may be that secret.
///
/// It behaves like [`Secret`](crate::Secret): `Debug` prints `[REDACTED]`, dropping it wipes its memory, and only
/// [`exposed_json`](crate::exposed_json) serializes it.
#[derive(Clone, Default)]
pub struct SecretFields(RawFields);

impl SecretFields {
    /// Returns the fields.
    pub fn expose(&self) -> &RawFields {
        &self.0
    }
}

impl From<RawFields> for SecretFields {
    fn from(fields: RawFields) -> Self {
        Self(fields)
    }
}

impl fmt::Debug for SecretFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Drop for SecretFields {
    fn drop(&mut self) {
        self.0.json.zeroize();
    }
}

impl Serialize for SecretFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ensure_exposed()?;
        self.0.serialize(serializer)
    }
}

/// What collects the undocumented fields of an object.
pub trait UnknownFields: Sized {
    /// Whether an object with these fields can be decoded at once.
    const AT_ONCE: bool;

    /// Starts to collect the fields of this JSON text.
    fn begin(json: &str) -> Self;
    /// Keeps a field. Both arguments are JSON texts.
    fn keep(&mut self, name: &str, value: &str);
    /// Keeps a field whose name needs no escapes in JSON. The value is a JSON text.
    fn keep_unescaped(&mut self, name: &str, value: &str);
    /// Ends the collection.
    fn end(self) -> Self;
}

impl UnknownFields for RawFields {
    const AT_ONCE: bool = true;

    fn begin(_: &str) -> Self {
        Self::new()
    }

    fn keep(&mut self, name: &str, value: &str) {
        self.push_raw(name, value);
    }

    fn keep_unescaped(&mut self, name: &str, value: &str) {
        self.push_name(name, value.len());
        self.json.push_str(value);
    }

    fn end(mut self) -> Self {
        self.json.shrink_to_fit();
        self
    }
}

impl UnknownFields for SecretFields {
    // A growing text would leave copies behind, and only the whole object's text says how long it gets.
    const AT_ONCE: bool = false;

    fn begin(json: &str) -> Self {
        // A growing text would leave copies behind that nobody wipes.
        Self(RawFields { json: String::with_capacity(json.len()) })
    }

    fn keep(&mut self, name: &str, value: &str) {
        self.0.push_raw(name, value);
    }

    fn keep_unescaped(&mut self, name: &str, value: &str) {
        self.0.keep_unescaped(name, value);
    }

    fn end(self) -> Self {
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(json: &str) -> RawFields {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn fields_are_written_as_they_were_read() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let object = format!(r#"{{"big":1e400,"half":"\ud800","deep":{deep},"a":1}}"#);
        let read = fields(&object);
        assert_eq!(read.to_json(), object);
        // Every parser reads what is serialized.
        let expected = json!({"big": "1e400", "half": r#""\ud800""#, "deep": deep, "a": 1});
        assert_eq!(serde_json::to_value(&read).unwrap(), expected);
        assert_eq!(read.names().collect::<Vec<_>>(), ["big", "half", "deep", "a"]);
        assert_eq!(
            (read.get("a"), read.get("big"), read.get("half"), read.get("deep")),
            (Some(json!(1)), None, None, None)
        );
        assert_eq!(format!("{read:?}"), r#"["big", "half", "deep", "a"]"#);
        for json in ["{}", " { } "] {
            assert!(fields(json).is_empty());
            assert_eq!(serde_json::to_string(&fields(json)).unwrap(), "{}");
        }
        assert!(serde_json::from_str::<RawFields>("[]").is_err());
    }

    #[test]
    fn the_last_of_repeated_fields_counts() {
        let mut repeated = fields(r#"{"a":1,"\u0061":2}"#);
        assert_eq!((repeated.get("a"), repeated.len()), (Some(json!(2)), 2));
        repeated.push("a", &json!("\"3\""));
        assert_eq!(repeated.get("a"), Some(json!("\"3\"")));
        assert_eq!(RawFields::from_iter([("a", json!([1]))]).to_json(), r#"{"a":[1]}"#);
    }

    #[test]
    fn secret_fields_are_not_printed_or_serialized() {
        let secret = SecretFields::from(fields(r#"{"token":"canary"}"#));
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert!(serde_json::to_string(&secret).is_err());
        assert_eq!(crate::exposed_json(&secret).unwrap(), json!({"token": "canary"}));
        assert!(!format!("{:?}", RawJson::from(json!("canary"))).contains("canary"));
    }
}
