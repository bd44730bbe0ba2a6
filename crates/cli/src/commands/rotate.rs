//! `rotate` replaces a key, or gives the same key a new secret.

use std::sync::Arc;

use api_keyring::{Capability, KeyRef, NamedProvider, Provider as _, Regeneration, Support};
use api_keyring_rotation::{
    Downtime, Existing, Journal, JournalEntry, JournalError, Plan, RotateError, Sink, SinkSet, State, Strategy,
};
use serde_json::json;

use super::deliver::{self, Undelivered};
use super::journal::Access;
use super::rotator::RotatorFactory;
use super::{journal, rotator};
use crate::arguments::{Format, Rotate, RotateOptions, Target};
use crate::cancellation::defer_cancellation;
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::destination::{Aside, Destination};
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: Rotate) -> Result {
    let account = config::account(arguments.key.key.provider())?;
    check_strategy(&account.provider, &arguments.options)?;
    let is_to_stdout = arguments.options.in_place && matches!(arguments.to[..], [Target::Stdout]);
    if is_to_stdout && arguments.options.dry_run {
        return Err(Failure::Usage(
            "there is no plan for standard output: omit --dry-run, or use --to file:PATH".to_owned(),
        ));
    }
    if is_to_stdout {
        return to_stdout(format, account, &arguments).await;
    }
    let sinks = sinks(&arguments)?;
    let key = arguments.key.key.to_string();
    let request = arguments.request();
    let journal = journal::for_rotation(&arguments.options, Access::unless_dry_run(arguments.options.dry_run))?;
    let factory = RotatorFactory::new(format, &arguments.options.rotator);
    let rotator = factory.rotator(account, Arc::clone(&sinks), journal.clone());
    let plan = rotator.plan(&request).await?;
    refuse_if_under_way(&*journal, &plan).await?;
    if arguments.options.dry_run {
        check_destination(&*sinks).await?;
        return print_plan(format, &plan);
    }
    confirm(&arguments.options.consent, &arguments.options.warning(&key), "Rotate it?")?;
    let rotator = rotator.cancel_when(rotator::cancel_requested());
    let record = rotator.start(plan).await?;
    let id = record.id.clone();
    let hint_at_resume = || {
        output::notice(&format!(
            "To continue the rotation, run: {}",
            journal::command_to_resume(&id, &arguments.options.rotator.journal)
        ))
    };
    match rotator.resume(&id).await {
        Ok(record) => {
            rotator::report(format, &record)?;
            if let (Format::Table, State::Promoted { .. }) = (format, &record.state) {
                hint_at_resume();
            }
            Ok(())
        }
        Err(error) => {
            hint_at_resume();
            Err(rotator::explain_refused_credential(&*journal, &id, error.into()).await)
        }
    }
}

/// Refuses a strategy that the vendor does not support.
pub(super) fn check_strategy(provider: &NamedProvider, options: &RotateOptions) -> Result {
    match provider.capabilities().support(Capability::Regenerate) {
        Support::Unsupported { instead } if options.in_place => {
            Err(Failure::Usage(format!("the provider {} does not support --in-place. {instead}", provider.name())))
        }
        _ => Ok(()),
    }
}

/// Returns the sinks that store the secret.
fn sinks(arguments: &Rotate) -> Result<Arc<dyn Sink>> {
    let sinks = arguments.to.iter().map(|target| match target {
        Target::Sink(sink) => Some(Arc::clone(sink)),
        Target::Stdout => None,
    });
    let sinks: Option<Vec<_>> = sinks.collect();
    let accepted = "--to file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM";
    match sinks.as_deref() {
        Some([]) => Err(Failure::Usage(format!(
            "name every place that stores the key's secret, so that the rotation can update it: use {accepted}"
        ))),
        Some([only]) => Ok(Arc::clone(only)),
        Some(several) => Ok(Arc::new(SinkSet::new(several.iter().cloned()))),
        None => Err(Failure::Usage(format!(
            "an interrupted rotation must find its secret again, which standard output does not keep: use {accepted}. \
             Only `--in-place` can write to standard output (`--to -`), as its only destination"
        ))),
    }
}

