//! A test suite that every [`Provider`] passes. It runs the cases that the provider's capabilities allow.
//!
//! Use it to test a provider or a layer. The cases create their own keys and delete them afterwards. They assume that
//! nothing else changes the keys meanwhile, that the credential has every permission, and that a key may have an
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

/// The provider to test, and the roles to use.
#[derive(Clone, Debug)]
pub struct Subject {
    provider: Arc<dyn Provider>,
    role: String,
    other_role: String,
    role_without_list: Option<String>,
}

impl Subject {
    /// Creates a subject. New keys can have both roles, and both roles allow at least listing keys.
    pub fn new(provider: impl Provider + 'static, role: impl Into<String>, other_role: impl Into<String>) -> Self {
        let (role, other_role) = (role.into(), other_role.into());
        Self { provider: Arc::new(provider), role, other_role, role_without_list: None }
    }

    /// Adds a role that does not allow listing keys. The suite then checks that the secret of such a key is told from one
    /// that is unknown.
    #[must_use]
    pub fn role_without_list(mut self, role: impl Into<String>) -> Self {
        self.role_without_list = Some(role.into());
        self
    }
}

/// The results of all cases.
#[derive(Clone, Debug)]
#[must_use = "cases may have failed"]
pub struct Report {
    provider: String,
    results: Vec<(&'static str, CaseResult)>,
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseResult {
    /// The provider behaves as it should.
    Passed,
    /// The provider does not offer this capability, which the case needs.
    Skipped(Capability),
    /// The provider misbehaves; the text says how.
    Failed(String),
}

impl Report {
    /// Returns each case's name and result, in the order in which the cases ran.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, &CaseResult)> {
        self.results.iter().map(|(name, result)| (*name, result))
    }

    /// Returns the number of cases that passed.
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|(_, result)| *result == CaseResult::Passed).count()
    }

    /// Returns the number of cases that failed.
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|(_, result)| matches!(result, CaseResult::Failed(_))).count()
    }

    /// Panics unless at least one case ran and all of them passed.
    ///
    /// # Panics
    ///
    /// If a case failed, or no case ran. The message is the whole report.
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
                CaseResult::Skipped(capability) => write!(f, "\n  skipped without {capability}: {name}")?,
                CaseResult::Failed(what) => write!(f, "\n  FAILED: {name}: {what}")?,
            }
        }
        Ok(())
    }
}

/// Runs the cases that the provider's capabilities allow, one after another.
pub async fn run(subject: &Subject) -> Report {
    let fixture = Fixture::new(subject);
    let capabilities = subject.provider.capabilities();
    let mut results = Vec::with_capacity(CASES.len());
    for case in CASES {
        if case.needs_role_without_list && subject.role_without_list.is_none() {
            continue;
        }
        // The vendor may ignore an emulated option, so a case about it would prove nothing.
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
