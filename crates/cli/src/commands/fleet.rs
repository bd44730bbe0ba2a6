//! `rotate-fleet` rotates many keys of one provider.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_keyring::{ApiKey, Clock as _, KeyId, ListKeys, Mark, NamedProvider, Provider as _, ProviderExt as _};
use api_keyring_rotation::{
    Exclusion, Fleet, FleetKey, FleetSummary, Journal, JournalEntry, KeyResult, MemoryJournal, OwnCredential, Record,
    RotationId, Selector, Sink, SinkSet, State, StateKind, open_sinks,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::journal::Access;
use super::rotator::RotatorFactory;
use super::{journal, rotate, rotator};
use crate::arguments::{Format, RotateFleet};
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: RotateFleet) -> Result {
    let account = config::account(&arguments.provider)?;
    let provider = account.provider.clone();
    let factory = RotatorFactory::new(format, &arguments.options.rotator);
    rotate::check_strategy(&provider, &arguments.options)?;
    let selector = arguments.selection.selector().map_err(|why| Failure::Usage(why.to_string()))?;
    let patterns = DestinationPatterns::new(&arguments.to)?;
    let journal = journal::for_rotation(&arguments.options, Access::unless_dry_run(arguments.options.dry_run))?;
    let selection = select(&provider, &*journal, &selector, &patterns).await?;
    if selection.keys.is_empty() {
        output::notice(&selection.describe_exclusions(provider.name()));
    }
    if arguments.options.dry_run {
        return print_plans(&factory, format, account, selection.keys, &arguments).await;
    }
    let watch = RecordWatch::default();
    let mut progress = ProgressReport::new(format, &provider, watch.clone());
    let keys = progress.take_unrotated(selection.keys, &arguments);
    let (not_rotated, all) = (progress.rows.len(), progress.rows.len() + keys.len());
    let refused = progress.rows.iter().filter(|row| row.result == FAILED).count();
    if !keys.is_empty() {
        let what = format!("{} keys of {}", keys.len(), provider.name());
        confirm(&arguments.options.consent, &arguments.options.warning(&what), "Rotate them?")?;
    }
    let mut fleet = Fleet::new(provider, journal)
        .with(|rotator| {
            let rotator = factory.configure(rotator, account.own).cancel_when(rotator::cancel_requested());
            rotator.observe(move |record| watch.observe(record))
        })
        .concurrency(arguments.concurrency.into())
        .waves(arguments.canaries.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)));
    if let Some(failures) = arguments.give_up_after {
        fleet = fleet.give_up_after(usize::try_from(failures).unwrap_or(usize::MAX));
    }
    let mut summary = fleet.rotate(stream::iter(keys), |key, result| progress.record_result(key, result)).await;
    summary.waiting += not_rotated - refused;
    summary.failed += refused;
    progress.finish(&summary, all, &selection.excluded)
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
        for entry in journal::unfinished(journal).await? {
            let (vendor, scope, key, id, marks) = match entry {
                JournalEntry::Record(record) => {
                    let plan = record.plan;
                    (plan.vendor, plan.scope, Some(plan.old.id), Some(record.id), record.marks)
                }
                // Until somebody can read the record again, its keys stay with its rotation.
                JournalEntry::Unreadable(record) => {
                    (record.vendor, record.scope, record.key.parse().ok(), record.id.parse().ok(), record.marks)
                }
            };
            if let Some(id) = id.filter(|_| (&*vendor, &*scope) == (provider.vendor(), provider.scope())) {
                unfinished.by_mark.extend(marks.into_iter().map(|mark| (mark, id.clone())));
                unfinished.by_key.extend(key.map(|key| (key, id)));
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

/// The selected keys, and how many others each condition excluded.
struct Selection {
    keys: Vec<SelectedKey>,
    excluded: BTreeMap<Exclusion, usize>,
}

impl Selection {
    /// Says why no key is selected.
    fn describe_exclusions(&self, provider: &str) -> String {
        let counts: Vec<_> =
            self.excluded.iter().map(|(exclusion, count)| format!("{count} {}", why(*exclusion))).collect();
        match &counts[..] {
            [] => format!("no key is selected: {provider} has no keys"),
            counts => format!("no key is selected: {}", counts.join(", ")),
        }
    }
}

/// Completes a sentence that begins with a number of keys.
fn why(exclusion: Exclusion) -> &'static str {
    match exclusion {
        Exclusion::Dead => "no longer work",
        Exclusion::Name => "have another name than --named",
        Exclusion::Age => "are younger than --older-than",
        Exclusion::Expiry => "do not expire within --expiring-within",
        _ => "do not match",
    }
}

/// Returns the name of a condition in a document.
fn excluded_by(exclusion: Exclusion) -> &'static str {
    match exclusion {
        Exclusion::Dead => "dead",
        Exclusion::Name => "named",
        Exclusion::Age => "older_than",
        Exclusion::Expiry => "expiring_within",
        _ => "other",
    }
}

