//! Every promise in SECURITY.md names tests that exist.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

/// Reads all sources, each with the name of its module.
fn read_sources(folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            sources.push((module, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Returns whether these sources have a test of this name, which may begin with a module: `module::test`.
fn is_test(sources: &[(String, String)], name: &str) -> bool {
    let (module, name) = name.split_once("::").map_or((None, name), |(module, name)| (Some(module), name));
    sources.iter().filter(|(of, _)| module.is_none_or(|module| module == of)).any(|(_, source)| has_test(source, name))
}

/// Returns whether a source has a test of this name. Comments and other attributes may follow `#[test]`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let starts = [format!("fn {name}("), format!("async fn {name}(")];
    let is_ours = |number: &usize| starts.iter().any(|start| lines[*number].starts_with(start));
    let is_attribute = |line: &&&str| line.starts_with("#[") || line.starts_with("//");
    (0..lines.len()).filter(is_ours).any(|number| {
        let mut above = lines[..number].iter().rev().take_while(is_attribute);
        above.any(|line| ["#[test]", "#[tokio::test]"].contains(line) || line.starts_with("#[tokio::test("))
    })
}

#[test]
fn every_promise_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    read_sources(&root.join("crates"), &mut sources);
    let page = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut count = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(is_test(&sources, name), "there is no test {name}");
            count += 1;
        }
    }
    assert!(count > 20);
}
