//! Makes rotators and prints rotations, for all commands that rotate.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api_keyring::{NamedProvider, SharedSecret, SystemClock};
use api_keyring_rotation::{
    Journal, OwnCredential, Record, RotationId, Rotator, Sink, State, Strategy, UnreadableRecord,
};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use crate::arguments::{Format, RotatorArguments};
use crate::cancellation::CancelRequests;
use crate::config::Account;
use crate::failure::{Failure, Result};
use crate::{config, output};

/// Returns a future that ends when somebody cancels the command.
///
/// From now on, a request to cancel no longer ends the process. Call this after questions, so that Ctrl-C still leaves
/// them.
pub(super) fn cancel_requested() -> Shared<BoxFuture<'static, ()>> {
    match CancelRequests::listen() {
        // A task of its own answers at once, even while a call to the vendor is running.
        Ok(mut requests) => {
            let cancelled = tokio::spawn(async move {
                if requests.next().await.is_err() {
                    pending::<()>().await;
                }
                output::notice("Stopping after the current step. To continue the rotation, run `api-keyring resume`.");
            });
            cancelled.map(drop).boxed().shared()
        }
        // Without signals, a request ends the process at once. A later resume continues the rotation.
        Err(_) => pending().boxed().shared(),
    }
}

/// The clock that decides for rotators and for the selection of keys.
pub(super) const CLOCK: SystemClock = SystemClock;

/// Makes the rotators of one command.
pub(super) struct RotatorFactory<'a> {
    format: Format,
    arguments: &'a RotatorArguments,
}

impl<'a> RotatorFactory<'a> {
    pub(super) fn new(format: Format, arguments: &'a RotatorArguments) -> Self {
        Self { format, arguments }
    }

    /// Returns a rotator that prints each step for people.
    pub(super) fn rotator(
        &self,
        Account { provider, own, .. }: Account<NamedProvider>,
        sinks: Arc<dyn Sink>,
        journal: impl Journal + 'static,
    ) -> Rotator {
        let format = self.format;
        self.configure(Rotator::new(provider, sinks, journal), own).observe(move |record| {
            if format == Format::Table {
                output::notice(&format!("{}: {}", record.id, record.state.kind().label()));
            }
        })
    }

    /// Configures a rotator as the arguments say.
    pub(super) fn configure(&self, rotator: Rotator, own: SharedSecret) -> Rotator {
        let rotator = rotator.patience(self.arguments.wait).lease(self.arguments.lease);
        rotator.clock(CLOCK).own_credential(own)
    }
}

/// Explains a refused credential if the rotation itself replaced that credential. Returns the failure unchanged.
pub(super) async fn explain_refused_credential(journal: &dyn Journal, id: &RotationId, failure: Failure) -> Failure {
    let is_refused = matches!(&failure, Failure::Keyring(error) if error.is_unauthenticated());
    let record = if is_refused { journal.load(id).await.ok().flatten() } else { None };
    let Some(record) = record.filter(|record| record.plan.own_credential == OwnCredential::Yes) else { return failure };
    match record.state {
        _ if replaces_own_credential(&record) => output::notice(&own_credential_replaced(&record)),
        _ if record.plan.strategy == Strategy::InPlace && !record.marks.is_empty() => output::notice(
            "The vendor replaced the secret of your own credential, and its answer was lost. Resume with another \
             credential that can regenerate the key.",
        ),
        _ => {}
    }
    failure
}

/// Says where the new secret of your own credential is, and who needs it.
pub(super) fn own_credential_replaced(record: &Record) -> String {
    format!(
        "This rotation replaced your own credential. Its new secret is in {}: set {} to it",
        record.plan.shown_sinks(),
        config::credential_variable(&record.plan.provider)
    )
}

