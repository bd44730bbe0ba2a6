//! `sweep`: keys that rotations have left behind.

use std::sync::Arc;

use api_keyring::{Keyring, NamedProvider, Provider as _};
use api_keyring_rotation::{Journal, Orphan, Sink, find_orphans, open_sinks};
use serde_json::json;

use super::journal;
use crate::arguments::{Format, Sweep, Target};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::{config, output};

pub(super) async fn run(format: Format, arguments: &Sweep) -> Result {
    let keyring: Keyring = config::from_environment(arguments.provider.as_deref())?;
    let places = arguments.places.iter().map(|place| match place {
        Target::Sink(sink) => Ok(Arc::clone(sink)),
        Target::Stdout => Err(Failure::Usage("standard output keeps no secrets".to_owned())),
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    for place in places.iter().filter(|_| arguments.even_unknown) {
        if place.current().await.map_err(|why| Failure::Other(format!("{}: {why}", place.name())))?.is_none() {
            let name = place.name();
            return Err(Failure::Usage(format!("{name} is empty: name the places where secrets are kept")));
        }
    }
    let journal = journal::existing(&arguments.journal)?;
    let mut found = Vec::new();
    for provider in keyring.providers() {
        for left in find_orphans(&provider, &journal).await? {
            let (what, may_go) = look(&left, &*journal, &places, arguments.even_unknown).await?;
            found.push(Found {
                provider: provider.clone(),
                left,
                what,
                may_go: may_go && arguments.retire,
                is_gone: false,
            });
        }
    }
    let going = found.iter().filter(|found| found.may_go).count();
    if going > 0 {
        let question = format!("{going} keys that rotations have left behind stop working. Delete them?");
        confirm(&arguments.consent, &question)?;
    }
    let mut failed = 0;
    for found in found.iter_mut().filter(|found| found.may_go) {
        match found.provider.delete(found.left.key.id()).await {
            Err(error) if !error.is_not_found() => {
                found.what = error.to_string();
                failed += 1;
            }
            _ => {
                found.what = "deleted".to_owned();
                found.is_gone = true;
            }
        }
    }
    let printed = print(format, &found);
    match failed {
        0 => printed,
        failed => Err(Failure::Other(format!("{failed} of {} keys could not be deleted", found.len()))),
    }
}

/// A key, and what becomes of it.
struct Found {
    provider: NamedProvider,
    left: Orphan,
    what: String,
    may_go: bool,
    is_gone: bool,
}

/// What there is to say of a key, and whether it may go: nobody may use its secret.
async fn look(
    left: &Orphan,
    journal: &dyn Journal,
    places: &[Arc<dyn Sink>],
    even_unknown: bool,
) -> Result<(String, bool)> {
    let record = match &left.rotation {
        Some(id) => journal.load(id).await?,
        None => None,
    };
    let mut looked_at = places.to_vec();
    for name in record.iter().flat_map(|record| &record.plan.sinks) {
        match open_sinks(&[name]) {
            Ok(sink) => looked_at.push(sink),
            Err(why) => return Ok((why.to_string(), false)),
        }
    }
    let mut is_surely_unused = true;
    for sink in looked_at {
        match left.is_in(&sink).await {
            Ok(Some(true)) => return Ok((format!("its secret is in {}", sink.name()), false)),
            Ok(Some(false)) => {}
            Ok(None) => is_surely_unused = false,
            Err(why) => return Ok((format!("{} cannot be read: {why}", sink.name()), false)),
        }
    }
    if let (Some(twin), false) = (&left.twin, even_unknown && is_surely_unused) {
        return Ok((format!("it has the mark of {twin}, and one of the two is nobody's"), false));
    }
    Ok(match (record.is_some(), is_surely_unused, even_unknown) {
        // The journal knows that it was given up.
        (true, ..) => ("left behind".to_owned(), true),
        (false, true, true) => ("the journal does not know it, and it is in none of the places".to_owned(), true),
        (false, false, true) => {
            ("the journal does not know it, and the vendor does not show whose secret is where".to_owned(), false)
        }
        (false, _, false) => ("the journal does not know it".to_owned(), false),
    })
}

fn print(format: Format, found: &[Found]) -> Result {
    if format == Format::Json {
        let documents = found.iter().map(|Found { provider, left, what, is_gone, .. }| {
            json!({
                "provider": provider.name(), "id": left.key.id(), "name": left.key.name(), "mark": left.mark,
                "rotation": left.rotation, "deleted": is_gone, "what": what,
            })
        });
        return output::json(&documents.collect::<Vec<_>>());
    }
    output::table(
        ["KEY", "NAME", "ROTATION", "WHAT"],
        found.iter().map(|Found { provider, left, what, .. }| {
            [
                format!("{}/{}", provider.name(), left.key.id()),
                left.key.name().unwrap_or("-").to_owned(),
                left.rotation.as_ref().map_or("-".to_owned(), ToString::to_string),
                what.clone(),
            ]
        }),
    )
}
