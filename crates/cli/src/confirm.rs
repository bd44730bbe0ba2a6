//! Asks before a command destroys something.

use std::io::{self, IsTerminal as _};

use crate::arguments::Consent;
use crate::failure::{Failure, Result};
use crate::output;

/// Succeeds if the user consents, with `--yes` or at the terminal.
///
/// The consequence is a sentence that says what the command does to keys. The question follows it.
pub(crate) fn confirm(consent: &Consent, consequence: &str, question: &str) -> Result {
    if consent.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !output::is_error_terminal() {
        return Err(Failure::Usage(format!(
            "nothing was done, because this command needs your consent. {consequence} To consent without a terminal, \
             use --yes"
        )));
    }
    let answer = output::ask(&format!("{consequence} {question}"))
        .map_err(|why| Failure::Other(format!("nothing was done, because the terminal cannot be used: {why}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Other("you did not confirm, so nothing was done".to_owned())),
    }
}
