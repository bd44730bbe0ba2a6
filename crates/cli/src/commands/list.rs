//! `list`: all keys, of one provider or of all.

use std::io::{self, Write as _};

use api_keyring::{Error, ListKeys};
use futures_util::StreamExt as _;

use crate::arguments::Format;
use crate::failure::{Failure, Result};
use crate::{config, output};

pub(super) async fn run(format: Format, provider: Option<&str>) -> Result {
    let keyring = config::keyring(&|variable| std::env::var_os(variable), provider)?;
    let mut keys = keyring.list(ListKeys::new());
    let mut problems = Problems::default();
    match format {
        // Written as the keys come, so that it does not matter how many there are.
        Format::Json => {
            let mut stdout = io::stdout().lock();
            let mut separator = "[\n";
            while let Some(key) = keys.next().await {
                match key {
                    Ok(key) => {
                        write!(stdout, "{separator}{}", serde_json::to_string(&key)?)?;
                        separator = ",\n";
                    }
                    Err(error) => problems.note(error)?,
                }
            }
            let end = if separator == "[\n" { "[]\n" } else { "\n]\n" };
            write!(stdout, "{end}")?;
            stdout.flush()?;
        }
        Format::Table => {
            let mut rows = Vec::new();
            while let Some(key) = keys.next().await {
                match key {
                    Ok(key) => rows.push(output::key_row(&key)),
                    Err(error) => problems.note(error)?,
                }
            }
            output::table(output::KEY_HEADER, rows)?;
        }
    }
    problems.into_result()
}

/// What went wrong while the rest of the list was read. All but the last is told at once, the last by the exit code.
#[derive(Default)]
struct Problems {
    last: Option<Error>,
}

impl Problems {
    fn note(&mut self, error: Error) -> Result {
        if let Some(earlier) = self.last.replace(error) {
            write!(io::stderr(), "{}", Failure::from(earlier))?;
        }
        Ok(())
    }

    fn into_result(self) -> Result {
        self.last.map_or(Ok(()), |error| Err(error.into()))
    }
}
