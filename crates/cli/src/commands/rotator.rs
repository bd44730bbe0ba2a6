//! What the commands that rotate have in common: the rotator, and what is told of a rotation.

use std::sync::Arc;
use std::time::Duration;

use api_keyring::rotation::{Journal, Record, Rotator, Sink, State};
use api_keyring::{NamedProvider, Provider as _, SharedSecret};
use chrono::{DateTime, Utc};

use crate::arguments::{Carrying, Format};
use crate::failure::{Failure, Result};
use crate::interrupt::StopRequests;
use crate::{config, output};

/// A rotator that tells people of each step.
pub(super) fn rotator(
    format: Format,
    provider: NamedProvider,
    sinks: Arc<dyn Sink>,
    journal: impl Journal + 'static,
    how: &Carrying,
) -> Rotator {
    let name = provider.name().to_owned();
    let rotator = set_up(Rotator::new(provider, sinks, journal), &name, how);
    rotator.observe(move |record| {
        if format == Format::Table {
            output::tell(&format!("{}: {}", record.id, record.state.name()));
        }
    })
}

/// The same with the patience that is asked for. It stops between two steps when it is told to.
pub(super) fn set_up(rotator: Rotator, provider: &str, how: &Carrying) -> Rotator {
    let mut rotator = rotator.patience(how.wait).lease(how.lease);
    if let Some(own) = config::own_secret(provider) {
        rotator = rotator.own_secret(SharedSecret::new(own));
    }
    match StopRequests::listen() {
        Ok(mut requests) => rotator.stop_when(async move {
            if requests.next().await.is_err() {
                std::future::pending::<()>().await;
            }
        }),
        // Signals cannot be watched on this machine: the process ends at once, and whoever resumes finds out where.
        Err(_) => rotator,
    }
}

/// What there is to say of a rotation besides.
pub(super) fn note(record: &Record) -> Option<String> {
    match &record.state {
        State::Promoted { until, .. } => {
            let until = time(*until);
            let unused = record.plan.unused_for.filter(|_| record.waived.is_none()).map(|unused| unused.seconds);
            Some(match (unused.map(Duration::from_secs).map(humantime::format_duration), &record.evidence) {
                (None, _) => format!("the old key is retired after {until}"),
                (Some(unused), Some(evidence)) if evidence.new_is_used => {
                    let since = time(evidence.old_since);
                    format!(
                        "others use the new key; the old one, seen unused since {since}, is retired after {until} and once unused for {unused}"
                    )
                }
                (Some(_), _) => {
                    format!("the old key is retired after {until}, and once others are seen to use the new one")
                }
            })
        }
        State::Aborting { why, .. } | State::Aborted { why } | State::Stuck { why, .. } => Some(why.clone()),
        State::Lost { abort, .. } => abort.clone(),
        _ => None,
    }
}

pub(super) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The header of [`row`].
pub(super) const HEADER: [&str; 6] = ["ROTATION", "KEY", "STATE", "NEW KEY", "CHANGED", "NOTE"];

/// A rotation as a row of a table.
pub(super) fn row(record: &Record) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        record.id.to_string(),
        format!("{}/{}", record.plan.provider, record.plan.old.id),
        record.state.name().to_owned(),
        or_dash(record.state.new_key().map(ToString::to_string)),
        time(record.time),
        or_dash(note(record)),
    ]
}

/// Prints a rotation, whole.
pub(super) fn print(format: Format, record: &Record) -> Result {
    if format == Format::Json {
        return output::json(record);
    }
    let provider = &record.plan.provider;
    output::fields([
        ("rotation", Some(record.id.to_string())),
        ("key", Some(format!("{provider}/{}", record.plan.old.id))),
        ("state", Some(record.state.name().to_owned())),
        ("new key", record.state.new_key().map(|key| format!("{provider}/{key}"))),
        ("secret in", Some(record.plan.sinks.join(" and "))),
        ("changed", Some(time(record.time))),
        ("note", note(record)),
        ("evidence waived", record.waived.clone()),
    ])
}

/// Prints a rotation, and fails if it is not where it should be, also when nobody reads what is printed.
pub(super) fn report(format: Format, record: &Record) -> Result {
    let printed = print(format, record);
    judge(record)?;
    printed
}

/// Whether a rotation is where it should be: done, or waiting.
pub(super) fn judge(record: &Record) -> Result {
    let key = format!("{}/{}", record.plan.provider, record.plan.old.id);
    match &record.state {
        State::Aborted { why } => Err(Failure::Other(format!("{key} was not rotated, and is as it was: {why}"))),
        State::Stuck { why, .. } => Err(Failure::Other(format!("the rotation {} needs you: {why}", record.id))),
        _ => Ok(()),
    }
}
