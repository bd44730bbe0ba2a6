//! The vendors with a generated client.

use std::path::{Path, PathBuf};

/// A vendor. Its name determines the paths of its spec and of its crate.
///
/// A new vendor needs a variant here, a spec `specs/NAME.yaml` and a crate skeleton `crates/NAME-raw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Vendor {
    Monad,
    Spartera,
}

impl Vendor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monad => "monad",
            Self::Spartera => "spartera",
        }
    }

    /// Returns the path of the spec, relative to the workspace.
    pub(crate) fn spec(self) -> PathBuf {
        Path::new("specs").join(self.name()).with_extension("yaml")
    }

    /// Returns the folder of the generated code, relative to the workspace.
    pub(crate) fn generated(self) -> PathBuf {
        Path::new("crates").join(format!("{}-raw", self.name())).join("src").join("generated")
    }
}
