//! JSON that is kept as text until somebody asks for a value.
//!
//! A parsed value can be a hundred times as large as its text, and one value that cannot be parsed would cost the whole
//! answer. So clients decode the fields that they know, one by one, and keep the others as text.

pub(crate) mod at_once;
pub(crate) mod decode;
pub(crate) mod fields;
mod portable;
pub(crate) mod repair;
mod rows;
pub(crate) mod scan;

pub use decode::{DecodeError, DecodeProblem, FromJson};
pub use fields::{RawFields, RawJson, SecretFields};
pub use rows::{IntoRows, Rows};
pub use scan::{JsonType, lossy_text, text, texts};