/// Selects the keys, and decides what to do with each. A key that is listed twice counts once.
///
/// A key that belongs to an unfinished rotation is left to that rotation.
async fn select(
    provider: &NamedProvider,
    journal: &dyn Journal,
    selector: &Selector,
    patterns: &DestinationPatterns<'_>,
) -> Result<Selection> {
    let unfinished = UnfinishedRotations::load(provider, journal).await?;
    let now = rotator::CLOCK.now();
    let (mut selected, mut seen, mut excluded) = (Vec::new(), HashSet::new(), BTreeMap::new());
    // The owner of a name is a key, or an unfinished rotation with all keys of its lineage.
    let mut owners_of_name: HashMap<String, HashSet<String>> = HashMap::new();
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        if !seen.insert(key.id().clone()) {
            continue;
        }
        let name = Mark::unmarked(key.name().unwrap_or_default()).to_owned();
        let under_way = unfinished.rotation_of(&key);
        if !key.status_at(now).is_dead() {
            let owner = under_way.as_ref().map_or_else(|| key.id().to_string(), ToString::to_string);
            owners_of_name.entry(name.clone()).or_default().insert(owner);
        }
        match selector.exclusion(&key, now) {
            None => selected.push((key.id().clone(), name, under_way)),
            Some(exclusion) => *excluded.entry(exclusion).or_default() += 1,
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
    Ok(Selection { keys: selected.collect(), excluded })
}

/// Stands for the name of a key in a destination.
const NAME_PLACEHOLDER: &str = "{name}";

/// The destinations of all keys, with a placeholder for the name of a key.
struct DestinationPatterns<'a>(&'a [String]);

