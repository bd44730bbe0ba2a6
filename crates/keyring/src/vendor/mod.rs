//! The vendors' adapters and their shared code. Only a vendor's own folder uses its raw crate.

pub(crate) mod call;
pub(crate) mod credential;
mod foreign;
#[cfg(feature = "monad")]
pub(crate) mod monad;
mod recover;
mod rows;
mod setup;
#[cfg(feature = "spartera")]
pub(crate) mod spartera;
mod times;
