//! Reads and checks a JSON body field by field.
//!
//! Each getter notes what is wrong and returns a placeholder. [`Fields::finish`] then refuses the whole body and names
//! every problem, so nothing uses a placeholder. Fields that no getter reads are ignored, because neither vendor's
//! schema forbids them.

use chrono::{DateTime, Utc};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value};

use crate::refusal::{Problems, Refusal};

pub(crate) struct Fields {
    values: Map<String, Value>,
    problems: Problems,
}

/// The function with which a service reads a timestamp.
pub(crate) type ReadTime = fn(&str) -> Option<DateTime<Utc>>;

impl Fields {
    /// Reads a required body.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        if !body.is_empty() && !is_json(headers) {
            return Err(Refusal::UnsupportedMediaType);
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self { values, problems: Problems::new() }),
            Ok(_) => Err(Refusal::InvalidJson("the body must be an object".to_owned())),
            // The position is enough to find the mistake. It quotes nothing of the body.
            Err(error) => Err(Refusal::InvalidJson(format!(
                "the body is not valid JSON (line {}, column {})",
                error.line(),
                error.column(),
            ))),
        }
    }

    /// Reads an optional body.
    pub(crate) fn read_optional(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self { values: Map::new(), problems: Problems::new() });
        }
        Self::read(headers, body)
    }

    /// Notes each of `names` that is missing.
    pub(crate) fn require(&mut self, names: &[&'static str]) {
        for name in names {
            if !self.values.contains_key(*name) {
                self.refuse(name, "is required");
            }
        }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.take(name, "must be a string", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a string that contains more than blanks.
    pub(crate) fn filled_text(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        if text.trim().is_empty() {
            self.refuse(name, "must not be empty");
        }
        Some(text)
    }

    pub(crate) fn integer(&mut self, name: &'static str) -> Option<i64> {
        self.take(name, "must be an integer", Value::as_i64)
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, "must be true or false", Value::as_bool)
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.take(name, "must be a list of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// Reads a timestamp in the form that `read` accepts.
    pub(crate) fn time(&mut self, name: &'static str, read: ReadTime) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = read(&text);
        if time.is_none() {
            self.refuse(name, "must be a timestamp with an offset");
        }
        time
    }

    /// Reads a timestamp that must be after `now`.
    pub(crate) fn future(&mut self, name: &'static str, read: ReadTime, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = self.time(name, read)?;
        if time <= now {
            self.refuse(name, "must be in the future");
        }
        Some(time)
    }

    /// Notes a problem with a field.
    pub(crate) fn refuse(&mut self, name: &'static str, problem: &str) {
        self.problems.entry(name).or_default().push(problem.to_owned());
    }

    /// Returns `value`, or all problems if any field was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Refusal> {
        if self.problems.is_empty() { Ok(value) } else { Err(Refusal::InvalidFields(self.problems)) }
    }

    fn take<T>(&mut self, name: &'static str, wanted: &str, convert: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.values.get(name)?;
        let converted = convert(value);
        if converted.is_none() {
            let problem = if value.is_null() { "may not be null" } else { wanted };
            self.refuse(name, problem);
        }
        converted
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