impl<'a> DestinationPatterns<'a> {
    fn new(patterns: &'a [String]) -> Result<Self> {
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
    arguments: &RotateFleet,
) -> Result {
    let name = account.provider.name().to_owned();
    let nowhere = Arc::new(SinkSet::new([]));
    let rotator = &factory.rotator(account, nowhere, MemoryJournal::new());
    let planned = stream::iter(selected).map(|SelectedKey { id, decision }| async move {
        let planned = match decision {
            Decision::Rotate(sink) => match rotate::check_destination(&*sink).await {
                Ok(()) => rotator.with_sink(sink).plan(&arguments.request(&id)).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            }
            .map_err(|failure| failure.in_one_line())
            .and_then(|plan| match plan.own_credential {
                OwnCredential::Yes if !arguments.even_own => Err(OWN_CREDENTIAL.to_owned()),
                _ => Ok(plan),
            }),
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
                    [key, plan.name.clone(), plan.shown_sinks(), format!("rotate with {requests} requests")]
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
    watch: RecordWatch,
}

/// The result of a key that was not rotated.
const FAILED: &str = "failed";

/// The result of a key whose rotation was cancelled.
const UNFINISHED: &str = "unfinished";

/// Why your own credential is not rotated.
const OWN_CREDENTIAL: &str = "it is your own credential: to rotate it, too, use --even-own";

/// The result of one key.
struct KeyReport {
    id: KeyId,
    result: &'static str,
    why: Option<String>,
}

/// Collects what the results of the keys do not say: which rotations need attention, and which one replaced your own
/// credential.
#[derive(Clone, Debug, Default)]
struct RecordWatch(Arc<Mutex<WatchedRecords>>);

#[derive(Debug, Default)]
struct WatchedRecords {
    need_attention: HashSet<KeyId>,
    own_credential: Option<Record>,
}

impl RecordWatch {
    fn observe(&self, record: &Record) {
        let mut watched = self.watched();
        match record.state {
            State::NeedsAttention { .. } => watched.need_attention.insert(record.plan.old.id.clone()),
            _ => watched.need_attention.remove(&record.plan.old.id),
        };
        if record.plan.own_credential == OwnCredential::Yes {
            watched.own_credential = Some(record.clone()).filter(rotator::replaces_own_credential);
        }
    }

    fn is_attention_needed(&self, key: &KeyId) -> bool {
        self.watched().need_attention.contains(key)
    }

    /// Returns the rotation that has replaced your own credential.
    fn own_credential(&self) -> Option<Record> {
        self.watched().own_credential.clone()
    }

    fn watched(&self) -> MutexGuard<'_, WatchedRecords> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressReport {
    fn new(format: Format, provider: &NamedProvider, watch: RecordWatch) -> Self {
        Self { format, provider: provider.name().to_owned(), rows: Vec::new(), watch }
    }

    /// Reports the keys that the fleet leaves alone, and returns all others.
    fn take_unrotated(&mut self, selected: Vec<SelectedKey>, arguments: &RotateFleet) -> Vec<FleetKey> {
        let mut keys = Vec::new();
        for SelectedKey { id, decision } in selected {
            match decision {
                Decision::Rotate(sink) => keys.push(FleetKey { rotate: arguments.request(&id), sink }),
                Decision::UnderWay(rotation) => self.record_result(&id, &KeyResult::UnderWay(rotation)),
                Decision::Refused(why) => self.record(&id, FAILED, Some(why)),
            }
        }
        keys
    }

    fn record_result(&mut self, key: &KeyId, result: &KeyResult) {
        let (result, why) = match result {
            KeyResult::Done => ("done", None),
            KeyResult::Waiting => ("waiting", None),
            KeyResult::UnderWay(id) => ("waiting", Some(format!("for the rotation {id}"))),
            KeyResult::NotFound => ("not found", None),
            KeyResult::Replaced(id) => ("not found", Some(format!("it was replaced by the rotation {id}"))),
            KeyResult::NotRotated(why) => (FAILED, Some(why.clone())),
            KeyResult::Unfinished => (UNFINISHED, Some("it was cancelled between two steps".to_owned())),
            KeyResult::OwnCredential => (FAILED, Some(OWN_CREDENTIAL.to_owned())),
            KeyResult::Failed(error) => (FAILED, Some(error.to_string())),
            _ => (FAILED, None),
        };
        self.record(key, result, why);
    }

    fn record(&mut self, key: &KeyId, result: &'static str, why: Option<String>) {
        if self.format == Format::Table {
            let needs_attention = result == FAILED && self.watch.is_attention_needed(key);
            let label = if needs_attention { StateKind::NeedsAttention.label() } else { result };
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            output::notice(&format!("{}/{key}: {label}{why}", self.provider));
        }
        self.rows.push(KeyReport { id: key.clone(), result, why });
    }

    /// Prints how many of `all` keys had which result. Fails if a key failed or is unfinished.
    fn finish(self, summary: &FleetSummary, all: usize, excluded: &BTreeMap<Exclusion, usize>) -> Result {
        let not_started = all - self.rows.len();
        let own = self.watch.own_credential();
        let excluded: BTreeMap<_, _> = excluded.iter().map(|(by, count)| (excluded_by(*by), *count)).collect();
        let printed = match self.format {
            Format::Json => {
                let keys = self.rows.iter().map(|row| json!({"id": row.id, "result": row.result, "why": row.why}));
                output::json(&json!({
                    "keys": keys.collect::<Vec<Value>>(),
                    "stopped": summary.halted,
                    "done": summary.done,
                    "waiting": summary.waiting,
                    "not_found": summary.not_found,
                    "unfinished": summary.unfinished,
                    "failed": summary.failed,
                    "left_alone": not_started,
                    "excluded": excluded,
                    "own_credential": own.as_ref().map(|record| json!({
                        "id": record.plan.old.id,
                        "new_secret_in": record.plan.sinks,
                        "variable": config::credential_variable(&self.provider),
                    })),
                }))
            }
            Format::Table => {
                let failed = self.rows.iter().filter(|row| row.result == FAILED);
                let needs_attention = failed.filter(|row| self.watch.is_attention_needed(&row.id)).count();
                let counts = [
                    ("done", summary.done),
                    ("waiting", summary.waiting),
                    ("not found", summary.not_found),
                    (UNFINISHED, summary.unfinished),
                    ("failed", summary.failed - needs_attention),
                    (StateKind::NeedsAttention.label(), needs_attention),
                    ("not started", not_started),
                ];
                output::fields(counts.map(|(name, count)| (name, Some(count.to_string()))))
            }
        };
        if let (Some(record), Format::Table) = (&own, self.format) {
            output::notice(&rotator::own_credential_replaced(record));
        }
        let resume = "`resume` continues a rotation that has started";
        match (&summary.halted, summary.failed) {
            (None, 0) => printed,
            (None, failed) => {
                Err(Failure::Other(format!("{failed} of {all} keys were not rotated: see their results. {resume}")))
            }
            (Some(why), 0) => Err(Failure::Unfinished(format!(
                "the fleet halted, because {why}: {} rotations are unfinished, and {not_started} of {all} keys were \
                 not started. {resume}",
                summary.unfinished
            ))),
            (Some(why), failed) => Err(Failure::Other(format!(
                "the fleet halted, and {} of {all} keys were not rotated: {why}. {resume}",
                failed + summary.unfinished + not_started
            ))),
        }
    }
}
