//! The only module that writes to standard output and standard error, apart from the secret for `--to -`.
//!
//! It cleans each line, also of line ends in texts from outside. So every line end in the output is this program's own.

use std::io::{self, BufRead as _, IsTerminal as _, StdoutLock, Write};

use api_keyring::printable;

use crate::failure::{Failure, Result};
use crate::secrets::redact_random;

/// Separates an error from its cause.
const CAUSE: &str = "  caused by: ";

/// Prints a line on standard error, beside the result. If standard error is closed, nobody reads the line.
///
/// No secret has a place on standard error, whatever an error of another library repeats.
pub(crate) fn notice(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(&redact_random(line)));
}

/// Prints a failure on standard error, and each cause on a line of its own. A closed standard output is not a failure
/// and prints nothing.
pub(crate) fn failure(failure: &Failure) {
    if matches!(failure, Failure::OutputClosed) {
        return;
    }
    for (at, text) in failure.texts().iter().enumerate() {
        notice(&format!("{}{text}", if at == 0 { "error: " } else { CAUSE }));
    }
}

/// Prints the lines that the parser of the command line writes about wrong arguments.
pub(crate) fn usage(text: &str) {
    text.trim_end().lines().for_each(notice);
}

/// Prints help, which holds only this program's own text.
pub(crate) fn help(text: &str) -> Result {
    print(|stdout| stdout.write_all(text.as_bytes()))
}

/// Asks on standard error, and returns the answer from standard input.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} [y/N] ", printable(question))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

/// Prints a line on standard output.
pub(crate) fn line(line: &str) -> Result {
    lines([line.to_owned()])
}

/// Prints lines on standard output.
pub(super) fn lines(lines: impl IntoIterator<Item = String>) -> Result {
    print(|stdout| lines.into_iter().try_for_each(|line| writeln!(stdout, "{}", printable(&line))))
}

/// Returns whether standard error is a terminal.
pub(crate) fn is_error_terminal() -> bool {
    io::stderr().is_terminal()
}

pub(super) fn print(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> Result {
    let mut stdout = io::stdout().lock();
    write(&mut stdout).and_then(|()| stdout.flush()).map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Unprintable(error),
    })
}
