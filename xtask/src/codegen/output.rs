//! Writes generated files, or compares them with the existing ones.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use similar::TextDiff;

/// A generated file: its path, relative to the workspace, and its text.
pub(super) struct GeneratedFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Writes the files that differ from the existing ones.
pub(super) fn write(root: &Path, files: &[GeneratedFile]) -> Result<()> {
    for file in files {
        let path = root.join(&file.path);
        if current(&path)? == file.text {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(io::stdout(), "wrote {}", file.path.display())?;
    }
    Ok(())
}

/// Prints a unified diff of every file that differs from its generated text. Returns whether any file differs.
pub(super) fn compare(root: &Path, files: &[GeneratedFile]) -> Result<bool> {
    let mut stale = false;
    for path in unexpected_files(root, files)? {
        stale = true;
        writeln!(
            io::stdout(),
            "{}: no spec generates this file; delete it or move it to another folder",
            path.display()
        )?;
    }
    for file in files {
        let old = current(&root.join(&file.path))?;
        if old == file.text {
            continue;
        }
        stale = true;
        let path = file.path.display().to_string();
        let diff = TextDiff::from_lines(&old, &file.text);
        write!(io::stdout(), "{}", diff.unified_diff().header(&path, &format!("{path} (from the spec)")))?;
    }
    if stale {
        writeln!(io::stderr(), "error: the generated code does not match the specs; run `cargo xtask codegen`")?;
    }
    Ok(stale)
}

/// Returns the files in the folders of generated code that no spec generates.
fn unexpected_files(root: &Path, files: &[GeneratedFile]) -> Result<BTreeSet<PathBuf>> {
    let mut unexpected = BTreeSet::new();
    for folder in files.iter().filter_map(|file| file.path.parent()).collect::<BTreeSet<_>>() {
        let entries = match fs::read_dir(root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("cannot read {}", folder.display()))?,
        };
        for entry in entries {
            let path = folder.join(entry.with_context(|| format!("cannot read {}", folder.display()))?.file_name());
            if files.iter().all(|file| file.path != path) {
                unexpected.insert(path);
            }
        }
    }
    Ok(unexpected)
}

/// Reads an existing file. Returns an empty text if it does not exist.
fn current(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}
