//! `rotate-fleet` rotates many keys of one provider.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring::{ApiKey, KeyId, ListKeys, Mark, NamedProvider, Provider as _, ProviderExt as _};
use api_keyring_rotation::{
    Fleet, FleetKey, FleetSummary, Journal, KeyResult, MemoryJournal, Record, RotationId, Selector, Sink, SinkSet,
    State, StateKind, open_sinks,
};
use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::journal::WhenMissing;
use super::rotator::RotatorFactory;
use super::{journal, rotate, rotator};
use crate::arguments::{Format, RotateFleet, RotateOptions};
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: RotateFleet) -> Result {
    let (provider, own_credential) = config::account(&arguments.provider)?;
    let factory = RotatorFactory::new(format, &arguments.options.rotator);
    rotate::check_strategy(&provider, &arguments.options)?;
    let selector = arguments.selection.selector().map_err(|why| Failure::Usage(why.to_string()))?;
    let patterns = DestinationPatterns::new(arguments.to)?;
    let journal = journal::for_rotation(&arguments.options, WhenMissing::for_run(&arguments.options))?;
    let selected = select(&provider, &*journal, &selector, &patterns).await?;
    if arguments.options.dry_run {
        let account = (provider, own_credential);
        return print_plans(&factory, format, account, selected, &arguments.options).await;
    }
    let attention = AttentionWatch::default();
    let mut progress = ProgressReport::new(format, &provider, attention.clone());
    let mut keys = Vec::new();
    let mut refused = 0;
    for SelectedKey { id, decision } in selected {
        match decision {
            Decision::Rotate(sink) => keys.push(FleetKey { rotate: arguments.options.request(&id), sink }),
            Decision::UnderWay(rotation) => progress.record_result(&id, &KeyResult::UnderWay(rotation)),
            Decision::Refused(why) => {
                refused += 1;
                progress.record(&id, FAILED, Some(why));
            }
        }
    }
    let (not_rotated, all) = (progress.rows.len(), progress.rows.len() + keys.len());
    if !keys.is_empty() {
        let what = format!("{} keys of {}", keys.len(), provider.name());
        confirm(&arguments.options.consent, &arguments.options.warning(&what), "Rotate them?")?;
    }
    let fleet = Fleet::new(provider, journal)
        .with(|rotator| {
            let rotator = factory.configure(rotator, own_credential).cancel_when(rotator::cancel_requested());
            rotator.observe(move |record| attention.observe(record))
        })
        .concurrency(arguments.concurrency)
        .waves(arguments.canaries);
    let mut summary = fleet.rotate(stream::iter(keys), |key, result| progress.record_result(key, result)).await;
    summary.waiting += not_rotated - refused;
    summary.failed += refused;
    progress.finish(&summary, all)
}

/// A selected key, and what the fleet does with it.
struct SelectedKey {
    id: KeyId,
    decision: Decision,
}

enum Decision {
    /// Rotate it into this sink.
    Rotate(Arc<dyn Sink>),
    /// Leave it to the unfinished rotation that already works on it.
    UnderWay(RotationId),
    /// Report it as failed, because its destination is uncertain.
    Refused(String),
}

/// The unfinished rotations of a provider, by the keys that they replace and by their marks.
#[derive(Default)]
struct UnfinishedRotations {
    by_key: HashMap<KeyId, RotationId>,
    by_mark: HashMap<Mark, RotationId>,
}

impl UnfinishedRotations {
    async fn load(provider: &NamedProvider, journal: &dyn Journal) -> Result<Self> {
        let mut unfinished = Self::default();
        for record in journal.unfinished().await? {
            if (&*record.plan.vendor, &*record.plan.scope) == (provider.vendor(), provider.scope()) {
                unfinished.by_key.insert(record.plan.old.id, record.id.clone());
                unfinished.by_mark.extend(record.marks.into_iter().map(|mark| (mark, record.id.clone())));
            }
        }
        Ok(unfinished)
    }

    /// Returns the rotation that replaces the key or has issued it.
    fn rotation_of(&self, key: &ApiKey) -> Option<RotationId> {
        let mark = key.name().and_then(Mark::from_name);
        self.by_key.get(key.id()).or_else(|| self.by_mark.get(&mark?)).cloned()
    }
}

