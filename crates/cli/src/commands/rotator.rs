//! What the commands that rotate have in common: the rotator, and what is told of a rotation.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{NamedProvider, SharedSecret};
use api_keyring_rotation::{Confirmation, Journal, OwnCredential, Record, RotationId, Rotator, Sink, State, Strategy};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use crate::arguments::{Format, RotatorArguments};
use crate::cancellation::CancelRequests;
use crate::config::Account;
use crate::failure::{Failure, Result};
use crate::output;

/// Ends when the command is told to stop, from now on: whoever is asked for consent before is free to go.
pub(super) fn cancel_requested() -> Shared<BoxFuture<'static, ()>> {
    match CancelRequests::listen() {
        // A task of its own: who asks is answered at once, also while a request is under way.
        Ok(mut requests) => {
            let cancelled = tokio::spawn(async move {
                if requests.next().await.is_err() {
                    pending::<()>().await;
                }
                output::notice(
                    "Stopping when the step that is under way has ended; `api-keyring resume` goes on from there.",
                );
            });
            cancelled.map(drop).boxed().shared()
        }
        // Signals cannot be watched on this machine: the process ends at once, and whoever resumes finds out where.
        Err(_) => pending().boxed().shared(),
    }
}

/// What the rotators of one command have in common.
pub(super) struct RotatorFactory<'a> {
    format: Format,
    arguments: &'a RotatorArguments,
}

impl<'a> RotatorFactory<'a> {
    pub(super) fn new(format: Format, arguments: &'a RotatorArguments) -> Self {
        Self { format, arguments }
    }

    /// A rotator that tells people of each step.
    pub(super) fn rotator(
        &self,
        (provider, own_credential): Account<NamedProvider>,
        sinks: Arc<dyn Sink>,
        journal: impl Journal + 'static,
    ) -> Rotator {
        let format = self.format;
        self.configure(Rotator::new(provider, sinks, journal), own_credential).observe(move |record| {
            if format == Format::Table {
                output::notice(&format!("{}: {}", record.id, state_label(&record.state)));
            }
        })
    }

    /// A rotator with the patience that is asked for.
    pub(super) fn configure(&self, rotator: Rotator, own_credential: Option<SharedSecret>) -> Rotator {
        let rotator = rotator.patience(self.arguments.wait).lease(self.arguments.lease);
        match own_credential {
            Some(secret) => rotator.own_credential(secret),
            None => rotator,
        }
    }
}

/// Says, where a credential is refused, what the rotation has to do with it.
pub(super) async fn explain_refused_credential(journal: &dyn Journal, id: &RotationId, failure: Failure) -> Failure {
    let is_refused = matches!(&failure, Failure::Keyring(error) if error.is_unauthenticated());
    let record = if is_refused { journal.load(id).await.ok().flatten() } else { None };
    let Some(record) = record.filter(|record| record.plan.own_credential == OwnCredential::Yes) else { return failure };
    match record.state {
        State::Promoted { .. } | State::Retiring(_) | State::Retired { .. } | State::Done { .. } => {
            output::notice(&own_credential_replaced(&record));
        }
        _ if record.plan.strategy == Strategy::InPlace && !record.marks.is_empty() => output::notice(
            "The key that is used here was given a new secret, whose answer was lost: resume with another credential that may \
             ask for one.",
        ),
        _ => {}
    }
    failure
}

fn own_credential_replaced(record: &Record) -> String {
    format!("The key that is used here was replaced: its secret from now on is in {}.", record.plan.sinks.join(" and "))
}

/// What people read for a state that JSON and the journal call `stuck`.
pub(super) const NEEDS_ATTENTION: &str = "needs attention";

/// Returns a state's name for people.
pub(super) fn state_label(state: &State) -> &'static str {
    match state {
        State::NeedsAttention { .. } => NEEDS_ATTENTION,
        state => state.name(),
    }
}

/// What there is to say of a rotation besides.
pub(super) fn note(record: &Record) -> Option<String> {
    match &record.state {
        State::Promoted { until, .. } => {
            let until = output::utc(*until);
            let unused = record.plan.unused_for.filter(|_| record.waived.is_none()).map(|unused| unused.seconds);
            Some(match (unused.map(Duration::from_secs).map(humantime::format_duration), &record.evidence) {
                (None, _) => format!("the old key is retired after {until}"),
                (Some(unused), Some(evidence)) if evidence.new_is_used => {
                    let since = output::utc(evidence.old_since);
                    format!(
                        "others use the new key; the old one, seen unused since {since}, is retired after {until} and once unused for {unused}"
                    )
                }
                (Some(_), _) => {
                    format!("the old key is retired after {until}, and once others are seen to use the new one")
                }
            })
        }
        State::Aborting { why, .. } | State::Aborted { why } | State::NeedsAttention { why, .. } => Some(why.clone()),
        State::Lost { abort, .. } => abort.clone(),
        State::Done { confirmed: Confirmation::SecretRefused, .. }
            if record.plan.own_credential == OwnCredential::Yes =>
        {
            Some(own_credential_replaced(record))
        }
        _ => None,
    }
}

/// The header of [`row`].
pub(super) const HEADER: [&str; 6] = ["ROTATION", "KEY", "STATE", "NEW KEY", "CHANGED", "NOTE"];

/// A rotation as a row of a table.
pub(super) fn row(record: &Record) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        record.id.to_string(),
        format!("{}/{}", record.plan.provider, record.plan.old.id),
        state_label(&record.state).to_owned(),
        or_dash(record.state.new_key().map(ToString::to_string)),
        output::utc(record.time),
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
        ("state", Some(state_label(&record.state).to_owned())),
        ("new key", record.state.new_key().map(|key| format!("{provider}/{key}"))),
        ("secret in", Some(record.plan.sinks.join(" and "))),
        ("changed", Some(output::utc(record.time))),
        ("note", note(record)),
        ("evidence waived", record.waived.clone()),
    ])
}

/// Prints a rotation, and fails if it is not where it should be, also when nobody reads what is printed.
pub(super) fn report(format: Format, record: &Record) -> Result {
    let printed = print(format, record);
    check_state(record)?;
    printed
}

/// Whether a rotation is where it should be: done, or waiting.
pub(super) fn check_state(record: &Record) -> Result {
    let key = format!("{}/{}", record.plan.provider, record.plan.old.id);
    match &record.state {
        State::Aborted { why } => Err(Failure::Other(format!("{key} was not rotated, and is as it was: {why}"))),
        State::NeedsAttention { why, .. } => {
            Err(Failure::Other(format!("the rotation {} needs you: {why}", record.id)))
        }
        _ => Ok(()),
    }
}
