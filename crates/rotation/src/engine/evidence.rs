//! Evidence of use: whether others use the new key, and nothing uses the old one, as far as the vendor shows it.

use api_keyring::{ApiKey, KeyId, KeyStatus, Operation, Provider, ProviderExt as _, Sameness};
use chrono::{DateTime, Utc};
use futures_util::future::try_join;

use super::identity::OldNow;
use super::{Next, Result, Run, after};
use crate::error::may_pass;
use crate::plan::UnusedFor;
use crate::record::{Confirmation, Evidence, Issued, Usage};
use crate::{RotateError, State, Strategy};

impl Run<'_> {
    /// Looks for the evidence that the plan asks for. Returns what to do before the old key may go; `None` if nothing
    /// is missing.
    pub(super) async fn gather_evidence(&mut self, new: &Issued, promoted_at: DateTime<Utc>) -> Result<Option<Next>> {
        let plan = &self.record.plan;
        let (Some(unused_for), None) = (plan.unused_for, &self.record.waived) else { return Ok(None) };
        let lag = plan.timing.use_lag_seconds;
        let visible_at = after(promoted_at, lag);
        if self.record.evidence.is_none() && self.now() < visible_at {
            // After this wait the vendor shows that this rotation tried the new key. All later use is by others.
            return Ok(Some(Next::WaitUntil(visible_at)));
        }
        let (old, new_key) = try_join(self.usage_of_old(unused_for), self.usage_of_new(unused_for, new)).await?;
        let Some(new_key) = new_key else {
            let why = "the new key is gone, and the old one was left alone: abort the rotation";
            return Ok(Some(Next::State(self.needs_attention(why))));
        };
        let Some(evidence) = self.record.evidence.clone() else { return self.begin_evidence(old, new_key, lag).await };
        self.compare_evidence(evidence, old, &new_key, unused_for, lag).await.map(|wait| wait.map(Next::WaitUntil))
    }

    /// Returns how much the old key was used; `None` if it is gone. Another key that has got its id does not count.
    async fn usage_of_old(&self, unused_for: UnusedFor) -> Result<Option<Usage>> {
        let old = &self.record.plan.old;
        let shown = self.usage_of(unused_for, &old.id).await?;
        let is_ours = |key: &ApiKey| {
            old.compare(key) != Sameness::Another && !self.record.marks.iter().any(|mark| mark.is_on(key))
        };
        Ok(shown.filter(|(key, _)| is_ours(key)).map(|(_, usage)| usage))
    }

    /// Returns how much the new key was used; `None` if it is gone.
    async fn usage_of_new(&self, unused_for: UnusedFor, new: &Issued) -> Result<Option<Usage>> {
        let shown = self.usage_of(unused_for, &new.key).await?;
        Ok(shown.filter(|(key, _)| new.mark.is_on(key)).map(|(_, usage)| usage))
    }

    /// Returns a living key with its usage. Reads again while that fails for now.
    async fn usage_of(&self, unused_for: UnusedFor, key: &KeyId) -> Result<Option<(ApiKey, Usage)>> {
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        loop {
            let is_late = self.has_passed(deadline);
            match usage_of(&*self.rotator.provider, unused_for, key, self.now()).await {
                Err(error) if may_pass(&error) && !is_late => self.poll().await?,
                shown => return Ok(shown?),
            }
        }
    }

    /// Records the usage that this rotation caused itself.
    async fn begin_evidence(&mut self, old: Option<Usage>, new_key: Usage, lag: u64) -> Result<Option<Next>> {
        if !new_key.is_any() {
            let why = "this rotation used the new key, but the vendor does not show it. The old key was left \
                       alone. If your programs use the new key, waive the evidence (`--waive-evidence`). If not, \
                       abort the rotation";
            return Ok(Some(Next::State(self.needs_attention(why))));
        }
        let now = self.now();
        let evidence = Evidence { new_key, new_is_used: false, old, old_since: now };
        self.write(|record| record.evidence = Some(evidence)).await?;
        Ok(Some(Next::WaitUntil(after(now, lag.max(1)))))
    }

    /// Compares the usage with what was seen before, and records what is new. Returns when to look again.
    async fn compare_evidence(
        &mut self,
        mut evidence: Evidence,
        old: Option<Usage>,
        new_key: &Usage,
        unused_for: UnusedFor,
        lag: u64,
    ) -> Result<Option<DateTime<Utc>>> {
        let now = self.now();
        evidence.new_is_used |= new_key.is_after(&evidence.new_key);
        if evidence.old != old {
            (evidence.old, evidence.old_since) = (old, now);
        }
        let quiet_at = after(evidence.old_since, unused_for.seconds);
        let is_gone = evidence.old.is_none();
        let is_used = evidence.new_is_used;
        if self.record.evidence.as_ref() != Some(&evidence) {
            self.write(|record| record.evidence = Some(evidence)).await?;
        }
        Ok(match is_used {
            true if is_gone || now >= quiet_at => None,
            true => Some(quiet_at),
            false => Some(after(now, lag.max(1))),
        })
    }

    /// Records that the rotation may continue without evidence, and why.
    pub(crate) async fn waive(&mut self, why: &str) -> Result {
        if why.trim().is_empty() {
            return self.refuse_waiver("say why you waive the evidence");
        }
        let next = self.state_after_waiver().await?;
        self.write(|record| {
            record.waived = Some(why.to_owned());
            record.state = next.unwrap_or_else(|| record.state.clone());
        })
        .await
    }

    /// Returns the state that a waiver leads to; `None` if the state stays. Refuses where no evidence is missing.
    async fn state_after_waiver(&self) -> Result<Option<State>> {
        let needs_attention = matches!(self.record.state, State::NeedsAttention { .. });
        let is_in_place = self.record.plan.strategy == Strategy::InPlace;
        let new = match self.record.state.underlying() {
            State::Retired { new, confirmed: Some(confirmed) } if needs_attention => {
                return Ok(Some(State::Retired { new: new.clone(), confirmed: Some(*confirmed) }));
            }
            State::Retired { new, confirmed: None } => {
                if !is_in_place && self.is_old_shown_active(new).await? {
                    return self.refuse_waiver(
                        "the vendor shows the old key as active: resume the rotation to retire it again",
                    );
                }
                new
            }
            // Users have a secret that works, and nothing shows whether it is this key's.
            State::Promoted { new, .. } | State::Delivered(new) if is_in_place && needs_attention => new,
            // Nothing shows whether the key under the old one's id is the old one. A person knows that it is not.
            // Or it is gone, and the new one, which the sink holds, does not work either.
            State::Retiring(new)
                if needs_attention
                    && ((self.is_old_gone(new).await? && self.is_in_sink(new).await?)
                        || matches!(self.look_at_old(new).await?, OldNow::Unclear(_))) =>
            {
                new
            }
            State::Retiring(_) | State::Retired { .. } | State::Aborting { .. } => {
                return self.refuse_waiver("no evidence is missing: resume the rotation");
            }
            state if state.is_finished() => return self.refuse_waiver("it is finished, so no evidence is missing"),
            // The rotation may need attention because neither key works.
            State::Promoted { .. } if needs_attention => return Ok(None),
            _ if self.record.plan.unused_for.is_none() => {
                return self.refuse_waiver("it does not wait for evidence of use, so there is nothing to waive");
            }
            _ => return Ok(None),
        };
        Ok(Some(State::Retired { new: new.clone(), confirmed: Some(Confirmation::Acknowledged) }))
    }

    async fn is_old_shown_active(&self, new: &Issued) -> Result<bool> {
        let old = self.look_at_old(new).await?;
        Ok(matches!(old, OldNow::Ours(old) if self.status(&old) == KeyStatus::Active))
    }

    fn refuse_waiver<T>(&self, why: &str) -> Result<T> {
        Err(RotateError::Refused(format!("rotation {}: {why}", self.record.id)))
    }
}

/// Returns a key and how much it was used; `None` if it is gone or no longer works at this time.
pub(crate) async fn usage_of(
    provider: &dyn Provider,
    unused_for: UnusedFor,
    key: &KeyId,
    now: DateTime<Utc>,
) -> api_keyring::Result<Option<(ApiKey, Usage)>> {
    let shown = if unused_for.shown_by == Operation::Stats {
        provider.stats(key).await.map(|stats| (stats.key, Usage { count: stats.usage_count, last: stats.last_used_at }))
    } else {
        provider.get(key).await.map(|key| {
            let last = key.last_used_at().cloned();
            (key, Usage { count: None, last })
        })
    };
    match shown {
        Ok((key, _)) if key.status_at(now).is_dead() => Ok(None),
        Ok(shown) => Ok(Some(shown)),
        Err(error) if error.is_not_found() => match provider.find(key).await? {
            // One such answer proves nothing.
            Some(found) if !found.status_at(now).is_dead() => Err(error),
            _ => Ok(None),
        },
        Err(error) => Err(error),
    }
}