/// Selects the keys, and decides what to do with each.
///
/// A key that belongs to an unfinished rotation is left to that rotation.
async fn select(
    provider: &NamedProvider,
    journal: &dyn Journal,
    selector: &Selector,
    patterns: &DestinationPatterns,
) -> Result<Vec<SelectedKey>> {
    let unfinished = UnfinishedRotations::load(provider, journal).await?;
    let now = Utc::now();
    let mut selected = Vec::new();
    // The owner of a name is a key, or an unfinished rotation with all keys of its lineage.
    let mut owners_of_name: HashMap<String, HashSet<String>> = HashMap::new();
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        let name = Mark::unmarked(key.name().unwrap_or_default()).to_owned();
        let under_way = unfinished.rotation_of(&key);
        if !key.status().is_dead() {
            let owner = under_way.as_ref().map_or_else(|| key.id().to_string(), ToString::to_string);
            owners_of_name.entry(name.clone()).or_default().insert(owner);
        }
        if selector.matches(&key, now) {
            selected.push((key.id().clone(), name, under_way));
        }
    }
    let selected = selected.into_iter().map(|(id, name, under_way)| {
        let decision = match (under_way, owners_of_name.get(&name).map_or(0, HashSet::len)) {
            (Some(rotation), _) => Decision::UnderWay(rotation),
            (None, count @ 2..) => Decision::Refused(format!(
                "{count} keys are named {name:?} and would share a destination: rotate each with `api-keyring rotate`"
            )),
            (None, _) => patterns.sinks_for(&name).map_or_else(Decision::Refused, Decision::Rotate),
        };
        SelectedKey { id, decision }
    });
    Ok(selected.collect())
}

/// Stands for the name of a key in a destination.
const NAME_PLACEHOLDER: &str = "{name}";

/// The destinations of all keys, with a placeholder for the name of a key.
struct DestinationPatterns(Vec<String>);

impl DestinationPatterns {
    fn new(patterns: Vec<String>) -> Result<Self> {
        if let Some(pattern) = patterns.iter().find(|pattern| !pattern.contains(NAME_PLACEHOLDER)) {
            return Err(Failure::Usage(format!(
                "{pattern} is the same destination for all keys: put {NAME_PLACEHOLDER} where the name of the key \
                 belongs"
            )));
        }
        let patterns = Self(patterns);
        patterns.sinks_for("name").map_err(Failure::Usage)?;
        Ok(patterns)
    }

    /// Returns the sinks of the key with this name.
    ///
    /// Refuses a name with characters that have a meaning in a path, in JSON or to a program.
    fn sinks_for(&self, name: &str) -> Result<Arc<dyn Sink>, String> {
        let is_plain = |c: char| c.is_alphanumeric() || " ._-+@:(),".contains(c);
        let begins_plainly = name.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !begins_plainly || !name.chars().all(is_plain) {
            return Err(format!(
                "its name, {name:?}, cannot be part of a destination: rotate the key with `api-keyring rotate`"
            ));
        }
        let addresses: Vec<_> = self.0.iter().map(|pattern| pattern.replace(NAME_PLACEHOLDER, name)).collect();
        open_sinks(&addresses).map_err(|why| why.to_string())
    }
}

/// Prints what the fleet would do with each key.
async fn print_plans(
    factory: &RotatorFactory<'_>,
    format: Format,
    account: Account<NamedProvider>,
    selected: Vec<SelectedKey>,
    options: &RotateOptions,
) -> Result {
    let name = account.0.name().to_owned();
    let nowhere = Arc::new(SinkSet::new([]));
    let rotator = &factory.rotator(account, nowhere, MemoryJournal::new());
    let planned = stream::iter(selected).map(|SelectedKey { id, decision }| async move {
        let planned = match decision {
            Decision::Rotate(sink) => match rotate::check_destination(&*sink).await {
                Ok(()) => rotator.with_sink(sink).plan(&options.request(&id)).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            }
            .map_err(|failure| failure.in_one_line()),
            Decision::UnderWay(rotation) => Err(format!("the rotation {rotation} of this key is unfinished")),
            Decision::Refused(why) => Err(why),
        };
        (id, planned)
    });
    let planned: Vec<_> = planned.buffered(8).collect().await;
    if format == Format::Json {
        let documents = planned.into_iter().map(|(id, planned)| match planned {
            Ok(plan) => json!({"id": id, "plan": plan}),
            Err(why) => json!({"id": id, "problem": why}),
        });
        return output::json(&documents.collect::<Vec<_>>());
    }
    output::table(
        ["KEY", "NAME", "DESTINATION", "PLAN"],
        planned.into_iter().map(|(id, planned)| {
            let key = format!("{name}/{id}");
            match planned {
                Ok(plan) => {
                    let requests: usize = plan.steps().iter().map(|step| step.requests.len()).sum();
                    [key, plan.name.clone(), plan.sinks.join(" and "), format!("rotate with {requests} requests")]
                }
                Err(why) => [key, "-".to_owned(), "-".to_owned(), format!("do not rotate: {why}")],
            }
        }),
    )
}

