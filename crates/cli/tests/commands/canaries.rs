//! A secret in an argument is in no output, wherever it is.

use std::thread;

use crate::harness::{Run, commands, help, program};

/// Secrets of known forms, and a credential in use, which has no known form.
const CANARIES: [&str; 4] = [
    "sk_live_canary0123456789abcdef",
    "sk_test_canary",
    "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl",
    CREDENTIAL,
];

const CREDENTIAL: &str = "correct-horse-canary";

/// A secret of no known form. An id may look like this, so only messages about wrong arguments leave it out.
const UNKNOWN: &str = "c4naryZm9vYmFyQkFSZm9v4242";

/// What stands around a secret in an argument.
const AROUND: [&str; 6] = ["{}", "file:{}", "spartera/{}", "{}/1", "list:{}", "dotenv:/nowhere/.env#{}"];

/// A command of the program with all arguments that it must have, and one place for another text.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    /// The arguments before the text, and after it. `{}` in `text` stands for it.
    before: Vec<String>,
    text: String,
    after: Vec<String>,
}

impl Position {
    pub(crate) fn arguments(&self, format: &str, text: &str) -> Vec<String> {
        let place = self.text.replace("{}", text);
        let all = self.before.iter().chain([&place]).chain(&self.after).cloned();
        ["--output".to_owned(), format.to_owned()].into_iter().chain(all).collect()
    }
}

/// Returns a value for an argument that the help names like this, so that the command gets further than this argument.
fn sample(value_name: &str) -> &'static str {
    match value_name {
        "PROVIDER/ID" => "spartera/1001",
        "PROVIDER" => "spartera",
        "ROTATION" => "r-naf8p0qaubnvieq2",
        "ROLE" => "3",
        "DEST" => "file:/dev/null/{name}",
        _ => "ci",
    }
}

/// Returns every place for an argument of a command, as its help shows them: each option, each argument without an
/// option, and what the command does not know.
fn positions(command: &str) -> Vec<Position> {
    let help = help(&[command, "--help"], 1000);
    let usage = help.lines().find_map(|line| line.strip_prefix("Usage: api-keyring ")).unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let required: Vec<_> = words(usage)
        .into_iter()
        .skip(1)
        .filter(|word| !word.starts_with('['))
        .map(|word| match word.trim_matches(['<', '>']) {
            "SELECTION" => "--all".to_owned(),
            _ if word.starts_with("--") => word,
            name => sample(name).to_owned(),
        })
        .collect();
    let with_required = |text: &str| {
        let before = [&[command.to_owned()], &*required].concat();
        Position { before, text: text.to_owned(), after: vec![] }
    };
    let mut positions =
        vec![with_required("{}"), with_required("--{}"), with_required("-{}"), with_required("--yes={}")];
    // Each required argument in turn, where a text replaces it.
    for at in 0..required.len() {
        let before = [&[command.to_owned()], &required[..at]].concat();
        positions.push(Position { before, text: "{}".to_owned(), after: required[at + 1..].to_vec() });
    }
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        // A line that begins with another dash describes a value.
        let Some(option) = line.split_whitespace().take(2).find(|word| word.starts_with("--")) else { continue };
        match line.contains('<') {
            true => {
                positions.push(with_required(&format!("{option}={{}}")));
                let mut apart = with_required("{}");
                apart.before.push(option.to_owned());
                positions.push(apart);
            }
            false => positions.push(with_required(&format!("{option}={{}}"))),
        }
    }
    // Optional arguments without an option follow the required ones, as the first position has it.
    positions
}

pub(crate) fn every_position() -> Vec<Position> {
    let bare = |text: &str| Position { before: vec![], text: text.to_owned(), after: vec![] };
    let help = Position { before: vec!["help".to_owned()], ..bare("{}") };
    let commands = commands();
    let all =
        commands.iter().filter(|command| *command != "demo" && *command != "emulator").flat_map(|one| positions(one));
    // These two run for long if nothing is wrong with their arguments, so they also get an argument that is wrong.
    let mut long: Vec<_> = ["demo", "emulator"].iter().flat_map(|one| positions(one)).collect();
    long.iter_mut().for_each(|position| position.after.push("--nonsense".to_owned()));
    all.chain(long).chain(["{}", "--{}", "--output={}"].map(bare)).chain([help]).collect()
}

