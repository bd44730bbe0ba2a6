//! The help of every command fits a terminal of 80 columns.

use crate::harness::{commands, help};

const WIDTH: usize = 80;

#[test]
fn help_fits_80_columns_and_breaks_no_word() {
    let commands = commands();
    assert_eq!(commands.len(), 18, "{commands:?}");
    let of_commands = commands.iter().flat_map(|name| [vec![name.as_str(), "--help"], vec![name.as_str(), "-h"]]);
    for arguments in [vec!["--help"], vec!["-h"]].into_iter().chain(of_commands) {
        let narrow = help(&arguments, WIDTH);
        for line in narrow.lines() {
            assert!(line.chars().count() <= WIDTH, "{arguments:?}: the line is too long: {line:?}");
        }
        let wide = help(&arguments, 1000);
        assert!(narrow.lines().count() >= wide.lines().count(), "{arguments:?}: the width has no effect");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&narrow), words(&wide), "{arguments:?}: a word is broken");
    }
}

#[test]
fn every_command_and_every_option_has_a_description() {
    for command in commands() {
        let help = help(&[&command, "-h"], 1000);
        let described = help.lines().next().unwrap();
        assert!(!described.is_empty() && !described.starts_with("Usage"), "{command} has no description");
        let entries = help.lines().filter(|line| line.trim_start().starts_with("--") || line.starts_with("  <"));
        for entry in entries {
            let (_, description) = entry.trim_start().split_once("  ").unwrap_or((entry, ""));
            assert!(!description.trim().is_empty(), "{command}: {entry:?} has no description");
        }
    }
}
