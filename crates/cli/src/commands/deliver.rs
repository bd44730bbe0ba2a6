//! Bringing a new secret to its destination, whatever happens on the way.

use std::future::Future;

use api_keyring::{Error, IssuedKey, KeyId, NamedProvider, Provider as _, Secret};
use api_keyring_rotation::Existing;
use serde_json::{Value, json};

use crate::arguments::{DeliveryArguments, Format};
use crate::destination::{self, DeliveryError, Destination, ReadyDestination};
use crate::failure::{Failure, Result};
use crate::output;

/// What to do when a secret was issued and cannot be delivered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// Delete the key: it is new, and nobody else knows it.
    Delete,
    /// Nothing can be done: the key is not new.
    Impossible,
}

/// Where the secret shall go, and whether a file there may be overwritten.
pub(super) fn requested_destination(arguments: DeliveryArguments) -> Result<(Destination, Existing)> {
    let destination = arguments.to.ok_or_else(|| {
        Failure::Usage(
            "say where the secret goes, it is shown this once: --to - for standard output, or --to file:PATH"
                .to_owned(),
        )
    })?;
    let existing = if arguments.force { Existing::Replace } else { Existing::Keep };
    Ok((destination, existing))
}

/// Has a key issued once its destination is ready, and delivers and reports its secret.
pub(super) async fn issue_and_deliver(
    format: Format,
    provider: &NamedProvider,
    (destination, existing): (Destination, Existing),
    issuing: impl Future<Output = Result<IssuedKey, Error>>,
    undo: Undo,
) -> Result {
    let destination = destination.prepare(existing)?;
    let (name, to_stdout) = (destination.name(), destination.is_stdout());
    let issued = match issuing.await {
        Ok(issued) => issued,
        Err(error) => return Err(handle_failed_issue(format, provider, destination, error, undo).await),
    };
    let key = format!("{}/{}", provider.name(), issued.id());
    if to_stdout && format == Format::Json {
        // The one document on standard output holds the secret, too.
        let mut report = report(provider, &issued, &name);
        report["secret"] = issued.secret().expose().into();
        return match output::json(&report) {
            Ok(()) => Ok(()),
            Err(failure) => Err(handle_lost_secret(provider, issued.id(), undo, &failure.to_string()).await),
        };
    }
    match destination.deliver(issued.secret()) {
        Ok(()) => {}
        Err(DeliveryError::Lost(why)) => {
            return Err(handle_lost_secret(provider, issued.id(), undo, &why.to_string()).await);
        }
        Err(DeliveryError::Elsewhere { why, path }) => {
            let place = path.display();
            return Err(Failure::Other(format!("the secret of {key} is in {place}, not in {name}: {why}")));
        }
    }
    print_delivered(format, provider, &issued, &name)
}

/// Prints the key, and where its secret is.
fn print_delivered(format: Format, provider: &NamedProvider, issued: &IssuedKey, name: &str) -> Result {
    let key = format!("{}/{}", provider.name(), issued.id());
    let printed = match format {
        Format::Json => output::json(&report(provider, issued, name)),
        Format::Table if name == destination::STDOUT => {
            // Standard output holds the secret alone, so that a program can take it from there.
            output::notice(&format!("issued {key}"));
            Ok(())
        }
        Format::Table => output::fields([
            ("key", Some(key.clone())),
            ("secret", Some(issued.secret().masked())),
            ("delivered to", Some(name.to_owned())),
        ]),
    };
    printed.map_err(|failure| match failure {
        Failure::OutputClosed => failure,
        other => Failure::Other(format!("{key} was issued and its secret is in {name}, but: {other}")),
    })
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

/// Keeps what arrived of an answer that could not be read, since the secret may be in it, and deletes a new key of which
/// nothing arrived.
async fn handle_failed_issue(
    format: Format,
    provider: &NamedProvider,
    destination: ReadyDestination,
    error: Error,
    undo: Undo,
) -> Failure {
    let set_aside = error.unclaimed_secret().map(|unclaimed| set_aside(format, destination, unclaimed));
    let note = match set_aside {
        Some(Ok(place)) => format!("What arrived of the answer is in {place}; look for the secret there"),
        Some(Err(why)) => {
            format!(
                "What arrived of the answer could not be kept: {}. {}",
                why,
                undo_issue(provider, &error, undo).await
            )
        }
        None => undo_issue(provider, &error, undo).await,
    };
    match note.trim_end() {
        "" => error.into(),
        note => Failure::Keyring(error.advise(note.to_owned())),
    }
}

fn set_aside(format: Format, destination: ReadyDestination, unclaimed: &Secret) -> Result<String> {
    if destination.is_stdout() && format == Format::Json {
        output::json(&json!({"unclaimed": unclaimed.expose()}))?;
        return Ok(destination::STDOUT.to_owned());
    }
    Ok(destination.set_aside(unclaimed)?)
}

/// Deletes a new key whose secret did not arrive, and says what became of it. Nothing, where no key is known to exist.
async fn undo_issue(provider: &NamedProvider, error: &Error, undo: Undo) -> String {
    match error.key() {
        Some(id) if undo == Undo::Delete => match provider.delete(id).await {
            Ok(()) => format!("The key {id} was deleted again"),
            Err(why) => format!("The key {id} still exists and nobody can use it; delete it: {why}"),
        },
        _ => String::new(),
    }
}

/// Deals with a key whose secret is lost, so that no key is left that nobody holds.
async fn handle_lost_secret(provider: &NamedProvider, id: &KeyId, undo: Undo, why: &str) -> Failure {
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
