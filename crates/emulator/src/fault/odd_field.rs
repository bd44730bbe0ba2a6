//! Fields of another type than documented.

use serde_json::{Value, json};

use super::distort::each_object;
use super::variant::Variant;
use crate::timestamp;

/// Which fields of an answer have another type than documented.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OddField {
    /// All of the following. (`all`)
    #[default]
    All,
    /// The times of creation, of the last change and of the last use are seconds since 1970. (`time`)
    Time,
    /// The expiry is seconds since 1970. (`expiry`)
    Expiry,
    /// The name is an object. (`name`)
    Name,
    /// The role is text at Spartera, such as `"3"`, and an object at Monad. (`role`)
    Role,
    /// The status and the type of the key are numbers. (`status`)
    Status,
    /// The number of keys in all is text. (`total`)
    Total,
}

impl Variant for OddField {
    const ALL: &'static [(&'static str, Self)] = &[
        ("all", Self::All),
        ("time", Self::Time),
        ("expiry", Self::Expiry),
        ("name", Self::Name),
        ("role", Self::Role),
        ("status", Self::Status),
        ("total", Self::Total),
    ];
}

impl OddField {
    pub(super) fn change(self, value: &mut Value) {
        each_object(value, &mut |object| {
            for (name, value) in object.iter_mut() {
                let Some(field) = Self::of(name) else { continue };
                if self == Self::All || self == field {
                    *value = field.odd(value.take());
                }
            }
        });
    }

    /// Returns the variant to which the field belongs.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "date_created" | "last_updated" | "created_at" | "updated_at" | "last_used" | "last_used_at" => Self::Time,
            "expiration_date_utc" | "expires_at" | "expiration_time" => Self::Expiry,
            "name" => Self::Name,
            "role_id" => Self::Role,
            "status" | "key_type" => Self::Status,
            "total" => Self::Total,
            _ => return None,
        })
    }

    fn odd(self, value: Value) -> Value {
        match (self, value) {
            // An unset field stays unset.
            (_, Value::Null) => Value::Null,
            (Self::Time | Self::Expiry, Value::String(text)) => {
                timestamp::parse_either(&text).map_or_else(|| text.into(), |time| time.timestamp().into())
            }
            (Self::Name, value) => json!({ "text": value }),
            (Self::Role, value @ Value::String(_)) => json!({ "id": value }),
            (Self::Status, Value::String(_)) => json!(1),
            (Self::Role | Self::Total, Value::Number(number)) => number.to_string().into(),
            (_, value) => value,
        }
    }
}
