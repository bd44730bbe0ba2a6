//! `resume`, `status`, `abort` and `history` work on the rotations in the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_keyring::NamedProvider;
use api_keyring_rotation::{
    Journal, JournalCursor, JournalEntry, JournalError, Listing, Record, RotateError, RotationId, Rotator, State,
    UnreadableRecord, open_sinks,
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::journal::Access;
use super::rotator::RotatorFactory;
use super::{journal, rotator};
use crate::arguments::{Abort, Format, History, Resume, RotatorArguments, Status};
use crate::config::Account;
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::{config, output};

/// How many rotations `resume` works on at the same time.
const CONCURRENCY: usize = 8;

pub(super) async fn resume(format: Format, arguments: Resume) -> Result {
    if let [id] = &arguments.rotations[..] {
        return resume_one(format, &arguments, id).await;
    }
    let journal = journal::existing(&arguments.rotator.journal, Access::Write)?;
    let decision = [(arguments.waive_evidence.is_some(), "--waive-evidence"), (arguments.adopt, "--adopt")];
    if let Some((_, flag)) = decision.into_iter().find(|(is_given, _)| *is_given) {
        return Err(Failure::Usage(format!("{flag} is only for one rotation: name a single id")));
    }
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    if arguments.rotations.is_empty() {
        for entry in journal::unfinished(&*journal).await? {
            match entry {
                JournalEntry::Record(record) => records.push(*record),
                JournalEntry::Unreadable(record) => unreadable.push(*record),
            }
        }
    } else {
        for id in arguments.rotations.iter().collect::<BTreeSet<_>>() {
            records.push(load(&journal, id).await?);
        }
    }
    let mut rotators = RotatorCache::new(format, &journal, &arguments.rotator);
    let cancelled = rotator::cancel_requested();
    let resumed = stream::iter(records).map(|record| {
        let (rotator, cancelled) = (rotators.rotator_for(&record), cancelled.clone());
        async move {
            let resumed = match rotator {
                Ok(rotator) => rotator.cancel_when(cancelled).resume(&record.id).await.map_err(ResumeError::from),
                Err(failure) => Err(ResumeError::Failed(failure)),
            };
            (record, resumed)
        }
    });
    let resumed: Vec<_> = resumed.buffered(CONCURRENCY).collect().await;
    report(format, resumed, &unreadable)
}

async fn resume_one(format: Format, arguments: &Resume, id: &RotationId) -> Result {
    let journal = journal::existing(&arguments.rotator.journal, Access::Write)?;
    let before = load(&journal, id).await?;
    let rotator = RotatorCache::new(format, &journal, &arguments.rotator).rotator_for(&before)?;
    let rotator = rotator.cancel_when(rotator::cancel_requested());
    let resumed = match &arguments.waive_evidence {
        Some(why) => rotator.waive_evidence(id, why).await,
        None if arguments.adopt => rotator.adopt_sink(id).await,
        None => rotator.resume(id).await,
    };
    let record = match resumed {
        Ok(record) => record,
        Err(error) => return Err(rotator::explain_refused_credential(&*journal, id, error.into()).await),
    };
    // The rotation was finished before, so its end is not a failure of this command.
    match before.state.is_finished() {
        true => rotator::print(format, &record),
        false => rotator::report(format, &record),
    }
}

/// Why a rotation is not resumed.
enum ResumeError {
    /// Another process works on it, which is not a failure.
    Held(String),
    Failed(Failure),
}

impl From<RotateError> for ResumeError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Journal(JournalError::Held { .. }) => Self::Held(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

fn report(
    format: Format,
    resumed: Vec<(Record, Result<Record, ResumeError>)>,
    unreadable: &[UnreadableRecord],
) -> Result {
    let mut failed = unreadable.len();
    let mut rows: Vec<_> = unreadable.iter().map(rotator::unreadable_row).collect();
    let mut documents: Vec<_> = unreadable.iter().map(unreadable_document).collect();
    for (before, resumed) in resumed {
        let (record, problem) = match resumed {
            Ok(record) => {
                failed += usize::from(rotator::check_state(&record).is_err());
                (record, None)
            }
            Err(ResumeError::Held(why)) => (before, Some(why)),
            Err(ResumeError::Failed(failure)) => {
                failed += 1;
                (before, Some(failure.in_one_line()))
            }
        };
        let mut row = rotator::row(&record);
        if let (Some(problem), Some(note)) = (&problem, row.last_mut()) {
            note.clone_from(problem);
        }
        rows.push(row);
        documents.push(json!({"rotation": record, "problem": problem}));
    }
    let printed = match format {
        Format::Json => output::json(&documents),
        Format::Table => output::table(rotator::HEADER, rows),
    };
    match failed {
        0 => printed,
        failed => Err(Failure::Other(format!(
            "{failed} of {} rotations were aborted, need attention, failed or cannot be read: see their notes",
            documents.len()
        ))),
    }
}

pub(super) async fn abort(format: Format, arguments: Abort) -> Result {
    let journal = journal::existing(&arguments.rotator.journal, Access::Write)?;
    let record = load(&journal, &arguments.rotation).await?;
    let rotator = RotatorCache::new(format, &journal, &arguments.rotator).rotator_for(&record)?;
    let key = format!("{}/{}", record.plan.provider, record.plan.old.id);
    confirm(
        &arguments.consent,
        &format!(
            "If the rotation has issued a new key for {key}, that key stops working. The old key, if it still exists, is left alone."
        ),
        "Abort the rotation?",
    )?;
    let rotator = rotator.cancel_when(rotator::cancel_requested());
    let record = match arguments.leave_destination {
        true => rotator.abort_leaving_sink(&arguments.rotation, &arguments.reason).await?,
        false => rotator.abort(&arguments.rotation, &arguments.reason).await?,
    };
    // The user asked for the abort, so an aborted rotation is a success here.
    if matches!(record.state, State::Aborted { .. }) {
        rotator::print(format, &record)
    } else {
        rotator::report(format, &record)
    }
}

pub(super) async fn status(format: Format, arguments: &Status) -> Result {
    let journal = journal::existing(&arguments.journal, Access::Read)?;
    if let Some(id) = &arguments.rotation {
        return rotator::print(format, &load(&journal, id).await?);
    }
    list(format, &journal::unfinished(&*journal).await?)
}

pub(super) async fn history(format: Format, arguments: &History) -> Result {
    let journal = journal::existing(&arguments.journal, Access::Read)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    if let Some(id) = &arguments.rotation {
        return steps(format, &*journal, id, limit).await;
    }
    let page = journal.list(Listing::All, arguments.from.map(JournalCursor::new), limit).await?;
    let printed = list(format, &page.entries);
    if let Some(next) = page.next {
        output::notice(&format!("There are earlier rotations: add `--from {}` to list them.", next.number()));
    }
    printed
}

/// Prints the latest steps of a rotation, oldest first.
async fn steps(format: Format, journal: &dyn Journal, id: &RotationId, limit: usize) -> Result {
    let latest = match journal.load(id).await {
        Ok(Some(record)) => record.version,
        Ok(None) => return Err(JournalError::Missing(id.clone()).into()),
        Err(JournalError::Unreadable(record)) => record.version,
        Err(error) => return Err(error.into()),
    };
    let from = (latest + 1).saturating_sub(limit as u64);
    let versions = journal.versions(id, from, limit).await?;
    let printed = match format {
        Format::Json => output::json(&versions.iter().map(document).collect::<Vec<_>>()),
        Format::Table => output::table(["VERSION", "TIME", "STATE", "NOTE"], versions.iter().map(step_row)),
    };
    if from > 0 {
        output::notice(&format!("There are {from} earlier steps: use a larger --limit to list them."));
    }
    printed
}

fn step_row(version: &JournalEntry) -> [String; 4] {
    match version {
        JournalEntry::Record(record) => {
            let note = rotator::note(record).unwrap_or_else(|| "-".to_owned());
            [record.version.to_string(), output::utc(record.time), record.state.kind().label().to_owned(), note]
        }
        JournalEntry::Unreadable(record) => {
            [record.version.to_string(), "-".to_owned(), "unreadable".to_owned(), record.why.clone()]
        }
    }
}

fn list(format: Format, entries: &[JournalEntry]) -> Result {
    match format {
        Format::Json => output::json(&entries.iter().map(document).collect::<Vec<_>>()),
        Format::Table => output::table(
            rotator::HEADER,
            entries.iter().map(|entry| match entry {
                JournalEntry::Record(record) => rotator::row(record),
                JournalEntry::Unreadable(record) => rotator::unreadable_row(record),
            }),
        ),
    }
}

fn document(entry: &JournalEntry) -> Value {
    match entry {
        JournalEntry::Record(record) => json!(record),
        JournalEntry::Unreadable(record) => unreadable_document(record),
    }
}

/// Returns the document of a record that cannot be read. It has nothing in common with the others.
fn unreadable_document(record: &UnreadableRecord) -> Value {
    json!({"unreadable": record})
}

async fn load(journal: &Arc<dyn Journal>, id: &RotationId) -> Result<Record> {
    Ok(journal.load(id).await?.ok_or_else(|| JournalError::Missing(id.clone()))?)
}

/// Makes the rotators for records, and caches the providers that they share.
struct RotatorCache<'a> {
    factory: RotatorFactory<'a>,
    journal: &'a Arc<dyn Journal>,
    accounts: BTreeMap<String, Account<NamedProvider>>,
}

impl<'a> RotatorCache<'a> {
    fn new(format: Format, journal: &'a Arc<dyn Journal>, arguments: &'a RotatorArguments) -> Self {
        Self { factory: RotatorFactory::new(format, arguments), journal, accounts: BTreeMap::new() }
    }

    /// Returns a rotator with the provider and the sinks of the record.
    fn rotator_for(&mut self, record: &Record) -> Result<Rotator> {
        let name = &record.plan.provider;
        let account = match self.accounts.get(name) {
            Some(account) => account.clone(),
            None => self.accounts.entry(name.clone()).or_insert(config::account(name)?).clone(),
        };
        let sinks = open_sinks(&record.plan.sinks).map_err(|error| Failure::Other(error.to_string()))?;
        Ok(self.factory.rotator(account, sinks, Arc::clone(self.journal)))
    }
}
