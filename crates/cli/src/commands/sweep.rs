//! `sweep` finds keys that rotations left behind, and deletes them.

use std::sync::Arc;

use api_keyring::{Keyring, NamedProvider, Provider as _};
use api_keyring_rotation::{Journal, Orphan, Sink, find_orphans, open_sinks};
use serde_json::json;

use super::journal;
use crate::arguments::{Consent, Format, Sweep, Target};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::{config, output};

pub(super) async fn run(format: Format, arguments: &Sweep) -> Result {
    let keyring: Keyring = config::from_environment(arguments.provider.as_deref())?;
    let destinations = arguments.destinations.iter().map(|destination| match destination {
        Target::Sink(sink) => Ok(Arc::clone(sink)),
        Target::Stdout => {
            Err(Failure::Usage("standard output stores no secrets: name another destination with --in".to_owned()))
        }
    });
    let destinations = destinations.collect::<Result<Vec<_>>>()?;
    let unknown = if arguments.even_unknown { UnknownRotations::Delete } else { UnknownRotations::Keep };
    if unknown == UnknownRotations::Delete {
        refuse_empty(&destinations).await?;
    }
    let journal = journal::existing(&arguments.journal)?;
    let mut candidates = Vec::new();
    for provider in keyring.providers() {
        for orphan in find_orphans(&provider, &journal).await? {
            let verdict = inspect(&orphan, &*journal, &destinations, unknown).await?;
            candidates.push(Candidate::new(provider.clone(), orphan, verdict));
        }
    }
    let failed = if arguments.retire { delete(&mut candidates, &arguments.consent).await? } else { 0 };
    let printed = print(format, &candidates);
    match failed {
        0 => printed,
        failed => Err(Failure::Other(format!(
            "{failed} of {} keys could not be deleted: see their results",
            candidates.len()
        ))),
    }
}

/// Whether to keep or to delete a key whose rotation is not in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnknownRotations {
    Keep,
    Delete,
}

/// Whether an orphan may be deleted, and why.
enum Verdict {
    Delete(String),
    Keep(String),
}

/// A key that a rotation left behind, and what the command does with it.
struct Candidate {
    provider: NamedProvider,
    orphan: Orphan,
    note: String,
    may_be_deleted: bool,
    is_deleted: bool,
}

/// Refuses an empty destination, whose name is probably misspelled: it would prove that a key is unused.
async fn refuse_empty(destinations: &[Arc<dyn Sink>]) -> Result {
    for destination in destinations {
        let name = destination.name();
        if destination.current().await.map_err(|why| Failure::Other(format!("{name}: {why}")))?.is_none() {
            return Err(Failure::Usage(format!(
                "{name} is empty: with --even-unknown, each --in must name a destination that holds a secret"
            )));
        }
    }
    Ok(())
}

impl Candidate {
    fn new(provider: NamedProvider, orphan: Orphan, verdict: Verdict) -> Self {
        let (note, may_be_deleted) = match verdict {
            Verdict::Delete(note) => (note, true),
            Verdict::Keep(note) => (note, false),
        };
        Self { provider, orphan, note, may_be_deleted, is_deleted: false }
    }
}

/// Decides whether an orphan may be deleted. It may only if no program can use its secret.
async fn inspect(
    orphan: &Orphan,
    journal: &dyn Journal,
    destinations: &[Arc<dyn Sink>],
    unknown: UnknownRotations,
) -> Result<Verdict> {
    let record = match &orphan.rotation {
        Some(id) => journal.load(id).await?,
        None => None,
    };
    let mut sinks = destinations.to_vec();
    for address in record.iter().flat_map(|record| &record.plan.sinks) {
        match open_sinks(&[address]) {
            Ok(sink) => sinks.push(sink),
            Err(why) => return Ok(Verdict::Keep(why.to_string())),
        }
    }
    let mut is_surely_unused = true;
    for sink in sinks {
        match orphan.is_in(&sink).await {
            Ok(Some(true)) => return Ok(Verdict::Keep(format!("its secret is in {}", sink.name()))),
            Ok(Some(false)) => {}
            Ok(None) => is_surely_unused = false,
            Err(why) => return Ok(Verdict::Keep(format!("cannot read {}: {why}", sink.name()))),
        }
    }
    let deletes_unknown = unknown == UnknownRotations::Delete;
    if let (Some(twin), false) = (&orphan.twin, deletes_unknown && is_surely_unused) {
        return Ok(Verdict::Keep(format!("it has the same mark as {twin}, and only one of the two is in use")));
    }
    Ok(match (record.is_some(), is_surely_unused, deletes_unknown) {
        // The journal records that its rotation ended without it.
        (true, ..) => Verdict::Delete("left behind".to_owned()),
        (false, true, true) => {
            Verdict::Delete("its rotation is not in the journal, and no destination holds its secret".to_owned())
        }
        (false, false, true) => Verdict::Keep(
            "its rotation is not in the journal, and the vendor does not show whether a destination holds its secret"
                .to_owned(),
        ),
        (false, _, false) => Verdict::Keep("its rotation is not in the journal".to_owned()),
    })
}

/// Asks first, then deletes the keys that may be deleted. Returns how many deletions failed.
async fn delete(candidates: &mut [Candidate], consent: &Consent) -> Result<usize> {
    let count = candidates.iter().filter(|candidate| candidate.may_be_deleted).count();
    if count > 0 {
        confirm(consent, &format!("{count} keys that rotations left behind stop working."), "Delete them?")?;
    }
    let mut failed = 0;
    for candidate in candidates.iter_mut().filter(|candidate| candidate.may_be_deleted) {
        match candidate.provider.delete(candidate.orphan.key.id()).await {
            Err(error) if !error.is_not_found() => {
                candidate.note = error.to_string();
                failed += 1;
            }
            _ => {
                candidate.note = "deleted".to_owned();
                candidate.is_deleted = true;
            }
        }
    }
    Ok(failed)
}

fn print(format: Format, candidates: &[Candidate]) -> Result {
    if format == Format::Json {
        let documents = candidates.iter().map(|Candidate { provider, orphan, note, is_deleted, .. }| {
            json!({
                "provider": provider.name(), "id": orphan.key.id(), "name": orphan.key.name(), "mark": orphan.mark,
                "rotation": orphan.rotation, "deleted": is_deleted, "what": note,
            })
        });
        return output::json(&documents.collect::<Vec<_>>());
    }
    output::table(
        ["KEY", "NAME", "ROTATION", "RESULT"],
        candidates.iter().map(|Candidate { provider, orphan, note, .. }| {
            [
                format!("{}/{}", provider.name(), orphan.key.id()),
                orphan.key.name().unwrap_or("-").to_owned(),
                orphan.rotation.as_ref().map_or("-".to_owned(), ToString::to_string),
                note.clone(),
            ]
        }),
    )
}
