//! Decodes objects field by field.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::at_once::{AtOnce, Whole};
use super::{JsonType, Rows};

/// A type that is decoded from a JSON text. The generated types of objects implement it.
///
/// - A documented field of another type than documented becomes `None`, and `extra` keeps its value.
/// - A field that the type requires must have the documented type, and so must a list of rows.
/// - No documented field may occur twice, because nobody can say which one the service means.
///
/// The types of failures are stricter: each of their fields must have the documented type. The types that hold a new
/// secret are more lenient: `extra` keeps a repeated field, unless it is the secret.
pub trait FromJson: for<'de> AtOnce<'de> {
    /// The names of the documented fields.
    const FIELDS: &'static [&'static str];

    /// Decodes a JSON text.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and with which field. It repeats no part of the text.
    fn from_json(json: &str) -> Result<Self, DecodeError>;

    /// Whether this is the type of a text.
    #[doc(hidden)]
    const IS_TEXT: bool = false;

    /// Converts a decoded text, if this is its type.
    #[doc(hidden)]
    fn from_text(_: &str) -> Option<Self> {
        None
    }
}

/// Decodes answers that are no objects with documented fields.
macro_rules! decode_whole {
    ($($type:ty { $($text:item)* })*) => {
        $(impl FromJson for $type {
            const FIELDS: &'static [&'static str] = &[];

            $($text)*

            fn from_json(json: &str) -> Result<Self, DecodeError> {
                let problem = DecodeProblem::Unreadable(JsonType::of(json));
                serde_json::from_str(json).map_err(|_| DecodeError { field: None, problem })
            }
        })*
    };
}

decode_whole! {
    String {
        const IS_TEXT: bool = true;

        fn from_text(text: &str) -> Option<Self> {
            Some(text.to_owned())
        }
    }
    serde_json::Value {}
}

/// Why a value cannot be decoded. It repeats no part of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field that is wrong, or `None` if the value as a whole is.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub problem: DecodeProblem,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The value is not an object. It has this type.
    NotAnObject(JsonType),
    /// The field is required, and missing.
    Missing,
    /// The field occurs more than once.
    Repeated,
    /// The field does not have the documented type. It has this type.
    Unreadable(JsonType),
    /// No documented form matches.
    NoForm,
}

impl DecodeError {
    /// Creates the error of a field.
    pub const fn of(field: &'static str, problem: DecodeProblem) -> Self {
        Self { field: Some(field), problem }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "the field `{field}` ")?,
            None => f.write_str("the value ")?,
        }
        match self.problem {
            DecodeProblem::NotAnObject(found) => write!(f, "is {} instead of an object", found.with_article()),
            DecodeProblem::Missing => f.write_str("is missing"),
            DecodeProblem::Repeated => f.write_str("occurs more than once"),
            DecodeProblem::Unreadable(found) => {
                write!(f, "does not have the documented form ({})", found.with_article())
            }
            DecodeProblem::NoForm => f.write_str("has none of the documented forms"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why an answer cannot be decoded.
#[derive(Debug)]
pub(crate) enum Undecodable {
    /// It is not JSON, or not of the documented type.
    Json(serde_json::Error),
    /// Something in it does not have the documented form.
    Form(DecodeError),
}

/// Decodes an answer where it is, because a copy of it may be large. Where its texts or numbers are not valid JSON, only
/// the fields that hold them are lost.
pub(crate) fn from_slice<T: FromJson>(bytes: &[u8]) -> Result<T, Undecodable> {
    // To look at all bytes at once costs less than to look at each text.
    if let Ok(json) = std::str::from_utf8(bytes)
        && let Ok(Whole(value)) = serde_json::from_str(json)
    {
        return Ok(value);
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => T::from_json(json.get()).map_err(Undecodable::Form),
        Err(error) if error.is_syntax() => {
            let repaired = super::repair::repaired(bytes);
            let json = repaired.as_ref().and_then(|json| serde_json::from_str::<&RawValue>(json).ok());
            let decoded = json.and_then(|json| T::from_json(json.get()).ok());
            // The position in the original says more than what is wrong with the repaired text.
            decoded.ok_or(Undecodable::Json(error))
        }
        Err(error) => Err(Undecodable::Json(error)),
    }
}

/// Reads a value as text, and decodes it. The text is wiped, because it may hold a secret.
///
/// # Errors
///
/// The error of [`FromJson::from_json`].
pub fn through_text<'de, D: Deserializer<'de>, T: FromJson>(deserializer: D) -> Result<T, D::Error> {
    let json = <Box<RawValue> as serde::Deserialize>::deserialize(deserializer)?;
    let json = Zeroizing::new(String::from(Box::<str>::from(json)));
    T::from_json(&json).map_err(serde::de::Error::custom)
}

/// What happens to a field that is repeated, or has another type than documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// A repeated field is an error, and `extra` keeps a field of another type.
    Kept,
    /// Both are errors.
    Refused,
    /// `extra` keeps both.
    AllKept,
}

/// A field of an object that is being decoded.
#[derive(Debug)]
pub struct Slot<T> {
    value: Option<T>,
    is_seen: bool,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { value: None, is_seen: false }
    }
}

