//! `revoke` and `delete` end a key.

use api_keyring::{
    ApiKey, Capability, Ended, Error, ErrorKind, KeyRef, NamedProvider, Operation, Outcome, Provider as _,
    ProviderExt as _, Revocation, Sameness,
};
use api_keyring_rotation::OwnCredential;
use serde_json::json;

use crate::arguments::{Consent, Delete, Format, Revoke};
use crate::config::{self, Account};
use crate::confirm::confirm;
use crate::failure::{Failure, Result};
use crate::output;

pub(super) async fn revoke(format: Format, arguments: Revoke) -> Result {
    let key = &arguments.key.key;
    let account = config::account(key.provider())?;
    let mut revocation = Revocation::new();
    revocation.reason = arguments.reason;
    revocation.role = arguments.role;
    if !account.provider.capabilities().support(Capability::Revoke).is_supported() {
        // The call fails and says what to do instead: no question is needed.
        return Ok(account.provider.revoke(key.id(), &revocation).await?);
    }
    let ending = Ending::look(&account, key, Operation::Revoke).await?;
    ending.allow(arguments.even_own.even_own, &arguments.consent, "Revoke it?").await?;
    let ended = account.provider.revoke_and_confirm(&ending.shown, &revocation, &account.retry).await;
    ending.report(format, ended, "revoked")
}

pub(super) async fn delete(format: Format, arguments: Delete) -> Result {
    let key = &arguments.key.key;
    let account = config::account(key.provider())?;
    let ending = Ending::look(&account, key, Operation::Delete).await?;
    ending.allow(arguments.even_own.even_own, &arguments.consent, "Delete it?").await?;
    let ended = account.provider.delete_and_confirm(&ending.shown, &account.retry).await;
    ending.report(format, ended, "deleted")
}

/// A key that is about to end, as its vendor shows it.
struct Ending<'a> {
    account: &'a Account<NamedProvider>,
    key: &'a KeyRef,
    operation: Operation,
    shown: ApiKey,
    own: OwnCredential,
}

impl<'a> Ending<'a> {
    /// Reads the key, and finds out whether it is your own credential.
    async fn look(account: &'a Account<NamedProvider>, key: &'a KeyRef, operation: Operation) -> Result<Self> {
        let shown = account.provider.find(key.id()).await?.ok_or_else(|| already_gone(key, operation))?;
        let own = account.is_own_credential(&shown).await?;
        Ok(Self { account, key, operation, shown, own })
    }

    /// Succeeds if the user consents, and the key is not your own credential, or `even_own` allows that.
    async fn allow(&self, even_own: bool, consent: &Consent, question: &str) -> Result {
        let key = self.key;
        let about_own = match self.own {
            OwnCredential::Yes if !even_own => {
                return Err(Failure::Usage(format!(
                    "{key} is your own credential, the key that api-keyring itself uses, and without it you are locked \
                     out. Nothing was changed. Replace it with `api-keyring rotate {key}`, or accept the risk \
                     (`--even-own`)"
                )));
            }
            OwnCredential::Yes => " It is your own credential, so you are then locked out.",
            OwnCredential::Unknown => " It may be your own credential: the vendor does not show whether it is.",
            OwnCredential::No => "",
        };
        confirm(consent, &format!("Every program that uses {key} stops working.{about_own}"), question)?;
        // Somebody may have taken a long time to answer.
        if !consent.yes {
            self.check_unchanged().await?;
        }
        Ok(())
    }

    /// Fails if the key is gone, or another key has its id by now.
    async fn check_unchanged(&self) -> Result {
        let found = self.account.provider.find(self.key.id()).await?;
        let found = found.ok_or_else(|| already_gone(self.key, self.operation))?;
        match self.shown.identity().compare(&found) {
            Sameness::Another => {
                Err(Failure::Other(format!("{} is another key by now, so nothing was changed", self.key)))
            }
            _ => Ok(()),
        }
    }

    /// Prints what became of the key, and nothing that was not seen.
    fn report(&self, format: Format, ended: Result<Ended, Error>, done: &str) -> Result {
        let (done, confirmed) = match ended {
            Ok(Ended::Gone) => (done, Some("gone")),
            Ok(Ended::Dead) => (done, Some("dead")),
            Ok(_) => ("acknowledged", None),
            // The vendor carried it out, and refuses your own credential now.
            Err(error)
                if self.own == OwnCredential::Yes
                    && error.is_unauthenticated()
                    && error.outcome() == Outcome::Unknown =>
            {
                (done, Some("refused"))
            }
            Err(error) => return Err(error.into()),
        };
        let key = self.key;
        match format {
            Format::Json => output::json(&json!({
                "provider": key.provider(), "id": key.id(), "done": done, "confirmed": confirmed,
                "own_credential": self.own,
            })),
            Format::Table => output::fields([
                ("key", Some(key.to_string())),
                ("done", Some(done.to_owned())),
                (
                    "note",
                    confirmed.is_none().then(|| {
                        format!("the vendor does not show whether {key} still works: look with `api-keyring get {key}`")
                    }),
                ),
            ]),
        }
    }
}

/// Returns the error for a key that does not exist, which is not the same as a key that was ended.
fn already_gone(key: &KeyRef, operation: Operation) -> Failure {
    let problem = "there is no such key: it is already gone, or never existed. Nothing was changed";
    let error = Error::new(ErrorKind::NotFound, Outcome::NotSent, problem);
    error.under(key.provider()).about(operation, Some(key.id())).into()
}
