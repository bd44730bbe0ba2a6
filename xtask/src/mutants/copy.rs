//! The copy of the workspace that is mutated.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::below;
use super::table::Mutation;

/// A copy of the workspace, with a target folder of its own.
pub(super) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

/// A mutated file. Dropping it restores the file.
pub(super) struct Mutated {
    path: PathBuf,
    original: String,
}

impl Workspace {
    /// Copies every file that git knows or would add. Files that are already there stay untouched, so that cargo builds
    /// only what has changed.
    pub(super) fn copy(from: &Path, to: &Path) -> Result<Self> {
        let root = to.join("workspace");
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from)
            .output()
            .context("cannot run git")?;
        ensure!(listed.status.success(), "git cannot list the files: {}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8(listed.stdout)?;
        let names: Vec<_> = names.split('\0').filter(|name| from.join(name).is_file()).collect();
        for name in &names {
            let (source, copy) = (fs::read(from.join(name))?, root.join(name));
            if fs::read(&copy).ok().as_ref() != Some(&source) {
                fs::create_dir_all(copy.parent().unwrap_or(&root))?;
                fs::write(&copy, source)?;
            }
        }
        remove_others(&root, &root, &names)?;
        Ok(Self { root, target: to.join("build") })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Applies a mutation until the result is dropped.
    pub(super) fn mutate(&self, mutation: &Mutation) -> Result<Mutated> {
        let path = self.root.join(&mutation.file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, original.replacen(&mutation.find, &mutation.replace, 1))?;
        Ok(Mutated { path, original })
    }
}

impl Drop for Mutated {
    fn drop(&mut self) {
        // The next run would copy the file again.
        drop(fs::write(&self.path, &self.original));
    }
}

/// Removes files that the workspace no longer has.
fn remove_others(root: &Path, folder: &Path, names: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, names)?;
        } else if !names.iter().any(|name| Path::new(name) == below(root, &path).unwrap_or(&path)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
