//! `rotate`: a new key, or a new secret for the same one.

use std::sync::Arc;

use api_keyring::{Capability, NamedProvider, Provider as _, Regeneration, Support};
use api_keyring_rotation::{Downtime, Existing, Journal, JournalError, Plan, Sink, SinkSet, State, Strategy};
use serde_json::json;

use super::deliver::{self, Undo};
use super::journal::WhenMissing;
use super::rotator::RotatorFactory;
use super::{journal, rotator};
use crate::arguments::{Format, Rotate, RotateOptions, Target};
use crate::cancellation::defer_cancellation;
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::destination::Destination;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: Rotate) -> Result {
    let (provider, own) = config::account(arguments.key.key.provider())?;
    check_strategy(&provider, &arguments.options)?;
    let is_to_stdout = arguments.options.in_place && matches!(arguments.to[..], [Target::Stdout]);
    if is_to_stdout && arguments.options.dry_run {
        return Err(Failure::Usage(
            "there is no plan for standard output: leave --dry-run away, or name a place".to_owned(),
        ));
    }
    if is_to_stdout {
        return to_stdout(format, (provider, own), &arguments).await;
    }
    let sinks = sinks(&arguments)?;
    let key = arguments.key.key.to_string();
    let request = arguments.options.request(arguments.key.key.id());
    let journal = journal::for_rotation(&arguments.options, WhenMissing::for_run(&arguments.options))?;
    let factory = RotatorFactory::new(format, &arguments.options.rotator);
    let rotator = factory.rotator((provider, own), Arc::clone(&sinks), journal.clone());
    let plan = rotator.plan(&request).await?;
    refuse_if_under_way(&*journal, &plan).await?;
    if arguments.options.dry_run {
        check_destination(&*sinks).await?;
        return print_plan(format, &plan);
    }
    confirm(&arguments.options.consent, &format!("{} Rotate it?", arguments.options.warning(&key)))?;
    let rotator = rotator.cancel_when(rotator::cancel_requested());
    let record = rotator.start(plan).await?;
    let id = record.id.clone();
    let hint_at_resume = || {
        output::notice(&format!(
            "It goes on with: {}",
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

/// Refuses what the vendor does not offer.
pub(super) fn check_strategy(provider: &NamedProvider, options: &RotateOptions) -> Result {
    match provider.capabilities().support(Capability::Regenerate) {
        Support::Unsupported { instead } if options.in_place => {
            Err(Failure::Usage(format!("{}: regenerate is not offered. {instead}", provider.name())))
        }
        _ => Ok(()),
    }
}

/// All sinks that the new secret goes to.
fn sinks(arguments: &Rotate) -> Result<Arc<dyn Sink>> {
    let sinks = arguments.to.iter().map(|target| match target {
        Target::Sink(sink) => Some(Arc::clone(sink)),
        Target::Stdout => None,
    });
    let sinks: Option<Vec<_>> = sinks.collect();
    let instead = "--to file:PATH, dotenv:PATH#VARIABLE or command:PROGRAM";
    match sinks.as_deref() {
        Some([]) => Err(Failure::Usage(format!(
            "say where the key's secret is kept, so that the new one goes there: {instead}"
        ))),
        Some([only]) => Ok(Arc::clone(only)),
        Some(several) => Ok(Arc::new(SinkSet::new(several.iter().cloned()))),
        None => Err(Failure::Usage(format!(
            "a rotation can be cut off, and its secret has to be found again: {instead}; only --in-place, alone, takes -"
        ))),
    }
}

/// Refuses a place that could not be written.
pub(super) async fn check_destination(sink: &dyn Sink) -> Result {
    sink.check().await.map_err(|why| Failure::Other(format!("the destination {}: {why}", sink.name())))
}

/// Refuses a key that a rotation is at work on, or has issued.
async fn refuse_if_under_way(journal: &dyn Journal, plan: &Plan) -> Result {
    match journal.unfinished().await?.into_iter().find(|other| other.is_at_work_on(plan)) {
        Some(other) => Err(JournalError::UnderWay(other.id).into()),
        None => Ok(()),
    }
}

/// In place, with nothing written down: the secret goes to whoever reads standard output, and nobody can go on for them.
async fn to_stdout(format: Format, account: Account<NamedProvider>, arguments: &Rotate) -> Result {
    let key = &arguments.key.key;
    let provider = &account.0.clone();
    let journal = journal::for_rotation(&arguments.options, WhenMissing::UseEmpty)?;
    // Nothing can be told of where the secret is now.
    let nowhere = Arc::new(SinkSet::new([]));
    let rotator = RotatorFactory::new(format, &arguments.options.rotator).rotator(account, nowhere, journal.clone());
    let plan = rotator.plan(&arguments.options.request(key.id()).adopt_sink()).await?;
    refuse_if_under_way(&*journal, &plan).await?;
    confirm(&arguments.options.consent, &format!("{} Rotate it?", arguments.options.warning(&key.to_string())))?;
    let mut regeneration = Regeneration::new();
    regeneration.expiry = arguments.options.expiry.expiry();
    let regenerating = provider.regenerate(key.id(), &regeneration);
    defer_cancellation(deliver::issue_and_deliver(
        format,
        provider,
        (Destination::Stdout, Existing::Keep),
        regenerating,
        Undo::Impossible,
    ))
    .await
}

/// Tells what would be done.
fn print_plan(format: Format, plan: &Plan) -> Result {
    let steps = plan.steps();
    if format == Format::Json {
        return output::json(&json!({"plan": plan, "downtime": plan.downtime(), "steps": steps}));
    }
    let or_none = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    output::fields([
        ("key", Some(format!("{}/{}", plan.provider, plan.old.id))),
        ("strategy", Some(if plan.strategy == Strategy::InPlace { "in place" } else { "overlap" }.to_owned())),
        ("downtime", Some(if plan.downtime() == Downtime::None { "none" } else { "until delivery" }.to_owned())),
        ("secret goes to", Some(plan.sinks.join(" and "))),
        ("not carried over", Some(or_none(&plan.not_carried_over))),
    ])?;
    output::table(
        ["STEP", "REQUESTS", "WHAT IS DONE"],
        steps.into_iter().map(|step| {
            let requests: Vec<_> = step.requests.iter().map(ToString::to_string).collect();
            [step.to.to_owned(), if requests.is_empty() { "-".to_owned() } else { requests.join(", ") }, step.what]
        }),
    )
}
