//! Asking before something is destroyed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::arguments::Consent;
use crate::failure::{Failure, Result};

/// Returns when there is leave to go on: given with `--yes`, or by whoever sits at the terminal.
pub(crate) fn confirm(consent: &Consent, question: &str) -> Result {
    if consent.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{question} Nobody is there to ask; --yes says so beforehand")));
    }
    let answer = ask(question).map_err(|why| Failure::Other(format!("the question could not be asked: {why}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Other("nothing was done".to_owned())),
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
