//! Ending a key so that nothing is claimed that was not seen.

use futures_util::TryStreamExt as _;

use crate::error::EarlierAttempts;
use crate::{
    ApiKey, Error, ErrorKind, KeyId, KeyStatus, ListKeys, Operation, Outcome, Provider, ProviderExt, Result, Retry,
    Revocation, Sameness,
};

/// How far the end of a key is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The key no longer exists: it was seen gone twice, a whole list does not hold it, or another key has its id.
    Gone,
    /// The vendor still shows the key, as one that no longer works.
    Dead,
    /// The vendor accepted the request, but still shows the key without saying whether it works.
    Acknowledged,
}

/// The request that ends a key.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Delete,
    Revoke(&'a Revocation),
}

impl Request<'_> {
    async fn send(self, provider: &(impl Provider + ?Sized), id: &KeyId) -> Result<()> {
        match self {
            Self::Delete => provider.delete(id).await,
            Self::Revoke(how) => provider.revoke(id, how).await,
        }
    }

    fn operation(self) -> Operation {
        match self {
            Self::Delete => Operation::Delete,
            Self::Revoke(_) => Operation::Revoke,
        }
    }
}

/// Finds a key. Returns `None` only if it was seen gone twice, or a whole list does not hold it.
pub(crate) async fn find(provider: &(impl Provider + ?Sized), id: &KeyId) -> Result<Option<ApiKey>> {
    for _ in 0..2 {
        match provider.get(id).await {
            Ok(key) => return Ok(Some(key)),
            Err(error) if error.is_not_found() => {}
            // The vendor's own 404 may have another form than documented.
            Err(error) if is_foreign_not_found(&error) => return listed(provider, id).await,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn is_foreign_not_found(error: &Error) -> bool {
    error.kind() == ErrorKind::Intermediary && matches!(error.status(), Some(404 | 410))
}

/// Finds a key in the list.
async fn listed(provider: &(impl Provider + ?Sized), id: &KeyId) -> Result<Option<ApiKey>> {
    let mut keys = provider.list(ListKeys::new());
    while let Some(key) = keys.try_next().await? {
        if key.id() == id {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Ends a key and looks at the result. Repeats a request whose effect is unclear, but only after a look shows that the
/// same key still has this id.
pub(crate) async fn end(
    provider: &(impl Provider + ?Sized),
    key: &ApiKey,
    request: Request<'_>,
    retry: &Retry,
) -> Result<Ended> {
    let identity = key.identity();
    let begun = retry.begin();
    let mut attempts = 0;
    let mut earlier = EarlierAttempts::HadNoEffect;
    loop {
        attempts += 1;
        let sent = request.send(provider, key.id()).await;
        if let Err(error) = &sent
            && !error.is_not_found()
            && !error.may_have_taken_effect()
        {
            // The vendor may still carry out an earlier attempt.
            return sent.map(|()| Ended::Acknowledged).map_err(|error| error.with_attempts(attempts, earlier));
        }
        let shown = match find(provider, key.id()).await {
            Ok(shown) => shown.filter(|shown| identity.compare(shown) != Sameness::Another),
            // The look failed. What the request did is all that is known.
            Err(look) => {
                return Err(unconfirmed(sent, look, request.operation(), key).with_attempts(attempts, earlier));
            }
        };
        let Some(shown) = shown else { return Ok(Ended::Gone) };
        let (before, status) = (key.status_at(retry.now()), shown.status_at(retry.now()));
        let error = match sent {
            Ok(()) if status.is_dead() => return Ok(Ended::Dead),
            Ok(()) if status != KeyStatus::Active => return Ok(Ended::Acknowledged),
            Ok(()) => still_active(request.operation(), key),
            // An expiry, or what was there before, does not show that a request has arrived.
            Err(_) if status.is_dead() && status != KeyStatus::Expired && !before.is_dead() => return Ok(Ended::Dead),
            Err(error) => error,
        };
        if identity.compare(&shown) == Sameness::Unclear || !retry.again(attempts, &error, begun).await {
            return Err(error.with_attempts(attempts, earlier));
        }
        if error.may_have_taken_effect() {
            earlier = EarlierAttempts::MayHaveTakenEffect;
        }
    }
}

/// Returns the error for a request after which nobody could look at the key.
fn unconfirmed(sent: Result<()>, look: Error, operation: Operation, key: &ApiKey) -> Error {
    match sent {
        Err(error) if error.may_have_taken_effect() => error,
        _ => {
            let problem = "the vendor answered, but reading the key afterwards failed";
            Error::new(look.kind(), Outcome::Unknown, problem)
                .about(operation, Some(key.id()))
                .under(key.provider())
                .advise("Read the key to see whether it still exists")
                .caused_by(look)
        }
    }
}

fn still_active(operation: Operation, key: &ApiKey) -> Error {
    Error::new(
        ErrorKind::UnexpectedAnswer,
        Outcome::Unknown,
        "the vendor accepted the request, but the key is still active",
    )
    .about(operation, Some(key.id()))
    .under(key.provider())
    .advise("The change may take a while. Read the key later to be sure")
}