/// Returns whether a rotation has put a new secret for your own credential into its destination, to stay there.
pub(super) fn replaces_own_credential(record: &Record) -> bool {
    record.plan.own_credential == OwnCredential::Yes
        && matches!(
            record.state,
            State::Promoted { .. } | State::Retiring(_) | State::Retired { .. } | State::Done { .. }
        )
}

/// Returns what people should know about a rotation besides its state.
pub(super) fn note(record: &Record) -> Option<String> {
    let own = replaces_own_credential(record).then(|| own_credential_replaced(record));
    match (own, note_on_state(record)) {
        (Some(own), Some(note)) => Some(format!("{note}. {own}")),
        (own, note) => own.or(note),
    }
}

fn note_on_state(record: &Record) -> Option<String> {
    match &record.state {
        State::Promoted { until, .. } => {
            let until = output::utc(*until);
            let unused = record.plan.unused_for.filter(|_| record.waived.is_none()).map(|unused| unused.seconds);
            Some(match (unused.map(Duration::from_secs).map(humantime::format_duration), &record.evidence) {
                (None, _) => format!("the first resume after {until} retires the old key"),
                (Some(unused), Some(evidence)) if evidence.new_is_used => {
                    let since = output::utc(evidence.old_since);
                    format!(
                        "others use the new key; the first resume after {until} retires the old one, once it is unused \
                         for {unused} (unused since {since})"
                    )
                }
                (Some(_), _) => {
                    format!("the first resume after {until} retires the old key, once others use the new one")
                }
            })
        }
        State::Aborting { why, .. } | State::Aborted { why } | State::NeedsAttention { why, .. } => Some(why.clone()),
        State::Lost { abort, .. } => abort.clone(),
        _ => None,
    }
}

/// The header above rows of [`row`].
pub(super) const HEADER: [&str; 6] = ["ROTATION", "KEY", "STATE", "NEW KEY", "CHANGED", "NOTE"];

/// Returns a rotation as a row of a table.
pub(super) fn row(record: &Record) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        record.id.to_string(),
        format!("{}/{}", record.plan.provider, record.plan.old.id),
        record.state.kind().label().to_owned(),
        or_dash(record.state.new_key().map(ToString::to_string)),
        output::utc(record.time),
        or_dash(note(record)),
    ]
}

/// Returns a rotation whose record cannot be read as a row of a table.
pub(super) fn unreadable_row(record: &UnreadableRecord) -> [String; 6] {
    let key = format!("{}/{}", record.provider, record.key);
    [record.id.clone(), key, "unreadable".to_owned(), "-".to_owned(), "-".to_owned(), record.why.clone()]
}

/// Prints one rotation with all its fields.
pub(super) fn print(format: Format, record: &Record) -> Result {
    if format == Format::Json {
        return output::json(record);
    }
    let provider = &record.plan.provider;
    output::fields([
        ("rotation", Some(record.id.to_string())),
        ("key", Some(format!("{provider}/{}", record.plan.old.id))),
        ("state", Some(record.state.kind().label().to_owned())),
        ("new key", record.state.new_key().map(|key| format!("{provider}/{key}"))),
        ("destination", Some(record.plan.shown_sinks())),
        ("changed", Some(output::utc(record.time))),
        ("note", note(record)),
        ("evidence waived", record.waived.clone()),
    ])
}

/// Prints a rotation, and fails if it was undone or needs attention. It then fails even if nobody reads the output.
pub(super) fn report(format: Format, record: &Record) -> Result {
    let printed = print(format, record);
    check_state(record)?;
    printed
}

/// Fails if a rotation was undone or needs attention.
pub(super) fn check_state(record: &Record) -> Result {
    let key = format!("{}/{}", record.plan.provider, record.plan.old.id);
    match &record.state {
        State::Aborted { why } => Err(Failure::Other(format!("the rotation of {key} was aborted: {why}"))),
        State::NeedsAttention { why, .. } => {
            Err(Failure::Other(format!("the rotation {} needs attention: {why}", record.id)))
        }
        _ => Ok(()),
    }
}
