//! Bringing a new secret to its destination, whatever happens on the way.

use std::future::Future;
use std::io::{self, Write as _};

use api_keyring::{Error, IssuedKey, KeyId, NamedProvider, Provider as _};
use serde_json::{Value, json};

use crate::arguments::{DeliveryArguments, Format};
use crate::destination::ReadyDestination;
use crate::failure::{Failure, Result};
use crate::output;

/// What to do when a secret was issued and cannot be delivered.
#[derive(Clone, Copy)]
pub(super) enum Undo {
    /// Delete the key: it is new, and nobody else knows it.
    Delete,
    /// Nothing can be done: the key is not new.
    Impossible,
}

/// Makes the destination ready, before anything is sent.
pub(super) fn destination(arguments: DeliveryArguments) -> Result<ReadyDestination> {
    let wanted = arguments.to.ok_or_else(|| {
        Failure::Usage(
            "say where the secret goes, it is shown this once: --to - for standard output, or --to file:PATH"
                .to_owned(),
        )
    })?;
    wanted.ready(arguments.force)
}

/// Has a key issued, and delivers and reports its secret.
pub(super) async fn issue(
    format: Format,
    provider: &NamedProvider,
    destination: ReadyDestination,
    issuing: impl Future<Output = Result<IssuedKey, Error>>,
    undo: Undo,
) -> Result {
    let issued = match issuing.await {
        Ok(issued) => issued,
        Err(error) => return Err(salvage(error, destination)),
    };
    let (name, to_stdout) = (destination.name(), destination.is_stdout());
    if to_stdout && format == Format::Json {
        // The one document on standard output holds the secret, too.
        let mut report = report(provider, &issued, &name);
        report["secret"] = issued.secret().expose().into();
        return match output::json(&report) {
            Ok(()) => Ok(()),
            Err(failure) => Err(undelivered(provider, issued.id(), undo, &describe(&failure)).await),
        };
    }
    if let Err(error) = destination.deliver(issued.secret()) {
        return Err(undelivered(provider, issued.id(), undo, &error.to_string()).await);
    }
    match format {
        Format::Json => output::json(&report(provider, &issued, &name)),
        Format::Table if to_stdout => {
            // Standard output holds the secret alone, so that a program can take it from there.
            Ok(writeln!(io::stderr(), "issued {}/{}", provider.name(), issued.id())?)
        }
        Format::Table => {
            let key = format!("{}/{}", provider.name(), issued.id());
            output::fields([
                ("key", Some(key)),
                ("secret", Some(issued.secret().masked())),
                ("delivered to", Some(name)),
            ])
        }
    }
}

fn report(provider: &NamedProvider, issued: &IssuedKey, delivered_to: &str) -> Value {
    json!({
        "provider": provider.name(),
        "id": issued.id(),
        "masked_secret": issued.secret().masked(),
        "delivered_to": delivered_to,
        "key": issued.key(),
    })
}

fn describe(failure: &Failure) -> String {
    match failure {
        Failure::OutputClosed => "standard output is closed".to_owned(),
        other => other.to_string().trim_end().to_owned(),
    }
}

/// Delivers what arrived of an answer that could not be read: the secret may be in it.
fn salvage(error: Error, destination: ReadyDestination) -> Failure {
    let Some(unclaimed) = error.unclaimed_secret().cloned() else {
        return error.into();
    };
    let name = destination.name();
    let note = match destination.deliver(&unclaimed) {
        Ok(()) => format!("What arrived of the answer was delivered to {name}; look for the secret in it"),
        Err(why) => format!("What arrived of the answer could not be delivered to {name}: {why}"),
    };
    Failure::Keyring(error.advise(note))
}

/// Deals with a key whose secret could not be delivered, so that no key is left that nobody holds.
async fn undelivered(provider: &NamedProvider, id: &KeyId, undo: Undo, why: &str) -> Failure {
    let key = format!("{}/{id}", provider.name());
    Failure::Other(match undo {
        Undo::Impossible => {
            format!("{key} has a new secret that could not be delivered: {why}. Rotate it again to get another one")
        }
        Undo::Delete => match provider.delete(id).await {
            Ok(()) => format!("the secret of {key} could not be delivered: {why}. The key was deleted again"),
            Err(error) => {
                format!("the secret of {key} could not be delivered: {why}. The key still exists; delete it: {error}")
            }
        },
    })
}
