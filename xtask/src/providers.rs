//! The providers that clients are generated for.

use std::path::{Path, PathBuf};

/// A provider's name, from which its spec, its crate and its module follow.
///
/// A new provider is a line here, a spec `specs/NAME.yaml` and a crate skeleton `crates/NAME-raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Provider {
    Monad,
    Spartera,
}

impl Provider {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monad => "monad",
            Self::Spartera => "spartera",
        }
    }

    /// Where its spec lies, from the workspace's root.
    pub(crate) fn spec(self) -> PathBuf {
        Path::new("specs").join(self.name()).with_extension("yaml")
    }

    /// Where its generated code lies, from the workspace's root.
    pub(crate) fn generated(self) -> PathBuf {
        Path::new("crates").join(format!("{}-raw", self.name())).join("src").join("generated")
    }
}
