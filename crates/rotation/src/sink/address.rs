//! Sinks by name, as a rotation's record has them.

use std::sync::Arc;

use super::command::CommandSink;
use super::file::FileSink;
use super::sink_set::SinkSet;
use super::{Sink, SinkError};

/// The sinks of these names: those that a plan has, so that any process can go on with a rotation.
///
/// | name | sink |
/// |---|---|
/// | `file:PATH` | [`FileSink::new`] |
/// | `dotenv:PATH#VARIABLE` | [`FileSink::dotenv`] |
/// | `command:PROGRAM`, `command:["PROGRAM", "ARGUMENT", …]` | [`CommandSink`] |
///
/// ```
/// use api_keyring_rotation::{Sink, open_sinks};
///
/// let sinks = open_sinks(&["file:/run/secrets/ci", "dotenv:/srv/app/.env#MONAD_API_KEY"])?;
/// assert_eq!(sinks.names().len(), 2);
/// assert_eq!(open_sinks(&sinks.names())?.names(), sinks.names());
/// # Ok::<(), api_keyring_rotation::SinkError>(())
/// ```
///
/// # Errors
///
/// When one of them is no such name, or there is none at all.
pub fn open_sinks(names: &[impl AsRef<str>]) -> Result<Arc<dyn Sink>, SinkError> {
    let mut sinks = names.iter().map(|name| open(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
    match (sinks.pop(), sinks.is_empty()) {
        (None, _) => Err(SinkError::new("there is no sink at all")),
        (Some(only), true) => Ok(only),
        (Some(last), false) => Ok(Arc::new(SinkSet::new(sinks.into_iter().chain([last])))),
    }
}

fn open(name: &str) -> Result<Arc<dyn Sink>, SinkError> {
    let refuse = |why: &str| Err(SinkError::new(format!("{name}: {why}")));
    match name.split_once(':') {
        Some(("file" | "dotenv" | "command", "")) => refuse("what follows the colon is missing"),
        Some(("file", path)) => Ok(Arc::new(FileSink::new(path)?)),
        Some(("dotenv", rest)) => match rest.rsplit_once('#') {
            Some((path, variable)) => Ok(Arc::new(FileSink::dotenv(path, variable)?)),
            None => refuse("write dotenv:PATH#VARIABLE"),
        },
        Some(("command", words)) if words.starts_with('[') => match serde_json::from_str::<Vec<String>>(words) {
            Ok(words) => match words.split_first() {
                Some((program, arguments)) if !program.is_empty() => Ok(Arc::new(CommandSink::new(program, arguments))),
                _ => refuse("the list has no program"),
            },
            Err(_) => refuse("what follows command: is no JSON list of texts"),
        },
        Some(("command", program)) => Ok(Arc::new(CommandSink::new(program, [""; 0]))),
        _ => refuse("write file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM"),
    }
}
