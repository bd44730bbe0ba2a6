//! `list` shows the keys of one provider or of all.

use api_keyring::{ApiKey, Error, ListKeys};
use futures_util::StreamExt as _;

use crate::arguments::Format;
use crate::failure::Result;
use crate::output::{StreamedArray, StreamedTable};
use crate::{config, output};

pub(super) async fn run(format: Format, provider: Option<&str>) -> Result {
    let keyring = config::from_environment(provider)?;
    let mut keys = keyring.list(ListKeys::new());
    let mut problems = Problems::default();
    match format {
        // Printing each key at once keeps the memory small, however many keys there are.
        Format::Json => {
            let mut array = StreamedArray::default();
            while let Some(key) = keys.next().await {
                if let Some(key) = problems.keep_key(key) {
                    array.add(&key)?;
                }
            }
            array.end(problems.last.is_none())?;
        }
        Format::Table => {
            let mut table = StreamedTable::new(output::KEY_HEADER);
            let mut is_empty = true;
            while let Some(key) = keys.next().await {
                if let Some(key) = problems.keep_key(key) {
                    table.add(output::key_row(&key))?;
                    is_empty = false;
                }
            }
            if !is_empty || problems.last.is_none() {
                table.end()?;
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
            Ok(key) => {
                tell_unreadable(&key);
                return Some(key);
            }
            Err(error) => error,
        };
        if let Some(earlier) = self.last.replace(error) {
            output::failure(&earlier.into());
        }
        None
    }
}

/// Says which fields of a key do not have the documented form.
fn tell_unreadable(key: &ApiKey) {
    if let [fields @ .., last] = key.unreadable_fields() {
        let mut names: String = fields.iter().map(|field| format!("`{field}`, ")).collect();
        names.push_str(&format!("`{last}`"));
        let (provider, id) = (key.provider(), key.id());
        output::notice(&format!("note: {provider}/{id} does not have the documented form in: {names}"));
    }
}