impl<T: DeserializeOwned> Slot<T> {
    /// Reads the field from a JSON text. Returns whether `extra` must keep the text instead.
    ///
    /// # Errors
    ///
    /// [`Odd`] says when.
    pub fn read(&mut self, name: &'static str, json: &str, odd: Odd) -> Result<bool, DecodeError> {
        if std::mem::replace(&mut self.is_seen, true) {
            let error = DecodeError::of(name, DecodeProblem::Repeated);
            return if odd == Odd::AllKept { Ok(true) } else { Err(error) };
        }
        match serde_json::from_str(json) {
            Ok(value) => self.value = Some(value),
            Err(_) if odd == Odd::Refused => {
                return Err(DecodeError::of(name, DecodeProblem::Unreadable(JsonType::of(json))));
            }
            Err(_) => return Ok(true),
        }
        Ok(false)
    }

    /// Returns the value of a required field.
    ///
    /// # Errors
    ///
    /// If the field is missing.
    pub fn required(self, name: &'static str) -> Result<T, DecodeError> {
        self.value.ok_or(DecodeError::of(name, DecodeProblem::Missing))
    }
}

impl<T: Default> Slot<T> {
    /// Returns the value of an optional field.
    pub fn optional(self) -> T {
        self.value.unwrap_or_default()
    }
}

/// Implements [`FromJson`] and `Deserialize` for the generated type of an object that keeps undocumented fields.
#[doc(hidden)]
#[macro_export]
macro_rules! decode_object {
    (
        $type:ident, $odd:ident, $extra:ident,
        required { $($required_name:literal => $required:ident,)* }
        rows { $($rows_name:literal => $rows:ident,)* }
        secret { $($secret_name:literal => $secret:ident,)* }
        optional { $($name:literal => $field:ident,)* }
    ) => {
        impl $crate::json::FromJson for $type {
            const FIELDS: &'static [&'static str] =
                &[$($required_name,)* $($rows_name,)* $($secret_name,)* $($name,)*];

            fn from_json(json: &str) -> ::std::result::Result<Self, $crate::json::DecodeError> {
                use $crate::runtime::{Odd, ObjectFields, Slot, UnknownFields};
                $(let mut $required = Slot::default();)*
                $(let mut $rows = Slot::default();)*
                $(let mut $secret = Slot::default();)*
                $(let mut $field = Slot::default();)*
                let mut extra: $crate::$extra = UnknownFields::begin(json);
                for (name_json, name, value) in ObjectFields::of(json)? {
                    let keeps = match &*name {
                        $($required_name => $required.read($required_name, value, Odd::Refused)?,)*
                        $($rows_name => $rows.read($rows_name, value, Odd::Refused)?,)*
                        $($secret_name => $secret.read($secret_name, value, Odd::Kept)?,)*
                        $($name => $field.read($name, value, Odd::$odd)?,)*
                        _ => true,
                    };
                    if keeps {
                        extra.keep(name_json, value);
                    }
                }
                Ok(Self {
                    $($required: $required.required($required_name)?,)*
                    $($rows: $rows.optional(),)*
                    $($secret: $secret.optional(),)*
                    $($field: $field.optional(),)*
                    extra: extra.end(),
                })
            }
        }

        impl<'de> $crate::runtime::AtOnce<'de> for $type {
            fn at_once<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                use ::serde::de::{Error as _, MapAccess};
                use $crate::runtime::{UnknownFields, Whole};

                struct Visitor;

                impl<'de> ::serde::de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> ::std::result::Result<$type, A::Error> {
                        $(let mut $required = None;)*
                        $(let mut $rows = None;)*
                        $(let mut $secret = None;)*
                        $(let mut $field = None;)*
                        let mut extra = $crate::$extra::default();
                        while let Some(name) = map.next_key::<&'de str>()? {
                            let is_repeated = match name {
                                $($required_name => {
                                    let Whole(value) = map.next_value()?;
                                    $required.replace(value).is_some()
                                })*
                                $($rows_name => {
                                    let Whole(value) = map.next_value()?;
                                    $rows.replace(value).is_some()
                                })*
                                $($secret_name => {
                                    let Whole(value) = map.next_value()?;
                                    $secret.replace(value).is_some()
                                })*
                                $($name => {
                                    let Whole(value) = map.next_value()?;
                                    $field.replace(value).is_some()
                                })*
                                _ => {
                                    extra.keep_unescaped(name, map.next_value::<&'de $crate::runtime::RawValue>()?.get());
                                    false
                                }
                            };
                            if is_repeated {
                                return Err(A::Error::custom("a repeated field"));
                            }
                        }
                        Ok($type {
                            $($required: $required.ok_or_else(|| A::Error::missing_field($required_name))?,)*
                            $($rows: $rows.unwrap_or_default(),)*
                            $($secret: $secret.unwrap_or_default(),)*
                            $($field: $field.unwrap_or_default(),)*
                            extra: extra.end(),
                        })
                    }
                }

                if !<$crate::$extra as UnknownFields>::AT_ONCE {
                    return Err(D::Error::custom("its size must be known"));
                }
                deserializer.deserialize_map(Visitor)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                $crate::runtime::through_text(deserializer)
            }
        }
    };
}

