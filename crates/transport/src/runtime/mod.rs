//! What generated code calls.
//!
//! The generator writes code against `progenitor_client`; code generation points it here instead. The parts that are
//! harmless come from there. Replaced are the three that are not: an [`Error`] whose `Debug` and `Display` cannot show a
//! body, a [`ResponseValue`] that reads no more than its limit, and the [hooks](ClientHooks), of which there is one
//! implementation, so that no client can be without them.

mod body;
mod error;
mod hooks;
mod request;
mod response;

pub use error::{CommunicationError, Error, UndecodedReason, UndecodedResponse};
pub use hooks::ClientHooks;
pub use progenitor_client::{ByteStream, ClientInfo, OperationInfo, QueryParam, encode_path};
pub use request::RequestBuilderExt;
pub use response::ResponseValue;
