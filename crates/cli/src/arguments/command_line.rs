//! Reads the command line, and explains wrong arguments without repeating what must not be shown.

use std::error::Error as _;
use std::ffi::OsString;

use api_keyring::printable;
use clap::Parser as _;
use clap::error::ErrorKind;

use super::Arguments;
use crate::secrets;

/// Why there are no arguments to work with.
#[derive(Debug)]
pub(crate) enum NoArguments {
    /// The user asks for this help.
    Help(String),
    /// The arguments are wrong, for this reason.
    Wrong(String),
}

/// Reads the arguments of a process. The first one is the name of the program.
pub(crate) fn read(line: &[OsString]) -> Result<Arguments, NoArguments> {
    Arguments::try_parse_from(line).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => NoArguments::Help(error.render().to_string()),
        _ => NoArguments::Wrong(explain(line, &error)),
    })
}

/// Explains what is wrong with the arguments.
///
/// The parser repeats arguments in its messages, so this parses the arguments once more, with their control characters
/// escaped.
fn explain(line: &[OsString], error: &clap::Error) -> String {
    let shown = line.iter().map(|argument| printable(&argument.to_string_lossy()));
    let rendered = match Arguments::try_parse_from(shown) {
        Err(shown) if shown.use_stderr() => shown.render().to_string(),
        // Only the characters that are escaped here were wrong.
        _ => {
            let why = error.source().map_or_else(|| error.kind().to_string(), ToString::to_string);
            format!("error: {}\n\nFor more information, try '--help'.", printable(&why))
        }
    };
    secrets::redact(&rendered)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The tests that run the program read the commands and their arguments from the help.
    #[test]
    fn the_help_hides_no_command_and_no_argument() {
        let mut command = Arguments::command();
        command.build();
        let mut commands = vec![&command];
        while let Some(command) = commands.pop() {
            assert!(!command.is_hide_set(), "{}", command.get_name());
            assert!(command.get_arguments().all(|argument| !argument.is_hide_set()), "{}", command.get_name());
            commands.extend(command.get_subcommands());
        }
    }
}
