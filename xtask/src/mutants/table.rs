//! The list of mutations, `mutants.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::suite::Suite;

/// The whole list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The suites of tests, by name.
    suites: BTreeMap<String, Suite>,
    pub(super) mutations: Vec<Mutation>,
}

/// One small change that breaks the code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutation {
    /// What the mutated code does wrong.
    pub(super) name: String,
    pub(super) file: String,
    /// The text to replace. It occurs once in the file.
    pub(super) find: String,
    pub(super) replace: String,
    /// The suites that may notice, in the order in which they run.
    pub(super) suites: Vec<String>,
    /// Why no test notices, if that is right.
    pub(super) explained: Option<String>,
}

impl Table {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let path = root.join("xtask/mutants.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn suite(&self, name: &str) -> Result<&Suite> {
        self.suites.get(name).with_context(|| format!("the list has no suite {name:?}"))
    }

    /// Checks that each mutation still fits the code.
    pub(super) fn check(&self, root: &Path) -> Result<()> {
        let mut names = BTreeSet::new();
        for mutation in &self.mutations {
            let Mutation { name, file, find, replace, suites, .. } = mutation;
            ensure!(names.insert(name), "two mutations are named {name:?}");
            ensure!(find != replace, "{name}: the mutation changes nothing");
            ensure!(!suites.is_empty(), "{name}: no suite can notice the mutation");
            suites.iter().try_for_each(|suite| self.suite(suite).map(drop)).with_context(|| name.clone())?;
            let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("{name}: {file}"))?;
            let count = text.matches(find.as_str()).count();
            ensure!(count == 1, "{name}: the text to replace occurs {count} times in {file}, and should occur once");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Table;
    use crate::workspace_root;

    #[test]
    fn every_mutation_fits_the_code() {
        let table = Table::read(workspace_root()).unwrap();
        table.check(workspace_root()).unwrap();
        assert!(table.mutations.len() >= 60, "{}", table.mutations.len());
    }
}
