//! Preflight checks: the clock, the sink, your own credential, and whether the vendor shows use.

use api_keyring::{ApiKey, ErrorKind, KeyId, Mark, Provider, ProviderExt as _, Secret, SharedSecret};

use super::masked_secret::MaskedSecret;
use super::{Adoption, Findings};
use crate::engine::usage_of;
use crate::{JournalError, OwnCredential, Plan, PlannedExpiry, RotateError, Rotator, SinkContent, Timing, UnusedFor};

impl Rotator {
    /// Refuses a clock that is wrong, because it determines the new key's lifetime and the end of the grace.
    pub(crate) fn check_clock(&self, key: &ApiKey, timing: &Timing) -> Result<(), RotateError> {
        let Some(theirs) = key.as_of() else { return Ok(()) };
        let ahead = (self.clock.now() - theirs).num_seconds();
        if ahead.unsigned_abs() <= timing.clock_seconds {
            return Ok(());
        }
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        let problem = format!(
            "this machine's clock is {} s {direction} the vendor's, so the new key's lifetime and the end of the grace \
             would be wrong",
            ahead.unsigned_abs(),
        );
        let hint = "Set the clock, or allow the difference (`Timing::clock_seconds`, `--clock-tolerance`)";
        Err(refusal(self.provider.name(), key.id(), &problem, hint))
    }

    /// Finds out what the sink holds, and whether `key` is your own credential.
    pub(crate) async fn findings(&self, key: ApiKey, adoption: Adoption) -> Result<Findings, RotateError> {
        let (in_sink, current) = self.look_into_sink(&key, adoption).await?;
        let own_credential = self.is_own_credential(&key, in_sink, current.as_ref());
        let asked_lifetime = self.asked_lifetime(&key).await?;
        let (sinks, now) = (self.sink.names(), self.clock.now());
        Ok(Findings { key, own_credential, in_sink, sinks, asked_lifetime, now })
    }

    /// Returns the lifetime in seconds that an earlier rotation asked for when it issued this key.
    async fn asked_lifetime(&self, key: &ApiKey) -> Result<Option<i64>, RotateError> {
        let Some(mark) = key.name().and_then(Mark::from_name) else { return Ok(None) };
        Ok(match self.journal.find_by_mark(&mark).await?.map(|record| record.plan.expiry) {
            Some(PlannedExpiry::AfterSeconds(seconds)) => Some(seconds),
            _ => None,
        })
    }

    /// Returns what the sink holds. The vendor's masked secret decides; without one, the vendor accepts or rejects the
    /// secret.
    pub(crate) async fn look_into_sink(
        &self,
        key: &ApiKey,
        adoption: Adoption,
    ) -> Result<(SinkContent, Option<Secret>), RotateError> {
        let current = match self.sink.current().await {
            // The sinks of a set may hold different secrets. All of them get the new one.
            Err(_) if adoption == Adoption::Allowed => return Ok((SinkContent::Other, None)),
            current => current.map_err(|error| self.sink_error(error))?,
        };
        let Some(current) = current else { return Ok((SinkContent::Nothing, None)) };
        let is_of_key = match key.masked_secret().and_then(MaskedSecret::parse) {
            Some(masked) => masked.matches(&current),
            None => match self.provider.accepts(&current).await {
                Ok(answer) => answer.is_accepted(),
                // The text cannot be a secret of this vendor.
                Err(error) if error.kind() == ErrorKind::InvalidInput => false,
                Err(error) => return Err(error.into()),
            },
        };
        Ok((if is_of_key { SinkContent::OldSecret } else { SinkContent::Other }, Some(current)))
    }

    /// Returns the error for a sink that does not hold the key's secret.
    pub(crate) async fn refuse_sink(&self, plan: &Plan) -> RotateError {
        // An unfinished rotation of the same key explains the sink better: the sink may hold the new key's secret by
        // now.
        match self.journal.unfinished().await {
            Ok(unfinished) => {
                if let Some(other) = unfinished.into_iter().find(|other| other.plan.rotates_same_key(plan)) {
                    return JournalError::UnderWay(other.id).into();
                }
            }
            Err(error) => return error.into(),
        }
        let problem = match plan.in_sink {
            SinkContent::Nothing => "is empty",
            _ => "does not hold its secret",
        };
        let problem = format!("{} {problem}, so the key's users seem to read its secret elsewhere", self.sink.name());
        let hint = "Name the sink that holds the secret (`--to`), or adopt this one (`adopt_sink`, `--adopt`)";
        refusal(&plan.provider, &plan.old.id, &problem, hint)
    }

    /// Refuses to wait for evidence of use that the vendor does not show, or that your own requests would forge.
    pub(crate) async fn check_usage_is_shown(&self, plan: &Plan, unused: UnusedFor) -> Result<(), RotateError> {
        let old = &plan.old.id;
        let refuse = |problem| {
            Err(refusal(&plan.provider, old, problem, "Leave out `unused_for` (`--unused-for`), and rely on the grace"))
        };
        if plan.own_credential != OwnCredential::No {
            return refuse("it is, or may be, your own credential, and your own requests would count as use by others");
        }
        match usage_of(&*self.provider, unused, old, self.clock.now()).await? {
            Some((_, shown)) if shown.count.is_none() && shown.last.is_none() => {
                refuse("the vendor does not show any use of it")
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the provider authenticates with this key.
    fn is_own_credential(&self, key: &ApiKey, in_sink: SinkContent, current: Option<&Secret>) -> OwnCredential {
        let Some(own) = self.own.as_ref().map(SharedSecret::get) else { return OwnCredential::No };
        match key.masked_secret().and_then(MaskedSecret::parse) {
            _ if current == Some(&own) => OwnCredential::Yes,
            Some(masked) if masked.matches(&own) => OwnCredential::Yes,
            Some(_) => OwnCredential::No,
            // A key has one secret. The sink holds it, and it is not the provider's.
            None if in_sink == SinkContent::OldSecret => OwnCredential::No,
            None => OwnCredential::Unknown,
        }
    }
}

/// Reads a key; `None` if it was seen to be gone twice.
pub(crate) async fn find(provider: &dyn Provider, key: &KeyId) -> api_keyring::Result<Option<ApiKey>> {
    for _ in 0..2 {
        match provider.get(key).await {
            Err(error) if error.is_not_found() => {}
            found => return found.map(Some),
        }
    }
    Ok(None)
}

/// Returns the error for a key that cannot be rotated as requested.
pub(super) fn refusal(provider: &str, key: &KeyId, problem: &str, hint: &str) -> RotateError {
    RotateError::Refused(format!("{provider}: key {key}: {problem}. Nothing was changed. {hint}"))
}
