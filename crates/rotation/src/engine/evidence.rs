//! Whether others use the new key, and nobody the old one any more, as far as the vendor shows it.

use std::time::Duration;

use api_keyring::{KeyId, KeyStatus, Operation, Provider};
use futures_util::future::try_join;

use super::{Result, Run, Step, after};
use crate::plan::UnusedFor;
use crate::record::{Confirmation, Evidence, Issued, Usage};
use crate::{RotateError, State, Strategy};

impl Run<'_> {
    /// What has to be done or waited for before the old key may go, where the plan wants to see that nobody uses it. `None` once
    /// that is so, and where nobody asks.
    pub(super) async fn look_for_use(&mut self, new: &Issued) -> Result<Option<Step>> {
        let plan = &self.record.plan;
        let (Some(unused_for), None) = (plan.unused_for, &self.record.waived) else { return Ok(None) };
        let lag = plan.timing.use_lag_seconds;
        if self.record.evidence.is_none() {
            // By then the vendor shows that the new key was tried here, and whatever it shows later is the doing of others.
            self.wait(Duration::from_secs(lag)).await?;
        }
        let (provider, old) = (&*self.rotator.provider, &self.record.plan.old.id);
        let (old, new_key) =
            try_join(usage_of(provider, unused_for, old), usage_of(provider, unused_for, &new.key)).await?;
        let Some(new_key) = new_key else {
            return self.stop("the new key is gone; the old one was left alone: abort the rotation").await.map(Some);
        };
        let now = self.now();
        let Some(mut evidence) = self.record.evidence.clone() else {
            if !new_key.is_any() {
                let why =
                    "the new key was tried, and the vendor does not show that it was: waive the evidence, or abort";
                return self.stop(why).await.map(Some);
            }
            let evidence = Evidence { new_key, new_is_used: false, old, old_since: now };
            self.write(|record| record.evidence = Some(evidence)).await?;
            return Ok(Some(Step::WaitUntil(after(now, lag.max(1)))));
        };
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
            true => Some(Step::WaitUntil(quiet_at)),
            false => Some(Step::WaitUntil(after(now, lag.max(1)))),
        })
    }

    /// Writes down that nobody needs to be seen to use anything, or the old secret to be refused, and why.
    pub(crate) async fn waive(&mut self, why: &str) -> Result {
        let refuse = |why: &str| Err(RotateError::Refused(format!("rotation {}: {why}", self.record.id)));
        if why.trim().is_empty() {
            return refuse("say why the evidence is waived");
        }
        if let State::Retired { new, confirmed: None } = self.record.state.underlying().clone()
            && self.record.plan.strategy == Strategy::Overlap
            && self.status_of_old(&new).await? == Some(KeyStatus::Active)
        {
            return refuse("the vendor shows the old key active: resume, which retires it once more");
        }
        let is_stuck = matches!(self.record.state, State::NeedsAttention { .. });
        let is_in_place = self.record.plan.strategy == Strategy::InPlace;
        let next = match self.record.state.underlying() {
            State::Retired { new, confirmed: None } => Some(new),
            // Users find a secret that works, and nobody can tell whether it is the key's.
            State::Promoted { new, .. } | State::Delivered(new) if is_in_place && is_stuck => Some(new),
            State::Retiring(_) | State::Retired { .. } | State::Aborting { .. } => {
                return refuse("there is no evidence left to waive: resume it");
            }
            state if state.is_finished() => return refuse("it is finished: there is no evidence to waive"),
            // Where it has stopped because neither key works any more.
            State::Promoted { .. } if is_stuck => None,
            _ if self.record.plan.unused_for.is_none() => {
                return refuse("it waits for no evidence of use: there is nothing to waive");
            }
            _ => None,
        };
        let next = next.map(|new| State::Retired { new: new.clone(), confirmed: Some(Confirmation::Acknowledged) });
        self.write(|record| {
            record.waived = Some(why.to_owned());
            record.state = next.unwrap_or_else(|| record.state.clone());
        })
        .await
    }
}

/// How much a key was used; `None` where it is gone or works no more.
pub(crate) async fn usage_of(
    provider: &dyn Provider,
    unused: UnusedFor,
    key: &KeyId,
) -> api_keyring::Result<Option<Usage>> {
    let shown = if unused.shown_by == Operation::Stats {
        provider.stats(key).await.map(|stats| (stats.key.status(), stats.usage_count, stats.last_used_at))
    } else {
        provider.get(key).await.map(|key| (key.status(), None, key.last_used_at().cloned()))
    };
    match shown {
        Ok((status, ..)) if status.is_dead() => Ok(None),
        Ok((_, count, last)) => Ok(Some(Usage { count, last })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
