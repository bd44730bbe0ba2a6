//! The key, its parts, and the requests that change it.

pub(crate) mod capability;
pub(crate) mod extra;
pub(crate) mod identity;
pub(crate) mod issued;
pub(crate) mod key;
pub(crate) mod key_builder;
pub(crate) mod key_ref;
pub(crate) mod mark;
pub(crate) mod operation;
pub(crate) mod request;
#[cfg(feature = "schema")]
mod schema;
pub(crate) mod stats;
pub(crate) mod text;