/// Prints the result of each key as it arrives, and all of them at the end.
struct ProgressReport {
    format: Format,
    provider: String,
    rows: Vec<KeyReport>,
    attention: AttentionWatch,
}

/// The result of a key that was not rotated.
const FAILED: &str = "failed";

/// The result of one key.
struct KeyReport {
    id: KeyId,
    result: &'static str,
    why: Option<String>,
}

/// Collects the keys whose rotations need attention, because their results only say that they failed.
#[derive(Clone, Debug, Default)]
struct AttentionWatch(Arc<Mutex<HashSet<KeyId>>>);

impl AttentionWatch {
    fn observe(&self, record: &Record) {
        let mut keys = self.keys();
        match record.state {
            State::NeedsAttention { .. } => keys.insert(record.plan.old.id.clone()),
            _ => keys.remove(&record.plan.old.id),
        };
    }

    fn is_needed(&self, key: &KeyId) -> bool {
        self.keys().contains(key)
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<KeyId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressReport {
    fn new(format: Format, provider: &NamedProvider, attention: AttentionWatch) -> Self {
        Self { format, provider: provider.name().to_owned(), rows: Vec::new(), attention }
    }

    fn record_result(&mut self, key: &KeyId, result: &KeyResult) {
        let (result, why) = match result {
            KeyResult::Done => ("done", None),
            KeyResult::Waiting => ("waiting", None),
            KeyResult::UnderWay(id) => ("waiting", Some(format!("for the rotation {id}"))),
            KeyResult::NotFound => ("not found", None),
            KeyResult::Replaced(id) => ("not found", Some(format!("it was replaced by the rotation {id}"))),
            KeyResult::NotRotated(why) => (FAILED, Some(why.clone())),
            KeyResult::Failed(error) => (FAILED, Some(error.to_string())),
            _ => (FAILED, None),
        };
        self.record(key, result, why);
    }

    fn record(&mut self, key: &KeyId, result: &'static str, why: Option<String>) {
        if self.format == Format::Table {
            let label = if result == FAILED && self.attention.is_needed(key) {
                StateKind::NeedsAttention.label()
            } else {
                result
            };
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            output::notice(&api_keyring::printable(&format!("{}/{key}: {label}{why}", self.provider)));
        }
        self.rows.push(KeyReport { id: key.clone(), result, why });
    }

    /// Prints how many of `all` keys had which result. Fails if a key failed.
    fn finish(self, summary: &FleetSummary, all: usize) -> Result {
        let not_started = all - self.rows.len();
        let printed = match self.format {
            Format::Json => {
                let keys = self.rows.iter().map(|row| json!({"id": row.id, "result": row.result, "why": row.why}));
                output::json(&json!({
                    "keys": keys.collect::<Vec<Value>>(),
                    "stopped": summary.halted,
                    "done": summary.done,
                    "waiting": summary.waiting,
                    "not_found": summary.not_found,
                    "failed": summary.failed,
                    "left_alone": not_started,
                }))
            }
            Format::Table => {
                let failed = self.rows.iter().filter(|row| row.result == FAILED);
                let needs_attention = failed.filter(|row| self.attention.is_needed(&row.id)).count();
                let counts = [
                    ("done", summary.done),
                    ("waiting", summary.waiting),
                    ("not found", summary.not_found),
                    ("failed", summary.failed - needs_attention),
                    (StateKind::NeedsAttention.label(), needs_attention),
                    ("not started", not_started),
                ];
                output::fields(counts.map(|(name, count)| (name, Some(count.to_string()))))
            }
        };
        match (&summary.halted, summary.failed) {
            (None, 0) => printed,
            (None, failed) => Err(Failure::Other(format!(
                "{failed} of {all} keys were not rotated: see their results. `resume` continues a rotation that has \
                 started"
            ))),
            (Some(why), _) => Err(Failure::Other(format!(
                "the fleet halted, and {} of {all} keys were not rotated: {why}",
                summary.failed + not_started
            ))),
        }
    }
}
