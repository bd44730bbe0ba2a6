//! `rotate-fleet`: many keys of one provider.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_keyring::{ApiKey, KeyId, ListKeys, Mark, NamedProvider, Provider as _, ProviderExt as _};
use api_keyring_rotation::{
    Fleet, FleetKey, FleetSummary, Journal, KeyResult, MemoryJournal, RotationId, Selector, Sink, SinkSet, open_sinks,
};
use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::rotator::Rotators;
use super::{journal, rotate, rotator};
use crate::arguments::{Format, RotateFleet, RotateOptions};
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: RotateFleet) -> Result {
    let (provider, own) = config::account(&arguments.provider)?;
    let rotators = Rotators::new(format, &arguments.options.how);
    rotate::check_strategy(&provider, &arguments.options)?;
    let selector = arguments.selection.selector().map_err(|why| Failure::Usage(why.to_string()))?;
    let places = Places::new(arguments.to)?;
    let journal = journal::of_rotation(&arguments.options, arguments.options.dry_run)?;
    let chosen = choose(&provider, &*journal, &selector, &places).await?;
    if arguments.options.dry_run {
        let account = (provider, own);
        return plan(&rotators, format, account, chosen, &arguments.options).await;
    }
    let mut told = Told { format, provider: provider.name().to_owned(), rows: Vec::new() };
    let mut keys = Vec::new();
    let mut refused = 0;
    for Chosen { id, fate } in chosen {
        match fate {
            Fate::Rotate(sink) => keys.push(FleetKey { rotate: arguments.options.request(&id), sink }),
            Fate::UnderWay(rotation) => told.rotated(&id, &KeyResult::UnderWay(rotation)),
            Fate::Refused(why) => {
                refused += 1;
                told.tell(&id, "failed", Some(why));
            }
        }
    }
    let (passed_over, all) = (told.rows.len(), told.rows.len() + keys.len());
    if !keys.is_empty() {
        let what = format!("{} keys of {}", keys.len(), provider.name());
        confirm(&arguments.options.consent, &format!("{} Rotate them?", arguments.options.warning(&what)))?;
    }
    let fleet = Fleet::new(provider, journal)
        .with(|rotator| rotators.set_up(rotator, own).cancel_when(rotator::stop_requested()))
        .concurrency(arguments.concurrency)
        .waves(arguments.canaries);
    let mut summary = fleet.rotate(stream::iter(keys), |key, rotated| told.rotated(key, rotated)).await;
    summary.waiting += passed_over - refused;
    summary.failed += refused;
    told.report(&summary, all)
}

/// A key that the selector takes, and what is to become of it.
struct Chosen {
    id: KeyId,
    fate: Fate,
}

enum Fate {
    Rotate(Arc<dyn Sink>),
    /// It is rotated already.
    UnderWay(RotationId),
    /// Nobody can tell where its secret is.
    Refused(String),
}

/// The keys that the selector takes. What a rotation that is not finished has to do with is left to that one.
async fn choose(
    provider: &NamedProvider,
    journal: &dyn Journal,
    selector: &Selector,
    places: &Places,
) -> Result<Vec<Chosen>> {
    let mut of_key = HashMap::new();
    let mut of_mark = HashMap::new();
    for record in journal.unfinished().await? {
        if (&*record.plan.vendor, &*record.plan.scope) == (provider.vendor(), provider.scope()) {
            of_key.insert(record.plan.old.id, record.id.clone());
            of_mark.extend(record.marks.into_iter().map(|mark| (mark, record.id.clone())));
        }
    }
    let under_way = |key: &ApiKey| {
        let mark = key.name().and_then(Mark::of_name);
        of_key.get(key.id()).or_else(|| of_mark.get(&mark?)).cloned()
    };
    let now = Utc::now();
    let mut chosen = Vec::new();
    // Who has a place by that name: a key, or a rotation with all that it has issued.
    let mut of_name: HashMap<String, HashSet<String>> = HashMap::new();
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        let name = Mark::unmarked(key.name().unwrap_or_default()).to_owned();
        let under_way = under_way(&key);
        if !key.status().is_dead() {
            let owner = under_way.as_ref().map_or_else(|| key.id().to_string(), ToString::to_string);
            of_name.entry(name.clone()).or_default().insert(owner);
        }
        if selector.matches(&key, now) {
            chosen.push((key.id().clone(), name, under_way));
        }
    }
    let chosen = chosen.into_iter().map(|(id, name, under_way)| {
        let fate = match (under_way, of_name.get(&name).map_or(0, HashSet::len)) {
            (Some(rotation), _) => Fate::UnderWay(rotation),
            (None, count @ 2..) => {
                Fate::Refused(format!("{count} keys are named {name:?}, and have one place for their secrets"))
            }
            (None, _) => places.of(&name).map_or_else(Fate::Refused, Fate::Rotate),
        };
        Chosen { id, fate }
    });
    Ok(chosen.collect())
}

