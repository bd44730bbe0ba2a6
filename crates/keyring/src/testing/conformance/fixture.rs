//! Helpers that the cases share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use api_keyring_transport::Secret;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::Subject;
use crate::{
    ApiKey, Capability, Error, ErrorKind, IssuedKey, KeyId, ListKeys, Mark, NewKey, Outcome, Provider, ProviderExt,
    Result,
};

/// The result of a case or a check.
pub(super) type CheckResult<T = ()> = Result<T, Failure>;

/// How the provider misbehaves.
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

/// Fails the case unless the claim holds.
pub(super) fn check(holds: bool, claim: impl fmt::Display) -> CheckResult {
    if holds { Ok(()) } else { Err(Failure(format!("expected: {claim}"))) }
}

/// Fails the case unless both values are equal.
pub(super) fn check_eq<T: PartialEq + fmt::Debug>(found: T, expected: T, what: &str) -> CheckResult {
    if found == expected { Ok(()) } else { Err(Failure(format!("{what} is {found:?} and should be {expected:?}"))) }
}

/// Fails the case unless the call fails with this kind and outcome.
pub(super) fn check_fails<T: fmt::Debug>(
    result: Result<T>,
    kind: ErrorKind,
    outcome: Outcome,
    what: &str,
) -> CheckResult<Error> {
    match result {
        Ok(answer) => Err(Failure(format!("{what} succeeds: {answer:?}"))),
        Err(error) => {
            check_eq((error.kind(), error.outcome()), (kind, outcome), &format!("the error of {what} ({error})"))?;
            check(!error.to_string().contains('\n'), format!("the error of {what} is one line: {error}"))?;
            Ok(error)
        }
    }
}

/// The provider under test, and the keys to delete after a case.
pub(super) struct Fixture {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) role: String,
    pub(super) other_role: String,
    pub(super) role_without_list: Option<String>,
    created: Mutex<Vec<KeyId>>,
}

impl Fixture {
    pub(super) fn new(subject: &Subject) -> Self {
        Self {
            provider: Arc::clone(&subject.provider),
            role: subject.role.clone(),
            other_role: subject.other_role.clone(),
            role_without_list: subject.role_without_list.clone(),
            created: Mutex::default(),
        }
    }

    pub(super) fn offers(&self, capability: Capability) -> bool {
        self.provider.capabilities().support(capability).is_supported()
    }

    /// Returns a request for the smallest key that every vendor issues.
    pub(super) fn new_key(&self) -> NewKey {
        NewKey::new("conformance").marked(&Mark::random()).role(&self.role).expires_at(later(30))
    }

    /// Issues a key and deletes it after the case.
    pub(super) async fn create(&self, new: &NewKey) -> CheckResult<IssuedKey> {
        Ok(self.try_create(&*self.provider, new).await?)
    }

    /// Tries to issue a key, and deletes after the case whatever it issued. This includes a key that should not exist
    /// and a key whose create got no answer.
    pub(super) async fn try_create(&self, provider: &dyn Provider, new: &NewKey) -> Result<IssuedKey> {
        let created = provider.create(new).await;
        match &created {
            Ok(issued) => self.track(issued.id()),
            Err(error) if error.may_have_taken_effect() => {
                error.key().into_iter().for_each(|id| self.track(id));
                // Only the mark proves that a key belongs to this case. A key with another name stays.
                if Mark::unmarked(&new.name) != new.name {
                    let found = self.provider.find_by_name(&new.name).await;
                    found.iter().flatten().for_each(|key| self.track(key.id()));
                }
            }
            Err(_) => {}
        }
        created
    }

    /// Marks a key for deletion after the case.
    pub(super) fn track(&self, id: &KeyId) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
    }

    pub(super) async fn list(&self) -> CheckResult<Vec<ApiKey>> {
        Ok(self.provider.list_all(ListKeys::new()).await?)
    }

    /// Returns how often the list holds a key.
    pub(super) async fn times_listed(&self, id: &KeyId) -> CheckResult<usize> {
        Ok(self.list().await?.iter().filter(|key| key.id() == id).count())
    }

    pub(super) async fn assert_works(&self, secret: &Secret, whose: &str) -> CheckResult {
        check(self.provider.accepts(secret).await?.is_accepted(), format!("{whose} works"))
    }

    pub(super) async fn assert_dead(&self, secret: &Secret, whose: &str) -> CheckResult {
        check(self.provider.accepts(secret).await?.is_refused(), format!("{whose} is rejected"))
    }

    /// Deletes the keys that a case created. If that fails, the case fails, unless it already has.
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

/// Returns the time this many days from now, in whole seconds.
pub(super) fn later(days: i64) -> DateTime<Utc> {
    (Utc::now() + TimeDelta::days(days)).trunc_subsecs(0)
}
