//! Asks before a command destroys something.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::arguments::Consent;
use crate::failure::{Failure, Result};

/// Succeeds if the user consents, with `--yes` or at the terminal.
pub(crate) fn confirm(consent: &Consent, question: &str) -> Result {
    if consent.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{question} There is no terminal to ask at: confirm with --yes")));
    }
    let answer = ask(question)
        .map_err(|why| Failure::Other(format!("nothing was done, because the terminal cannot be used: {why}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Other("you did not confirm, so nothing was done".to_owned())),
    }
}

fn ask(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}
