//! Issues a secret and delivers it to its destination, whatever happens on the way.

use std::future::Future;
use std::io;

use api_keyring::{Error, IssuedKey, NamedProvider, Provider as _};
use api_keyring_rotation::Existing;
use serde_json::{Value, json};

use crate::arguments::{DeliveryArguments, Format};
use crate::destination::{self, Aside, DeliveryError, Destination, ReadyDestination, set_aside};
use crate::failure::{Failure, Result};
use crate::output;

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

/// A secret at its destination.
pub(super) struct Delivered {
    pub(super) issued: IssuedKey,
    /// The destination as users write it.
    destination: String,
    /// Whether the result is printed, because the same document holds the secret.
    is_printed: bool,
}

/// Why a secret is not at its destination.
pub(super) enum Undelivered {
    /// Nothing was issued, or the secret is in another place, which the failure names.
    Failed(Failure),
    /// The answer was lost, or holds no secret. The text says why an answer that arrived is lost.
    Unanswered(Error, Option<String>),
    /// The answer cannot be read. It is saved at this place, because it may hold the secret.
    SetAside(Error, String),
    /// The secret could not be delivered for this reason, and nobody has it.
    Lost(Box<IssuedKey>, String),
}

/// Issues a key once its destination is ready, then delivers the secret.
///
/// If the secret and the result go to standard output as one document, `complete` completes that document.
pub(super) async fn issue_and_deliver(
    format: Format,
    provider: &NamedProvider,
    (destination, existing, aside): (Destination, Existing, Aside),
    issuing: impl Future<Output = Result<IssuedKey, Error>>,
    complete: impl FnOnce(&mut Value),
) -> Result<Delivered, Undelivered> {
    let ready = destination.prepare(existing, aside).map_err(Undelivered::Failed)?;
    let destination = ready.name();
    let issued = match issuing.await {
        Ok(issued) => issued,
        Err(error) => return Err(without_answer(ready, error)),
    };
    if ready.is_stdout() && format == Format::Json {
        // Standard output takes only one document, so this one contains the secret.
        let mut document = document(provider, &issued, &destination);
        complete(&mut document);
        document["secret"] = issued.secret().expose().into();
        let printed = output::json(&document);
        return match printed
            .map_err(|failure| ready.not_delivered(issued.secret(), io::Error::other(describe(&failure))))
        {
            Ok(()) => Ok(Delivered { issued, destination, is_printed: true }),
            Err(error) => Err(not_delivered(provider, issued, &destination, error)),
        };
    }
    match ready.deliver(issued.secret()) {
        Ok(()) => Ok(Delivered { issued, destination, is_printed: false }),
        Err(error) => Err(not_delivered(provider, issued, &destination, error)),
    }
}

/// Says where a secret is that did not reach its destination.
fn not_delivered(provider: &NamedProvider, issued: IssuedKey, destination: &str, error: DeliveryError) -> Undelivered {
    match error {
        DeliveryError::Lost(why) => Undelivered::Lost(issued.into(), why.to_string()),
        DeliveryError::Elsewhere { why, path } => {
            let (key, place) = (format!("{}/{}", provider.name(), issued.id()), path.display());
            let destination = if destination == destination::STDOUT { "standard output" } else { destination };
            let why = format!("the secret of {key} is in {place} instead of {destination}: {why}");
            Undelivered::Failed(Failure::Other(why))
        }
    }
}

impl Delivered {
    /// Prints the key, and where its secret is. `complete` completes the document.
    pub(super) fn print(&self, format: Format, provider: &NamedProvider, complete: impl FnOnce(&mut Value)) -> Result {
        if self.is_printed {
            return Ok(());
        }
        let (issued, destination) = (&self.issued, &self.destination);
        let key = format!("{}/{}", provider.name(), issued.id());
        let printed = match format {
            Format::Json => {
                let mut document = document(provider, issued, destination);
                complete(&mut document);
                output::json(&document)
            }
            Format::Table if destination == destination::STDOUT => {
                // Standard output holds only the secret, so that another program can read it.
                output::notice(&format!("issued {key}"));
                Ok(())
            }
            Format::Table => output::fields([
                ("key", Some(key.clone())),
                ("secret", Some(issued.secret().masked())),
                ("destination", Some(destination.clone())),
            ]),
        };
        printed.map_err(|failure| match failure {
            Failure::OutputClosed => failure,
            Failure::Unprintable(why) => Failure::Other(format!(
                "{key} has a new secret, which is in {destination}, but api-keyring cannot print the result: {why}"
            )),
            other => other,
        })
    }
}

/// Describes why a secret that goes to standard output is not there.
fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Unprintable(why) => why.to_string(),
        other => other.to_string(),
    }
}

fn document(provider: &NamedProvider, issued: &IssuedKey, delivered_to: &str) -> Value {
    json!({
        "provider": provider.name(),
        "id": issued.id(),
        "masked_secret": issued.secret().masked(),
        "delivered_to": delivered_to,
        "key": issued.key(),
    })
}

/// Saves an answer that api-keyring cannot read, because it may contain the secret.
fn without_answer(destination: ReadyDestination, error: Error) -> Undelivered {
    let Some(bytes) = error.unclaimed_bytes() else {
        return Undelivered::Unanswered(error, None);
    };
    let saved = match destination {
        ReadyDestination::Stdout(Some(file), _) | ReadyDestination::File(file) => {
            set_aside(*file, bytes).map_err(Failure::from)
        }
        ReadyDestination::Stdout(None, _) => {
            Err(Failure::Other("there is no folder for it. Use --to file:PATH".to_owned()))
        }
    };
    match saved {
        Ok(place) => Undelivered::SetAside(error, place),
        Err(why) => {
            let why = format!("The answer is lost, because it cannot be saved: {}", describe(&why));
            Undelivered::Unanswered(error, Some(why))
        }
    }
}
