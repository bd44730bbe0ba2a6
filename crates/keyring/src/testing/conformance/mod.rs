//! The suite that every [`Provider`] passes: one table of cases, chosen by what the provider offers.
//!
//! For whoever writes a provider, or a layer around one. The cases make keys of their own and delete them again; they
//! expect that nobody else changes the keys meanwhile, that the credential may do everything, and that a key can be given an
//! expiry.
//!
//! ```
//! # async fn run() {
//! use api_keyring::Memory;
//! use api_keyring::conformance::{Subject, run};
//!
//! let report = run(&Subject::new(Memory::new(), "reader", "writer")).await;
//! println!("{report}");
//! report.assert_passed();
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run());
//! ```

mod cases;
mod fixture;

use std::fmt;
use std::sync::Arc;

use crate::{Capability, Provider, Support};

use self::cases::CASES;
use self::fixture::Fixture;

/// What the suite is run over.
#[derive(Clone, Debug)]
pub struct Subject {
    provider: Arc<dyn Provider>,
    role: String,
    other_role: String,
}

impl Subject {
    /// A provider, and two roles that new keys may have and that may at least list keys.
    pub fn new(provider: impl Provider + 'static, role: impl Into<String>, other_role: impl Into<String>) -> Self {
        Self { provider: Arc::new(provider), role: role.into(), other_role: other_role.into() }
    }
}

/// How the suite went: how each case ended.
#[derive(Clone, Debug)]
#[must_use = "cases may have failed"]
pub struct Report {
    provider: String,
    results: Vec<(&'static str, CaseResult)>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseResult {
    /// The provider does what it should.
    Passed,
    /// The provider does not offer what the case is about.
    Skipped(Capability),
    /// The provider does something else: what.
    Failed(String),
}

impl Report {
    /// Each case's name and how it ended, in the order in which they ran.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, &CaseResult)> {
        self.results.iter().map(|(name, result)| (*name, result))
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|(_, result)| *result == CaseResult::Passed).count()
    }

    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|(_, result)| matches!(result, CaseResult::Failed(_))).count()
    }

    /// Ends the test unless cases were run and all of them passed.
    ///
    /// # Panics
    ///
    /// When a case failed, or none was run: with the whole report.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.failed() == 0 && self.passed() > 0, "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.results.len() - self.passed() - self.failed();
        write!(f, "{}: {} passed, {} failed, {skipped} skipped", self.provider, self.passed(), self.failed())?;
        for (name, result) in &self.results {
            match result {
                CaseResult::Passed => {}
                CaseResult::Skipped(capability) => write!(f, "\n  skipped, {capability} is not offered: {name}")?,
                CaseResult::Failed(what) => write!(f, "\n  FAILED: {name}: {what}")?,
            }
        }
        Ok(())
    }
}

/// Runs every case for which the provider offers what it takes, one after the other.
pub async fn run(subject: &Subject) -> Report {
    let fixture = Fixture::new(subject);
    let capabilities = subject.provider.capabilities();
    let mut results = Vec::with_capacity(CASES.len());
    for case in CASES {
        // An emulated option may be ignored by the vendor, which proves nothing either way.
        let missing = case.needs.iter().find(|needed| match capabilities.support(**needed) {
            Support::Native => false,
            Support::Emulated { .. } => **needed != Capability::Search && **needed != Capability::Sort,
            Support::Unsupported { .. } => true,
        });
        let result = match missing {
            Some(capability) => CaseResult::Skipped(*capability),
            None => match fixture.clean_up_after((case.run)(&fixture).await).await {
                Ok(()) => CaseResult::Passed,
                Err(what) => CaseResult::Failed(what.to_string()),
            },
        };
        results.push((case.name, result));
    }
    Report { provider: subject.provider.name().to_owned(), results }
}
