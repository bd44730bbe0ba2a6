//! The functions and types that generated code calls.
//!
//! The generator writes code against `progenitor_client`. `cargo xtask codegen` replaces that name with this module,
//! which re-exports the harmless parts of `progenitor_client` and replaces three others:
//!
//! - [`Error`] never shows a body in `Debug` or `Display`.
//! - [`ResponseValue`] reads an answer only up to its limit.
//! - The [hooks](ClientHooks) have a single implementation, so every client uses them.

mod body;
mod communication;
mod decode;
mod error;
mod hooks;
mod request;
mod response;
mod undecoded;

pub use crate::json::at_once::{AtOnce, Whole};
pub use crate::json::decode::{Form, ObjectFields, Odd, ScalarForm, Slot, through_text};
pub use crate::json::fields::UnknownFields;
pub use communication::{CommunicationError, Obstacle};
pub use error::Error;
pub use hooks::ClientHooks;
pub use progenitor_client::{ByteStream, ClientInfo, OperationInfo, QueryParam};
pub use request::{RequestBuilderExt, encode_path};
pub use response::ResponseValue;
pub use serde_json::value::RawValue;
pub use undecoded::{UndecodedReason, UndecodedResponse};
