//! `list`: all keys, of one provider or of all.

use std::io::{self, Write as _};

use api_keyring::{ApiKey, Error, ListKeys};
use futures_util::StreamExt as _;

use crate::arguments::Format;
use crate::failure::Result;
use crate::{config, output};

pub(super) async fn run(format: Format, provider: Option<&str>) -> Result {
    let keyring = config::from_environment(provider)?;
    let mut keys = keyring.list(ListKeys::new());
    let mut problems = Problems::default();
    match format {
        // Written as the keys come, so that it does not matter how many there are.
        Format::Json => {
            let mut stdout = io::stdout().lock();
            let mut separator = "[\n";
            while let Some(key) = keys.next().await {
                if let Some(key) = problems.keep_key(key) {
                    write!(stdout, "{separator}{}", serde_json::to_string(&key)?)?;
                    separator = ",\n";
                }
            }
            match (separator == ",\n", problems.last.is_none()) {
                (true, _) => writeln!(stdout, "\n]")?,
                (false, true) => writeln!(stdout, "[]")?,
                // No key came, and that is not to be taken for there being none.
                (false, false) => {}
            }
            stdout.flush()?;
        }
        Format::Table => {
            let mut rows = Vec::new();
            while let Some(key) = keys.next().await {
                rows.extend(problems.keep_key(key).as_ref().map(output::key_row));
            }
            if !rows.is_empty() || problems.last.is_none() {
                output::table(output::KEY_HEADER, rows)?;
            }
        }
    }
    problems.last.map_or(Ok(()), |error| Err(error.into()))
}

/// What went wrong while the rest of the list was read. All but the last is told at once, the last when all is printed.
#[derive(Default)]
struct Problems {
    last: Option<Error>,
}

impl Problems {
    fn keep_key(&mut self, key: Result<ApiKey, Error>) -> Option<ApiKey> {
        let error = match key {
            Ok(key) => return Some(key),
            Err(error) => error,
        };
        if let Some(earlier) = self.last.replace(error) {
            crate::print_error(&earlier.into());
        }
        None
    }
}
