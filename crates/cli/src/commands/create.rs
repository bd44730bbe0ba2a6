//! `create` issues a new key.
//!
//! The name of the key has a mark until its secret is at its destination. If the answer is lost, the mark finds the
//! key. A key whose name still has a mark belongs to a `create` or to a rotation that was interrupted, or that is
//! recorded in a journal.

use api_keyring::{Capability, KeyUpdate, Mark, NamedProvider, NewKey, Provider as _};
use serde_json::Value;

use super::deliver::{self, Delivered, Undelivered};
use super::undo::Undo;
use crate::arguments::{Create, Format};
use crate::cancellation::defer_cancellation;
use crate::config;
use crate::destination::Aside;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn run(format: Format, arguments: Create) -> Result {
    let account = config::account(&arguments.provider)?;
    let provider = &account.provider;
    let mut new = NewKey::new(arguments.name).role(arguments.role);
    new.expiry = arguments.expiry.expiry();
    new.description = arguments.description;
    new.owner = arguments.owner;
    let requested = new.name.clone();
    // A blank name is refused as it is, and a mark would hide that it is blank.
    let mark = (!arguments.exact_name && !requested.trim().is_empty()).then(Mark::random);
    if let Some(mark) = &mark {
        new = new.marked(mark);
    }
    let (destination, existing) = deliver::requested_destination(arguments.delivery)?;
    // If the answer is lost, the key is deleted.
    let destination = (destination, existing, Aside::IfPossible(config::journal_folder().ok()));
    // This is true by the time that anybody reads it, unless a line on standard error says otherwise.
    let name_it = |document: &mut Value| {
        if mark.is_some() && can_rename(provider) && document["key"].is_object() {
            document["key"]["name"] = requested.clone().into();
        }
    };
    let issuing = async {
        let delivered =
            deliver::issue_and_deliver(format, provider, destination, provider.create(&new), &name_it).await?;
        if mark.is_some() {
            remove_mark(provider, &delivered, &requested, new.description.as_deref()).await;
        }
        Ok(delivered)
    };
    match defer_cancellation(issuing).await {
        Ok(delivered) => delivered.print(format, provider, name_it),
        Err(undelivered) => {
            let undo = Undo { account: &account, mark: mark.as_ref(), name: &new.name, settle: arguments.settle };
            Err(clean_up(&undo, undelivered).await)
        }
    }
}

/// Returns whether the key can get its requested name after it was issued.
fn can_rename(provider: &NamedProvider) -> bool {
    provider.capabilities().support(Capability::Update).is_supported()
}

/// Gives the key the requested name, now that its secret is at its destination.
///
/// The key works under either name, so a failure is no failure of the command.
async fn remove_mark(provider: &NamedProvider, delivered: &Delivered, requested: &str, description: Option<&str>) {
    if !can_rename(provider) {
        return;
    }
    let mut update = KeyUpdate::new().name(requested);
    update.description = description.map(str::to_owned);
    let id = delivered.issued.id();
    if let Err(error) = provider.update(id, &update).await {
        let key = format!("{}/{id}", provider.name());
        output::notice(&format!(
            "note: {key} works, but its name may still end in a mark, because renaming it failed: {error}. To rename \
             it, run: api-keyring update {key} --name {requested:?}"
        ));
    }
}

/// Ends the key if nobody has its secret, or says which key it is.
async fn clean_up(undo: &Undo<'_>, undelivered: Undelivered) -> Failure {
    match undelivered {
        Undelivered::Failed(failure) => failure,
        Undelivered::Unanswered(error, lost) if error.may_have_taken_effect() => {
            let ended = undo.after_lost_answer(&error).await;
            let notes: Vec<_> = lost.into_iter().chain([ended]).collect();
            Failure::Keyring(error.advise(notes.join(". ")))
        }
        Undelivered::Unanswered(error, _) => error.into(),
        Undelivered::SetAside(error, place) => {
            let keys = undo.keys_of_saved_answer(&error).await;
            Failure::Keyring(error.advise(format!(
                "api-keyring wrote the answer, as far as it arrived, to {place}: look there for the secret. {keys}"
            )))
        }
        Undelivered::Lost(issued, why) => {
            let key = format!("{}/{}", undo.account.provider.name(), issued.id());
            let note = undo.end_issued(issued.id()).await;
            Failure::Other(format!("the secret of {key} could not be delivered: {why}. {note}"))
        }
    }
}
