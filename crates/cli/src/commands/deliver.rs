//! Issues a secret and delivers it to its destination, whatever happens on the way.

use std::future::Future;

use api_keyring::{Error, IssuedKey, KeyId, NamedProvider, Provider as _, Secret};
use api_keyring_rotation::Existing;
use serde_json::{Value, json};

use crate::arguments::{DeliveryArguments, Format};
use crate::destination::{self, DeliveryError, Destination, ReadyDestination};
use crate::failure::{Failure, Result};
use crate::output;

/// How to clean up after a secret that was issued and cannot be delivered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// Delete the key. It is new, and nothing uses it yet.
    Delete,
    /// Do nothing. The key existed before.
    Impossible,
}

/// Returns the destination that the user names, and what to do with an existing file there.
pub(super) fn requested_destination(arguments: DeliveryArguments) -> Result<(Destination, Existing)> {
    let destination = arguments.to.ok_or_else(|| {
        Failure::Usage(
            "the vendor shows the secret only once: name its destination with --to file:PATH, or --to - for standard \
             output"
                .to_owned(),
        )
    })?;
    let existing = if arguments.force { Existing::Replace } else { Existing::Keep };
    Ok((destination, existing))
}

/// Issues a key once its destination is ready, then delivers the secret and prints the key.
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
        // Standard output takes only one document, so this one contains the secret.
        let mut document = delivery_document(provider, &issued, &name);
        document["secret"] = issued.secret().expose().into();
        return match output::json(&document) {
            Ok(()) => Ok(()),
            Err(failure) => Err(handle_lost_secret(provider, issued.id(), undo, &describe(&failure)).await),
        };
    }
    match destination.deliver(issued.secret()) {
        Ok(()) => {}
        Err(DeliveryError::Lost(why)) => {
            return Err(handle_lost_secret(provider, issued.id(), undo, &why.to_string()).await);
        }
        Err(DeliveryError::Elsewhere { why, path }) => {
            let place = path.display();
            return Err(Failure::Other(format!("the secret of {key} is in {place} instead of {name}: {why}")));
        }
    }
    print_delivered(format, provider, &issued, &name)
}

/// Prints the key, and where its secret is.
fn print_delivered(format: Format, provider: &NamedProvider, issued: &IssuedKey, name: &str) -> Result {
    let key = format!("{}/{}", provider.name(), issued.id());
    let printed = match format {
        Format::Json => output::json(&delivery_document(provider, issued, name)),
        Format::Table if name == destination::STDOUT => {
            // Standard output holds only the secret, so that another program can read it.
            output::notice(&format!("issued {key}"));
            Ok(())
        }
        Format::Table => output::fields([
            ("key", Some(key.clone())),
            ("secret", Some(issued.secret().masked())),
            ("destination", Some(name.to_owned())),
        ]),
    };
    printed.map_err(|failure| match failure {
        Failure::OutputClosed => failure,
        Failure::Unprintable(why) => Failure::Other(format!(
            "{key} has a new secret, which is in {name}, but api-keyring cannot print the result: {why}"
        )),
        other => other,
    })
}

/// Describes why a secret that goes to standard output is not there.
fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Unprintable(why) => why.to_string(),
        other => other.to_string(),
    }
}

fn delivery_document(provider: &NamedProvider, issued: &IssuedKey, delivered_to: &str) -> Value {
    json!({
        "provider": provider.name(),
        "id": issued.id(),
        "masked_secret": issued.secret().masked(),
        "delivered_to": delivered_to,
        "key": issued.key(),
    })
}

/// Saves an answer that api-keyring cannot read, because it may contain the secret. Deletes a new key if no answer
/// arrived.
async fn handle_failed_issue(
    format: Format,
    provider: &NamedProvider,
    destination: ReadyDestination,
    error: Error,
    undo: Undo,
) -> Failure {
    let saved = error.unclaimed_secret().map(|unclaimed| save_unclaimed(format, destination, unclaimed));
    let note = match saved {
        Some(Ok(place)) => {
            format!("api-keyring saved the answer, as far as it arrived, in {place}: look there for the secret")
        }
        Some(Err(why)) => {
            let undone = undo_issue(provider, &error, undo).await;
            format!("The answer is lost, because it cannot be saved: {}. {undone}", describe(&why))
        }
        None => undo_issue(provider, &error, undo).await,
    };
    match note.trim_end() {
        "" => error.into(),
        note => Failure::Keyring(error.advise(note.to_owned())),
    }
}

fn save_unclaimed(format: Format, destination: ReadyDestination, unclaimed: &Secret) -> Result<String> {
    if destination.is_stdout() && format == Format::Json {
        output::json(&json!({"unclaimed": unclaimed.expose()}))?;
        return Ok(destination::STDOUT.to_owned());
    }
    Ok(destination.set_aside(unclaimed)?)
}

/// Deletes a new key whose secret did not arrive.
///
/// Returns a sentence about the key, or nothing if no key is known to exist.
async fn undo_issue(provider: &NamedProvider, error: &Error, undo: Undo) -> String {
    match error.key() {
        Some(id) if undo == Undo::Delete => match provider.delete(id).await {
            Ok(()) => format!("api-keyring deleted the new key {id}"),
            Err(why) => format!(
                "The key {id} still exists, because deleting it failed: {why}. Nobody has its secret, so delete it \
                 with `api-keyring delete {}/{id}`",
                provider.name()
            ),
        },
        _ => String::new(),
    }
}

/// Cleans up after a lost secret, so that no new key remains whose secret nobody has.
async fn handle_lost_secret(provider: &NamedProvider, id: &KeyId, undo: Undo, why: &str) -> Failure {
    let key = format!("{}/{id}", provider.name());
    Failure::Other(match undo {
        Undo::Impossible => {
            format!(
                "the old secret of {key} no longer works, and the new one could not be delivered: {why}. Rotate it \
                 again to get another secret, with `api-keyring rotate {key} --in-place`"
            )
        }
        Undo::Delete => match provider.delete(id).await {
            Ok(()) => format!("the secret of {key} could not be delivered: {why}. api-keyring deleted the new key"),
            Err(error) => {
                format!(
                    "the secret of {key} could not be delivered: {why}. The key still exists, because deleting it \
                     failed: {error}. Delete it with `api-keyring delete {key}`"
                )
            }
        },
    })
}