/// Refuses a destination that cannot take a secret.
pub(super) async fn check_destination(sink: &dyn Sink) -> Result {
    sink.check().await.map_err(|error| RotateError::Sink { sink: sink.name(), error }.into())
}

/// Refuses a key that an unfinished rotation replaces or has issued.
async fn refuse_if_under_way(journal: &dyn Journal, plan: &Plan) -> Result {
    for entry in journal::unfinished(journal).await? {
        match entry {
            JournalEntry::Record(other) if other.is_at_work_on(plan) => {
                return Err(JournalError::UnderWay(other.id).into());
            }
            JournalEntry::Unreadable(other) if other.key == plan.old.id.as_str() => {
                return Err(JournalError::Unreadable(other).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rotates in place without a journal. The secret goes to standard output, so nobody could resume this rotation.
async fn to_stdout(format: Format, account: Account<NamedProvider>, arguments: &Rotate) -> Result {
    let key = &arguments.key.key;
    let provider = &account.provider.clone();
    let journal = journal::for_rotation(&arguments.options, Access::Read)?;
    // The user does not say where the old secret is stored, so the plan has no sink.
    let nowhere = Arc::new(SinkSet::new([]));
    let rotator = RotatorFactory::new(format, &arguments.options.rotator).rotator(account, nowhere, journal.clone());
    let plan = rotator.plan(&arguments.request().adopt_sink()).await?;
    refuse_if_under_way(&*journal, &plan).await?;
    confirm(&arguments.options.consent, &arguments.options.warning(&key.to_string()), "Rotate it?")?;
    let mut regeneration = Regeneration::new();
    regeneration.expiry = arguments.options.expiry.expiry();
    let regenerating = provider.regenerate(key.id(), &regeneration);
    let folder = journal::folder(&arguments.options.rotator.journal)?;
    let destination = (Destination::Stdout, Existing::Keep, Aside::Required(folder));
    let issuing = deliver::issue_and_deliver(format, provider, destination, regenerating, |_| {});
    match defer_cancellation(issuing).await {
        Ok(delivered) => delivered.print(format, provider, |_| {}),
        Err(undelivered) => Err(without_secret(key, undelivered)),
    }
}

/// Explains that the key has a new secret that nobody has, or may have.
fn without_secret(key: &KeyRef, undelivered: Undelivered) -> Failure {
    match undelivered {
        Undelivered::Failed(failure) => failure,
        Undelivered::Unanswered(error, Some(lost)) => Failure::Keyring(error.advise(lost)),
        Undelivered::Unanswered(error, None) => error.into(),
        Undelivered::SetAside(error, place) => Failure::Keyring(error.advise(format!(
            "api-keyring wrote the answer, as far as it arrived, to {place}: look there for the secret"
        ))),
        Undelivered::Lost(_, why) => Failure::Other(format!(
            "the old secret of {key} no longer works, and the new one could not be delivered: {why}. Rotate it again \
             to get another secret, with `api-keyring rotate {key} --in-place`"
        )),
    }
}

/// Prints what a rotation would do.
fn print_plan(format: Format, plan: &Plan) -> Result {
    let steps = plan.steps();
    if format == Format::Json {
        return output::json(&json!({"plan": plan, "downtime": plan.downtime(), "steps": steps}));
    }
    let not_carried_over = match &plan.not_carried_over[..] {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    output::fields([
        ("key", Some(format!("{}/{}", plan.provider, plan.old.id))),
        ("strategy", Some(if plan.strategy == Strategy::InPlace { "in place" } else { "overlap" }.to_owned())),
        ("downtime", Some(if plan.downtime() == Downtime::None { "none" } else { "until delivery" }.to_owned())),
        ("destination", Some(plan.shown_sinks())),
        ("not carried over", Some(not_carried_over)),
    ])?;
    output::table(
        ["STEP", "REQUESTS", "ACTION"],
        steps.into_iter().map(|step| {
            let requests: Vec<_> = step.requests.iter().map(ToString::to_string).collect();
            [step.to.to_owned(), if requests.is_empty() { "-".to_owned() } else { requests.join(", ") }, step.what]
        }),
    )
}
