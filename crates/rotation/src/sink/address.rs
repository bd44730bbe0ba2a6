//! Opening sinks by the names that a rotation's record holds.

use std::sync::Arc;

use super::command::CommandSink;
use super::file::FileSink;
use super::sink_set::SinkSet;
use super::{Sink, SinkError};
use crate::host::{Host, VARIABLE, split_host};

/// Opens the sinks with these names. A plan records the names, so that any process can resume the rotation.
///
/// | name | sink |
/// |---|---|
/// | `file:PATH` | [`FileSink::new`] |
/// | `dotenv:PATH#VARIABLE` | [`FileSink::dotenv`] |
/// | `command:PROGRAM`, `command:["PROGRAM", "ARGUMENT", …]` | [`CommandSink`] |
///
/// The sinks' own names have their [host](Host) in them, as in `file@HOST:PATH`. A name without a host means this host.
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
/// If a name is malformed or belongs to another host, or the list is empty.
pub fn open_sinks(names: &[impl AsRef<str>]) -> Result<Arc<dyn Sink>, SinkError> {
    let mut sinks = names.iter().map(|name| open(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
    match (sinks.pop(), sinks.is_empty()) {
        (None, _) => Err(SinkError::new("no destination is named. Name at least one (`--to`)")),
        (Some(only), true) => Ok(only),
        (Some(last), false) => Ok(Arc::new(SinkSet::new(sinks.into_iter().chain([last])))),
    }
}

fn open(name: &str) -> Result<Arc<dyn Sink>, SinkError> {
    let refuse = |problem: &str| Err(SinkError::new(format!("{name}: {problem}")));
    let (host, address) = split_host(name);
    if let Some(host) = host
        && host != Host::this().as_str()
    {
        return refuse(&format!(
            "this destination belongs to host {host}, and this is host {}. Run the command there. If it is the same \
             machine under another id, say so ({VARIABLE}={host})",
            Host::this()
        ));
    }
    match address.split_once(':') {
        Some(("file" | "dotenv" | "command", "")) => {
            refuse("nothing follows the colon. Write file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM")
        }
        Some(("file", path)) => Ok(Arc::new(FileSink::new(path)?)),
        Some(("dotenv", rest)) => match rest.rsplit_once('#') {
            Some((path, variable)) => Ok(Arc::new(FileSink::dotenv(path, variable)?)),
            None => refuse("the variable is missing. Write dotenv:PATH#VARIABLE"),
        },
        Some(("command", words)) if words.starts_with('[') => match serde_json::from_str::<Vec<String>>(words) {
            Ok(words) => match words.split_first() {
                Some((program, arguments)) if !program.is_empty() => Ok(Arc::new(CommandSink::new(program, arguments))),
                _ => refuse("the list is empty or begins with an empty text. Put the program first"),
            },
            Err(_) => refuse(
                "the text after command: is not a JSON list of strings. Write command:[\"PROGRAM\", \"ARGUMENT\"]",
            ),
        },
        Some(("command", program)) => Ok(Arc::new(CommandSink::new(program, [""; 0]))),
        _ => refuse("this is not a destination. Write file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM"),
    }
}