/// What stands for a key's name in the place of its secret.
const NAME: &str = "{name}";

/// Where the secrets of keys are, by the keys' names.
struct Places(Vec<String>);

impl Places {
    fn new(patterns: Vec<String>) -> Result<Self> {
        if let Some(pattern) = patterns.iter().find(|pattern| !pattern.contains(NAME)) {
            return Err(Failure::Usage(format!("{pattern} is one place for all keys: write {NAME} into it")));
        }
        let places = Self(patterns);
        places.of("name").map_err(Failure::Usage)?;
        Ok(places)
    }

    /// The sinks of a key with that name, which must mean nothing but itself in any of them.
    fn of(&self, name: &str) -> Result<Arc<dyn Sink>, String> {
        let is_plain = |c: char| c.is_alphanumeric() || " ._-+@:(),".contains(c);
        let begins_plainly = name.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !begins_plainly || !name.chars().all(is_plain) {
            return Err(format!("its name, {name:?}, cannot stand in the name of a place: rotate it by itself"));
        }
        let places: Vec<_> = self.0.iter().map(|pattern| pattern.replace(NAME, name)).collect();
        open_sinks(&places).map_err(|why| why.to_string())
    }
}

/// Tells what would be done with each key.
async fn plan(
    rotators: &Rotators<'_>,
    format: Format,
    account: Account<NamedProvider>,
    chosen: Vec<Chosen>,
    options: &RotateOptions,
) -> Result {
    let name = account.0.name().to_owned();
    let nowhere = Arc::new(SinkSet::new([]));
    let rotator = &rotators.rotator(account, nowhere, MemoryJournal::new());
    let planned = stream::iter(chosen).map(|Chosen { id, fate }| async move {
        let planned = match fate {
            Fate::Rotate(sink) => match rotate::check(&*sink).await {
                Ok(()) => rotator.with_sink(sink).plan(&options.request(&id)).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            }
            .map_err(|failure| failure.in_one_line()),
            Fate::UnderWay(rotation) => Err(format!("the rotation {rotation} is at work on it")),
            Fate::Refused(why) => Err(why),
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
        ["KEY", "NAME", "SECRET IN", "WHAT"],
        planned.into_iter().map(|(id, planned)| {
            let key = format!("{name}/{id}");
            match planned {
                Ok(plan) => {
                    let requests: usize = plan.steps().iter().map(|step| step.requests.len()).sum();
                    [key, plan.name.clone(), plan.sinks.join(" and "), format!("rotated with {requests} requests")]
                }
                Err(why) => [key, "-".to_owned(), "-".to_owned(), format!("left alone: {why}")],
            }
        }),
    )
}

/// What is told of each key, when it ends and at the end.
struct Told {
    format: Format,
    provider: String,
    rows: Vec<(KeyId, &'static str, Option<String>)>,
}

impl Told {
    fn rotated(&mut self, key: &KeyId, rotated: &KeyResult) {
        let (result, why) = match rotated {
            KeyResult::Done => ("done", None),
            KeyResult::Waiting => ("waiting", None),
            KeyResult::UnderWay(id) => ("waiting", Some(format!("for the rotation {id}"))),
            KeyResult::NotFound => ("not found", None),
            KeyResult::Replaced(id) => ("not found", Some(format!("it was replaced by the rotation {id}"))),
            KeyResult::NotRotated(why) => ("failed", Some(why.clone())),
            KeyResult::Failed(error) => ("failed", Some(error.to_string())),
            _ => ("failed", None),
        };
        self.tell(key, result, why);
    }

    fn tell(&mut self, key: &KeyId, result: &'static str, why: Option<String>) {
        if self.format == Format::Table {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            output::tell(&api_keyring::printable(&format!("{}/{key}: {result}{why}", self.provider)));
        }
        self.rows.push((key.clone(), result, why));
    }

    /// The end of it: how many of so many keys came to which.
    fn report(self, summary: &FleetSummary, all: usize) -> Result {
        let left_alone = all - self.rows.len();
        let counts = [
            ("done", summary.done),
            ("waiting", summary.waiting),
            ("not found", summary.not_found),
            ("failed", summary.failed),
            ("left alone", left_alone),
        ];
        let printed = match self.format {
            Format::Json => {
                let keys =
                    self.rows.into_iter().map(|(id, result, why)| json!({"id": id, "result": result, "why": why}));
                let mut document = json!({"keys": keys.collect::<Vec<Value>>(), "stopped": summary.halted});
                counts.iter().for_each(|(name, count)| document[name.replace(' ', "_")] = json!(count));
                output::json(&document)
            }
            Format::Table => output::fields(counts.map(|(name, count)| (name, Some(count.to_string())))),
        };
        match (&summary.halted, summary.failed) {
            (None, 0) => printed,
            (None, failed) => Err(Failure::Other(format!("{failed} of {all} keys were not rotated"))),
            (Some(why), _) => Err(Failure::Other(format!("the rest was left alone after a failure: {why}"))),
        }
    }
}
