//! What the cases share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use api_keyring_transport::Secret;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::Subject;
use crate::{
    ApiKey, Capability, Error, ErrorKind, IssuedKey, KeyId, ListKeys, Mark, NewKey, Outcome, Provider, ProviderExt,
    Result,
};

/// A case's end.
pub(super) type CheckResult<T = ()> = Result<T, Failure>;

/// What a provider does that it should not.
#[derive(Debug)]
pub(super) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

/// Fails the case unless this holds.
pub(super) fn check(holds: bool, claim: impl fmt::Display) -> CheckResult {
    if holds { Ok(()) } else { Err(Failure(format!("this does not hold: {claim}"))) }
}

/// Fails the case unless both are the same.
pub(super) fn check_eq<T: PartialEq + fmt::Debug>(found: T, expected: T, what: &str) -> CheckResult {
    if found == expected { Ok(()) } else { Err(Failure(format!("{what} is {found:?} and should be {expected:?}"))) }
}

/// Fails the case unless the call fails like this.
pub(super) fn check_fails<T: fmt::Debug>(
    result: Result<T>,
    kind: ErrorKind,
    outcome: Outcome,
    what: &str,
) -> CheckResult<Error> {
    match result {
        Ok(answer) => Err(Failure(format!("{what} is taken: {answer:?}"))),
        Err(error) => {
            check_eq((error.kind(), error.outcome()), (kind, outcome), &format!("the failure of {what} ({error})"))?;
            check(!error.to_string().contains('\n'), format!("the failure of {what} is one line: {error}"))?;
            Ok(error)
        }
    }
}

/// The provider, and what has to be deleted after a case.
pub(super) struct Fixture {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) role: String,
    pub(super) other_role: String,
    created: Mutex<Vec<KeyId>>,
}

impl Fixture {
    pub(super) fn new(subject: &Subject) -> Self {
        Self {
            provider: Arc::clone(&subject.provider),
            role: subject.role.clone(),
            other_role: subject.other_role.clone(),
            created: Mutex::default(),
        }
    }

    pub(super) fn offers(&self, capability: Capability) -> bool {
        self.provider.capabilities().support(capability).is_supported()
    }

    /// The smallest key that every vendor issues.
    pub(super) fn new_key(&self) -> NewKey {
        NewKey::new("conformance").marked(&Mark::random()).role(&self.role).expires_at(later(30))
    }

    /// Issues a key that is deleted after the case.
    pub(super) async fn create(&self, new: &NewKey) -> CheckResult<IssuedKey> {
        Ok(self.try_create(&*self.provider, new).await?)
    }

    /// Asks for a key, which may be refused. Whatever comes of it is deleted after the case, a key that should not have
    /// been issued and one whose create was not answered included.
    pub(super) async fn try_create(&self, provider: &dyn Provider, new: &NewKey) -> Result<IssuedKey> {
        let created = provider.create(new).await;
        match &created {
            Ok(issued) => self.track(issued.id()),
            Err(error) if error.may_have_taken_effect() => {
                error.key().into_iter().for_each(|id| self.track(id));
                // The mark alone tells whose a key is; one that has another name is left to the vendor's list.
                if Mark::unmarked(&new.name) != new.name {
                    let found = self.provider.find_by_name(&new.name).await;
                    found.iter().flatten().for_each(|key| self.track(key.id()));
                }
            }
            Err(_) => {}
        }
        created
    }

    /// Has a key deleted after the case.
    pub(super) fn track(&self, id: &KeyId) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
    }

    pub(super) async fn list(&self) -> CheckResult<Vec<ApiKey>> {
        Ok(self.provider.list_all(ListKeys::new()).await?)
    }

    /// How many times a key is in the list.
    pub(super) async fn times_listed(&self, id: &KeyId) -> CheckResult<usize> {
        Ok(self.list().await?.iter().filter(|key| key.id() == id).count())
    }

    pub(super) async fn assert_works(&self, secret: &Secret, whose: &str) -> CheckResult {
        check(self.provider.accepts(secret).await?, format!("{whose} works"))
    }

    pub(super) async fn assert_dead(&self, secret: &Secret, whose: &str) -> CheckResult {
        check(!self.provider.accepts(secret).await?, format!("{whose} is refused"))
    }

    /// Deletes what a case has made. Whatever fails then is the case's failure, unless it has one.
    pub(super) async fn clean_up_after(&self, result: CheckResult) -> CheckResult {
        let made = std::mem::take(&mut *self.created.lock().unwrap_or_else(PoisonError::into_inner));
        let mut cleaned = Ok(());
        for id in made {
            match self.provider.delete(&id).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => cleaned = Err(error.into()),
            }
        }
        result.and(cleaned)
    }
}

/// So many days from now, in whole seconds.
pub(super) fn later(days: i64) -> DateTime<Utc> {
    (Utc::now() + TimeDelta::days(days)).trunc_subsecs(0)
}
