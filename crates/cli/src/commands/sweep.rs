//! `sweep` finds keys that rotations and interrupted creates left behind, and deletes them.

use std::sync::Arc;

use api_keyring::{ApiKey, Ended, NamedProvider, Provider as _, ProviderExt as _, Sameness};
use api_keyring_rotation::{Journal, Orphan, OwnCredential, Sink, find_orphans, open_sinks, shown_name};
use serde_json::json;

use super::journal::{self, Access};
use crate::arguments::{Consent, Format, Sweep, Target};
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: &Sweep) -> Result {
    let accounts = config::accounts(arguments.provider.as_deref())?;
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
    let journal = journal::existing(&arguments.journal, Access::unless_dry_run(!arguments.retire))?;
    let mut candidates = Vec::new();
    for account in accounts {
        for orphan in find_orphans(&account.provider, &journal).await? {
            let verdict = match account.is_own_credential(&orphan.key).await? {
                OwnCredential::Yes => Verdict::Keep("it is your own credential".to_owned()),
                _ => inspect(&account, &orphan, &*journal, &destinations, unknown).await?,
            };
            candidates.push(Candidate::new(account.clone(), orphan, verdict));
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

/// Why a key is in the list although no rotation in the journal issued it.
const UNKNOWN_MARK: &str = "no rotation in the journal has its mark: a `create` was interrupted, or another journal has \
                            its rotation";

/// Why a key stays although the journal knows its mark.
const PRUNED: &str = "its rotation was pruned from the journal, which no longer says where its secret was put";

/// Whether an orphan may be deleted, and why.
enum Verdict {
    Delete(String),
    Keep(String),
}

/// A key that was left behind, and what the command does with it.
struct Candidate {
    account: Account<NamedProvider>,
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
    fn new(account: Account<NamedProvider>, orphan: Orphan, verdict: Verdict) -> Self {
        let (note, may_be_deleted) = match verdict {
            Verdict::Delete(note) => (note, true),
            Verdict::Keep(note) => (note, false),
        };
        Self { account, orphan, note, may_be_deleted, is_deleted: false }
    }

    /// Deletes the key if its id still belongs to it. Returns whether it is deleted now, and a note, or why it could
    /// not be deleted.
    async fn delete(&self) -> Result<(bool, String), String> {
        let provider = &self.account.provider;
        let found = provider.find(self.orphan.key.id()).await.map_err(|error| error.to_string())?;
        let is_same = |found: &ApiKey| {
            self.orphan.mark.is_on(found) && self.orphan.key.identity().compare(found) != Sameness::Another
        };
        match found {
            None => Ok((false, "it was already gone".to_owned())),
            Some(found) if !is_same(&found) => {
                Ok((false, "it was already gone, and another key has its id".to_owned()))
            }
            Some(found) => match provider.delete_and_confirm(&found, &self.account.retry).await {
                Ok(Ended::Gone | Ended::Dead) => Ok((true, "deleted".to_owned())),
                Ok(_) => {
                    Err("the vendor accepted the delete, but does not show whether the key still works".to_owned())
                }
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// Decides whether an orphan may be deleted. It may only if no program can use its secret.
async fn inspect(
    account: &Account<NamedProvider>,
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
            Ok(Some(true)) => return Ok(Verdict::Keep(format!("its secret is in {}", shown_name(&sink.name())))),
            Ok(Some(false)) => {}
            Ok(None) => is_surely_unused = false,
            Err(why) => return Ok(Verdict::Keep(format!("cannot read {}: {why}", shown_name(&sink.name())))),
        }
    }
    let deletes_unknown = unknown == UnknownRotations::Delete;
    if let (Some(twin), false) = (&orphan.twin, deletes_unknown && is_surely_unused) {
        return Ok(Verdict::Keep(format!("it has the same mark as {twin}, and only one of the two is in use")));
    }
    let key = format!("{}/{}", account.provider.name(), orphan.key.id());
    let unknown_mark = if orphan.rotation.is_some() { PRUNED } else { UNKNOWN_MARK };
    Ok(match (record.is_some(), is_surely_unused, deletes_unknown) {
        // The journal records that its rotation ended without it.
        (true, ..) => Verdict::Delete("left behind".to_owned()),
        (false, true, true) => Verdict::Delete(format!("{unknown_mark}, and no destination holds its secret")),
        (false, false, true) => Verdict::Keep(format!(
            "{unknown_mark}, and the vendor does not show whether a destination holds its secret. If nothing uses it, \
             run `api-keyring delete {key}`"
        )),
        (false, _, false) => {
            Verdict::Keep(format!("{unknown_mark}. If nothing uses it, run `api-keyring delete {key}`"))
        }
    })
}

/// Asks first, then deletes the keys that may be deleted. Returns how many deletions failed.
async fn delete(candidates: &mut [Candidate], consent: &Consent) -> Result<usize> {
    let count = candidates.iter().filter(|candidate| candidate.may_be_deleted).count();
    if count > 0 {
        confirm(consent, &format!("{count} keys that were left behind stop working."), "Delete them?")?;
    }
    let mut failed = 0;
    for candidate in candidates.iter_mut().filter(|candidate| candidate.may_be_deleted) {
        (candidate.is_deleted, candidate.note) = candidate.delete().await.unwrap_or_else(|why| {
            failed += 1;
            (false, why)
        });
    }
    Ok(failed)
}

fn print(format: Format, candidates: &[Candidate]) -> Result {
    if format == Format::Json {
        let documents = candidates.iter().map(|Candidate { account, orphan, note, is_deleted, .. }| {
            json!({
                "provider": account.provider.name(), "id": orphan.key.id(), "name": orphan.key.name(), "mark": orphan.mark,
                "rotation": orphan.rotation, "deleted": is_deleted, "what": note,
            })
        });
        return output::json(&documents.collect::<Vec<_>>());
    }
    output::table(
        ["KEY", "NAME", "ROTATION", "RESULT"],
        candidates.iter().map(|Candidate { account, orphan, note, .. }| {
            [
                format!("{}/{}", account.provider.name(), orphan.key.id()),
                orphan.key.name().unwrap_or("-").to_owned(),
                orphan.rotation.as_ref().map_or("-".to_owned(), ToString::to_string),
                note.clone(),
            ]
        }),
    )
}
