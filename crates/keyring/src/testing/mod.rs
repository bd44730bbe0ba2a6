//! Tools for tests: a provider in memory, and the suite that every provider passes.

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "memory")]
pub(crate) mod memory;
