//! `list` shows the keys of one provider or of all.

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
        // Printing each key at once keeps the memory small, however many keys there are.
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
                // An empty list would claim that there are no keys.
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

/// Collects the errors of a list. It prints each error when the next one arrives; the last one becomes the result.
#[derive(Default)]
struct Problems {
    last: Option<Error>,
}

impl Problems {
    /// Returns the key, or keeps the error.
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