/// Runs the program with these arguments, and with providers that nobody answers for.
fn run(arguments: &[String]) -> Run {
    let mut command = program();
    command
        .env("SPARTERA_API_KEY", CREDENTIAL)
        .env("SPARTERA_COMPANY_ID", "acme")
        .env("SPARTERA_BASE_URL", "http://127.0.0.1:1")
        .env("API_KEYRING_JOURNAL", "/dev/null/journal.sqlite")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(arguments);
    command.output().unwrap().into()
}

/// Runs each cell, on two threads. Returns what is wrong.
fn violations(cells: &[(Vec<String>, &str)]) -> Vec<String> {
    let half = |cells: &[(Vec<String>, &str)]| {
        let leak = |(arguments, canary): &(Vec<String>, &str)| {
            let run = run(arguments);
            let shown = format!("{}{}", run.stdout, run.stderr);
            let shows = shown.contains(canary) || shown.to_lowercase().contains("canary") || shown.contains("c4nary");
            (shows || run.code == 0).then(|| format!("{arguments:?}, code {}: {shown}", run.code))
        };
        cells.iter().filter_map(leak).collect::<Vec<_>>()
    };
    let (first, second) = cells.split_at(cells.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(move || half(second));
        [half(first), other.join().unwrap()].concat()
    })
}

#[test]
fn a_secret_in_any_argument_of_any_command_is_in_no_output() {
    let positions = every_position();
    let mut cells = Vec::new();
    for position in &positions {
        for format in ["table", "json"] {
            for canary in CANARIES {
                let in_place = AROUND.map(|around| (position.arguments(format, &around.replace("{}", canary)), canary));
                // Every form of the secret on its own, and one of them in each surrounding.
                let is_full = format == "table" && (canary == CANARIES[0] || canary == CREDENTIAL);
                let kept = if is_full { AROUND.len() } else { 1 };
                cells.extend(in_place.into_iter().take(kept));
            }
        }
    }
    println!("{} positions, {} cells of a secret in an argument", positions.len(), cells.len());
    let violations = violations(&cells);
    assert!(violations.is_empty(), "{} of {}:\n{}", violations.len(), cells.len(), violations.join("\n"));
}

#[test]
fn a_word_that_may_be_a_secret_is_not_repeated_where_it_is_wrong() {
    // Where any text is an argument of its own right, such as a name or a path, this word is one, too.
    let takes_any_text =
        ["--name", "--description", "--owner", "--reason", "--role", "--to", "--in", "--journal", "--named"];
    let takes_any_text = |position: &Position| {
        takes_any_text.iter().any(|option| {
            position.before.last().is_some_and(|last| last == option) || position.text.starts_with(option)
        })
    };
    let positions: Vec<_> = every_position().into_iter().filter(|position| !takes_any_text(position)).collect();
    let cells: Vec<_> = positions
        .iter()
        .flat_map(|position| ["table", "json"].map(|format| (position.arguments(format, UNKNOWN), UNKNOWN)))
        .filter(|(arguments, _)| {
            !["--waive-evidence", "--state"].iter().any(|free| arguments.iter().any(|one| one.starts_with(free)))
        })
        .collect();
    println!("{} cells of an unknown word in an argument", cells.len());
    let violations = violations(&cells);
    assert!(violations.is_empty(), "{} of {}:\n{}", violations.len(), cells.len(), violations.join("\n"));
}

/// These arguments begin like a secret, and are none.
#[test]
fn names_of_files_and_ids_are_no_secrets() {
    for arguments in [
        &["get", "spartera/key_abc123"][..],
        &["get", "spartera/9f8c2e1a-0000-4000-8000-000000000000"],
        &["status", "--journal", "/dev/null/sk_live_journal"],
    ] {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let run = run(&arguments);
        assert!(run.code == 1 && !run.stderr.contains("looks like a secret"), "{arguments:?}: {}", run.stderr);
    }
}
