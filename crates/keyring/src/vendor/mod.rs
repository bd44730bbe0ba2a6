//! The adapters of the vendors, and what they share. Only a vendor's own folder names its raw crate.

pub(crate) mod call;
pub(crate) mod credential;
#[cfg(feature = "monad")]
pub(crate) mod monad;
mod recover;
mod setup;
#[cfg(feature = "spartera")]
pub(crate) mod spartera;
