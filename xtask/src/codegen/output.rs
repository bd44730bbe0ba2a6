//! Writing generated files, or comparing them with what is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use similar::TextDiff;

/// A file to be generated: its path from the workspace's root, and its text.
pub(super) struct GeneratedFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Writes the files that differ from what is there.
pub(super) fn write(root: &Path, files: &[GeneratedFile]) -> Result<()> {
    for file in files {
        let path = root.join(&file.path);
        if current(&path)? == file.text {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(io::stdout(), "wrote {}", file.path.display())?;
    }
    Ok(())
}

/// Prints a unified diff of every file that is not what would be written, and tells whether there was one.
pub(super) fn compare(root: &Path, files: &[GeneratedFile]) -> Result<bool> {
    let mut stale = false;
    for path in strays(root, files)? {
        stale = true;
        writeln!(io::stdout(), "{} is in a folder of generated code, and no spec generates it", path.display())?;
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
        writeln!(io::stderr(), "error: the generated code and the specs disagree; run `cargo xtask codegen`")?;
    }
    Ok(stale)
}

/// The files beside generated ones that are none.
fn strays(root: &Path, files: &[GeneratedFile]) -> Result<BTreeSet<PathBuf>> {
    let mut strays = BTreeSet::new();
    for folder in files.iter().filter_map(|file| file.path.parent()).collect::<BTreeSet<_>>() {
        let entries = match fs::read_dir(root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("cannot read {}", folder.display()))?,
        };
        for entry in entries {
            let path = folder.join(entry.with_context(|| format!("cannot read {}", folder.display()))?.file_name());
            if files.iter().all(|file| file.path != path) {
                strays.insert(path);
            }
        }
    }
    Ok(strays)
}

fn current(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read {}", path.display())),
    }
}