/// Implements `Deserialize` for the generated type of a value with several documented forms.
#[doc(hidden)]
#[macro_export]
macro_rules! decode_one_of {
    ($type:ident { $($form:ident($form_type:ty),)* }) => {
        impl $crate::json::FromJson for $type {
            const FIELDS: &'static [&'static str] = &[];

            fn from_json(json: &str) -> ::std::result::Result<Self, $crate::json::DecodeError> {
                #[allow(unused_imports)]
                use $crate::runtime::ScalarForm as _;
                $(if let Some(value) = $crate::runtime::Form::<$form_type>::decode(json) {
                    return Ok(Self::$form(value));
                })*
                Err($crate::json::DecodeError { field: None, problem: $crate::json::DecodeProblem::NoForm })
            }
        }

        impl<'de> $crate::runtime::AtOnce<'de> for $type {
            fn at_once<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                use ::serde::de::Error as _;
                #[allow(unused_imports)]
                use $crate::runtime::ScalarForm as _;
                struct Scalar;
                impl<'de> ::serde::de::Visitor<'de> for Scalar {
                    type Value = $type;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str("a documented form")
                    }

                    fn visit_i64<E: ::serde::de::Error>(self, number: i64) -> ::std::result::Result<$type, E> {
                        $(if let Some(value) = $crate::runtime::Form::<$form_type>::of_number(number) {
                            return Ok($type::$form(value));
                        })*
                        Err(E::custom("no number"))
                    }

                    fn visit_u64<E: ::serde::de::Error>(self, number: u64) -> ::std::result::Result<$type, E> {
                        i64::try_from(number).map_err(E::custom).and_then(|number| self.visit_i64(number))
                    }

                    fn visit_str<E: ::serde::de::Error>(self, text: &str) -> ::std::result::Result<$type, E> {
                        $(if let Some(value) = $crate::runtime::Form::<$form_type>::of_text(text) {
                            return Ok($type::$form(value));
                        })*
                        Err(E::custom("no text"))
                    }
                }
                if true $(&& $crate::runtime::Form::<$form_type>::IS_SCALAR)* {
                    return deserializer.deserialize_any(Scalar);
                }
                let json = <&'de $crate::runtime::RawValue as ::serde::Deserialize>::deserialize(deserializer)?;
                $crate::json::FromJson::from_json(json.get()).map_err(D::Error::custom)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                $crate::runtime::through_text(deserializer)
            }
        }
    };
}

/// Decodes one form of a value: an object here, and anything else by [`ScalarForm`]. An object is decoded where it is,
/// because a copy of it may be large.
#[derive(Debug)]
pub struct Form<T>(std::marker::PhantomData<T>);

impl<T: FromJson> Form<T> {
    /// Decodes an object.
    pub fn decode(json: &str) -> Option<T> {
        T::from_json(json).ok()
    }

    /// Whether no value of this form has parts.
    pub const IS_SCALAR: bool = T::IS_TEXT;

    /// Converts a decoded text.
    pub fn of_text(text: &str) -> Option<T> {
        T::from_text(text)
    }

    /// Converts a number, which is never of this form.
    pub fn of_number(_: i64) -> Option<T> {
        None
    }
}

/// Decodes a form that is no object.
pub trait ScalarForm<T> {
    /// Whether no value of this form has parts.
    const IS_SCALAR: bool;

    /// Decodes a value.
    fn decode(json: &str) -> Option<T>;

    /// Converts a decoded text.
    fn of_text(_: &str) -> Option<T> {
        None
    }

    /// Converts a decoded number.
    fn of_number(_: i64) -> Option<T> {
        None
    }
}

impl ScalarForm<i64> for Form<i64> {
    const IS_SCALAR: bool = true;

    fn decode(json: &str) -> Option<i64> {
        // An error costs more than a value.
        if JsonType::of(json) == JsonType::Number { serde_json::from_str(json).ok() } else { None }
    }

    fn of_number(number: i64) -> Option<i64> {
        Some(number)
    }
}

impl<T> ScalarForm<Rows<T>> for Form<Rows<T>> {
    const IS_SCALAR: bool = false;

    fn decode(json: &str) -> Option<Rows<T>> {
        if JsonType::of(json) == JsonType::List { serde_json::from_str(json).ok() } else { None }
    }
}

/// The fields of an object: the name as JSON text, the name, and the value as JSON text.
#[derive(Debug)]
pub struct ObjectFields<'a>(super::scan::Fields<'a>);

impl<'a> ObjectFields<'a> {
    /// Starts to read an object.
    ///
    /// # Errors
    ///
    /// If the value is not an object.
    pub fn of(json: &'a str) -> Result<Self, DecodeError> {
        let problem = DecodeProblem::NotAnObject(JsonType::of(json));
        super::scan::Fields::of(json).map(Self).ok_or(DecodeError { field: None, problem })
    }
}

impl<'a> Iterator for ObjectFields<'a> {
    type Item = (&'a str, std::borrow::Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name, super::scan::lossy_text(name)?, value))
    }
}
