//! Preflight checks: the clock, the sink, your own credential, and whether the vendor shows use.

use api_keyring::{
    Acceptance, ApiKey, Capability, ErrorKind, KeyId, ListKeys, Mark, Provider as _, ProviderExt as _, Secret,
    SharedSecret,
};
use futures_util::TryStreamExt as _;

use super::{Adoption, Findings, Holdings};
use crate::Held;
use crate::engine::usage_of;
use crate::host::{shown_name, shown_names, split_host};
use crate::sink::parts_of;
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
        let held = self.held(key.id()).await?;
        let (in_sink, current) = self.look_into_sink(&key, &held, adoption).await?;
        let own_credential = self.is_own_credential(&key, in_sink, current.as_ref()).await?;
        let asked_lifetime = self.asked_lifetime(&key).await?;
        let (sinks, now) = (self.sink.names(), self.clock.now());
        let holdings = Holdings::new(Mark::random(), &held);
        Ok(Findings { key, own_credential, in_sink, sinks, holdings, asked_lifetime, now })
    }

    /// Returns the lifetime in seconds that an earlier rotation asked for when it issued this key.
    async fn asked_lifetime(&self, key: &ApiKey) -> Result<Option<i64>, RotateError> {
        let Some(mark) = key.name().and_then(Mark::from_name) else { return Ok(None) };
        Ok(match self.journal.find_by_mark(&mark).await?.map(|record| record.plan.expiry) {
            Some(PlannedExpiry::AfterSeconds(seconds)) => Some(seconds),
            _ => None,
        })
    }

    /// Returns what each sink holds. Refuses a sink that holds anything but one secret, even if it is to be adopted:
    /// what was never a secret must not be replaced by one.
    pub(crate) async fn held(&self, key: &KeyId) -> Result<Vec<Held>, RotateError> {
        let mut held = Vec::new();
        if let Some(path) = file_named_twice(&self.sink.names()) {
            let problem = format!("{path} is named as a file of its own and as a dotenv file");
            return Err(refusal(self.provider.name(), key, &problem, "Name it once (`--to`)"));
        }
        for part in parts_of(&self.sink) {
            let failed = |error| RotateError::Sink { sink: part.name(), error };
            let now = part.look().await.map_err(failed)?;
            if let Some(problem) = now.problem_at(&shown_name(&part.name())) {
                let hint = "A destination holds the key's secret, and nothing else: remove what else is there, or name \
                            another (`--to`)";
                return Err(refusal(self.provider.name(), key, &problem, hint));
            }
            held.push(now);
        }
        Ok(held)
    }

    /// Returns what the sinks hold together: by the masked secret, by what the vendor says of the secret, or by its
    /// trial.
    pub(crate) async fn look_into_sink(
        &self,
        key: &ApiKey,
        held: &[Held],
        adoption: Adoption,
    ) -> Result<(SinkContent, Option<Secret>), RotateError> {
        let first = held.first().and_then(|held| held.secret.clone());
        if held.iter().any(|held| held.secret != first) {
            // All of them get the new secret.
            return match adoption {
                Adoption::Allowed => Ok((SinkContent::Other, None)),
                Adoption::Refused => Err(RotateError::Refused(format!(
                    "{} do not hold the same secret. Write the key's secret to all of them, or adopt them \
                     (`adopt_sink`, `--adopt`)",
                    shown_names(&*self.sink)
                ))),
            };
        }
        let Some(current) = first else { return Ok((SinkContent::Nothing, None)) };
        let is_of_key = match self.is_secret_of(key, &current).await? {
            Some(is_of_key) => is_of_key,
            None if adoption == Adoption::Allowed => false,
            None => {
                let problem = format!(
                    "nothing shows whether {} holds its secret: the vendor answers that secret with 403, as it answers a \
                     wrong one",
                    shown_names(&*self.sink)
                );
                let hint = "Allow the key to list keys, or adopt the destination (`adopt_sink`, `--adopt`)";
                return Err(refusal(self.provider.name(), key.id(), &problem, hint));
            }
        };
        Ok((if is_of_key { SinkContent::OldSecret } else { SinkContent::Other }, Some(current)))
    }

    /// Returns whether a secret is this key's. The masked secret must agree, and the vendor must confirm the secret, by
    /// what it says of the secret or by accepting it. If its answer proves nothing, a masked secret that agrees is
    /// enough. `None` if nothing shows it.
    async fn is_secret_of(&self, key: &ApiKey, secret: &Secret) -> Result<Option<bool>, RotateError> {
        // A few characters that agree prove nothing, but characters that differ do.
        let agrees = key.shows_secret(secret);
        if agrees == Some(false) {
            return Ok(agrees);
        }
        let with_secret = match self.provider.with_secret(secret) {
            // The text cannot be a secret of this vendor.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(Some(false)),
            with_secret => with_secret?,
        };
        if with_secret.capabilities().support(Capability::Whoami).is_supported() {
            return match with_secret.whoami().await {
                Ok(owner) => Ok(Some(owner == *key.id())),
                Err(error) if error.is_unauthenticated() || error.is_permission_denied() => Ok(Some(false)),
                Err(error) => Err(error.into()),
            };
        }
        let answer = self.probe.accepts(&*self.provider, secret).await?;
        Ok(match answer {
            Acceptance::Unclear => agrees,
            answer if !answer.is_accepted() => Some(false),
            _ => Some(!self.is_secret_of_another(key, secret).await?),
        })
    }

    /// Returns whether a secret that works is a JWT that names another key.
    async fn is_secret_of_another(&self, key: &ApiKey, secret: &Secret) -> Result<bool, RotateError> {
        let is_jwt = secret.expose().split('.').count() == 3;
        if !is_jwt || self.names(key, secret).await? {
            return Ok(false);
        }
        let mut keys = self.provider.list(ListKeys::new());
        while let Some(other) = keys.try_next().await? {
            if other.id() != key.id() && self.names(&other, secret).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn names(&self, key: &ApiKey, secret: &Secret) -> Result<bool, RotateError> {
        Ok(self.provider.is_own_credential(key, Some(secret)).await? == OwnCredential::Yes)
    }

    /// Returns the error for a sink that does not hold the key's secret.
    pub(crate) async fn refuse_sink(&self, plan: &Plan) -> RotateError {
        // An unfinished rotation of the same key, or into the same sink, explains the sink better.
        let unfinished = match self.journal.unfinished().await {
            Ok(unfinished) => unfinished,
            Err(error) => return error.into(),
        };
        if let Some(other) = unfinished.iter().find(|other| other.plan.rotates_same_key(plan)) {
            return JournalError::UnderWay(other.id.clone()).into();
        }
        if let Some((sink, by)) = unfinished.iter().find_map(|other| plan.shared_sink(&other.plan).zip(Some(&other.id)))
        {
            return JournalError::SinkInUse { sink: sink.to_owned(), by: by.clone() }.into();
        }
        let problem = match plan.in_sink {
            SinkContent::Nothing => "is empty",
            _ => "does not hold its secret",
        };
        let problem =
            format!("{} {problem}, so the key's users seem to read its secret elsewhere", shown_names(&*self.sink));
        let hint = "Name the destination that holds the secret (`--to`), or adopt this one (`adopt_sink`, `--adopt`)";
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
    async fn is_own_credential(
        &self,
        key: &ApiKey,
        in_sink: SinkContent,
        current: Option<&Secret>,
    ) -> Result<OwnCredential, RotateError> {
        let own = self.own.as_ref().map(SharedSecret::get);
        let tells = self.provider.capabilities().support(Capability::Whoami).is_supported();
        if own.is_none() && !tells {
            return Ok(OwnCredential::No);
        }
        let is_shown = own.as_ref().is_some_and(|own| Some(own) == current || key.shows_secret(own) == Some(true));
        if is_shown {
            return Ok(OwnCredential::Yes);
        }
        Ok(match self.provider.is_own_credential(key, own.as_ref()).await? {
            // A key has one secret. The sink holds it, and it is not the provider's.
            OwnCredential::Unknown if in_sink == SinkContent::OldSecret => OwnCredential::No,
            own => own,
        })
    }
}

/// Returns the error for a key that cannot be rotated as requested.
pub(super) fn refusal(provider: &str, key: &KeyId, problem: &str, hint: &str) -> RotateError {
    RotateError::Refused(format!("{provider}: key {key}: {problem}. Nothing was changed. {hint}"))
}

/// Returns the path of a file that would have to hold one secret and nothing else, and variables as well.
fn file_named_twice(names: &[String]) -> Option<String> {
    let addresses: Vec<_> = names.iter().map(|name| split_host(name).1).collect();
    let mut variables = addresses.iter().filter_map(|address| address.strip_prefix("dotenv:")?.rsplit_once('#'));
    let file = variables.find(|(path, _)| addresses.contains(&format!("file:{path}")));
    file.map(|(path, _)| path.to_owned())
}
