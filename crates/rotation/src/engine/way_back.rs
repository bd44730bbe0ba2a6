//! Whether an abort leads back: users must not be left with a secret that stops working.

use super::abort::{AbortSink, refuse};
use super::secrets::{LEAVE, at};
use super::vendor::Trial;
use super::{Next, Result, Run};
use crate::host::shown_name;
use crate::record::Issued;
use crate::{RotateError, SinkContent, State};

/// Why an abort cannot leave a set of sinks as it is.
const NO_WAY_BACK_IN_A_PART: &str = "one of the destinations holds the new key's secret, and the old key's secret no \
                                     longer works or is no longer kept, so there is no way back. Copy the new secret to \
                                     the other destinations and resume the rotation";

impl Run<'_> {
    /// Refuses an abort that would leave users with the new key's secret, which stops working.
    pub(super) async fn check_way_back(&self, new: &Issued, why: &mut String, sink: AbortSink) -> Result {
        let holders = self.holders(new, sink).await?;
        match sink {
            AbortSink::Restore if holders.sinks.is_empty() => Ok(()),
            AbortSink::Restore => self.check_sink().await.map_err(|error| {
                advise(
                    error,
                    "Nothing was changed. Make the destination writable and abort again, or resume the rotation",
                )
            }),
            AbortSink::Leave if holders.are_all() => refuse(
                "the destination holds the new key's secret, which would stop working: abort without \
                 `--leave-destination`",
            ),
            AbortSink::Leave if !holders.sinks.is_empty() && !self.old_still_works(new, sink).await? => {
                refuse(NO_WAY_BACK_IN_A_PART)
            }
            AbortSink::Leave => {
                for name in &holders.unreadable {
                    why.push_str(&format!(
                        "; {name} cannot be read, and may hold the new key's secret, which no longer works"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Makes sure that users keep a secret that works, if there is one. Returns the next state if nothing may be
    /// withdrawn.
    pub(super) async fn before_withdrawing(&mut self, new: &Issued, why: &mut String) -> Result<Option<Next>> {
        let holders = self.holders(new, self.abort_sink()).await?;
        // Nothing tells what was there before, so a withdrawal would leave the new secret.
        let mut kept_nothing = None;
        for holder in &holders.sinks {
            let keeps = holder.keeps_previous(&new.mark).await.map_err(|error| at(&**holder, error))?;
            if !keeps && self.has_several_sinks() {
                kept_nothing = Some(still_holds(&shown_name(&holder.name())));
            }
        }
        if self.record.leaves_sink {
            if holders.are_all() {
                let problem = "the destination holds the new key's secret again, which would stop working. Abort the \
                               rotation without `--leave-destination`";
                return Ok(Some(Next::State(self.needs_attention(problem))));
            }
            if !holders.sinks.is_empty() && !self.old_still_works(new, AbortSink::Leave).await? {
                self.go_to(State::Verified(new.clone())).await?;
                return refuse(NO_WAY_BACK_IN_A_PART);
            }
            return Ok(kept_nothing.map(|problem| Next::State(self.needs_attention(problem))));
        }
        if self.holds_foreign_secret(new).await? {
            let problem = "the destination holds a secret that is not this rotation's, and an abort would destroy it. \
                           Put the rotation's secret back and resume, or leave the other one there \
                           (`abort --leave-destination`)";
            return Ok(Some(Next::State(self.needs_attention(problem))));
        }
        if self.old_still_works(new, AbortSink::Restore).await? {
            return Ok(kept_nothing.map(|problem| Next::State(self.needs_attention(problem))));
        }
        if self.is_in_sink(new).await? {
            // The promotion changes nothing if the new secret is already current.
            self.go_to(State::Verified(new.clone())).await?;
            return refuse(
                "the old key's secret no longer works or is no longer kept, so there is no way back: resume the rotation",
            );
        }
        why.push_str("; the old key has stopped working since, and the destination no longer holds the new secret");
        Ok(None)
    }

    /// Returns whether users can go back to the old secret. The old key may have stopped working after the decision to
    /// abort.
    async fn old_still_works(&self, new: &Issued, sink: AbortSink) -> Result<bool> {
        let previous = self.previous_anywhere(new, sink).await?;
        if self.record.in_sink() != SinkContent::OldSecret {
            // The old secret is in another place, so only the vendor can say whether it works.
            let is_promoted = previous.is_some() || !self.holders(new, sink).await?.sinks.is_empty();
            return Ok(!is_promoted || !self.is_old_gone(new).await?);
        }
        // Without a previous secret, nothing was promoted, unless somebody has removed it since.
        let Some(previous) = previous else { return Ok(self.holders(new, sink).await?.sinks.is_empty()) };
        let deadline = self.deadline(self.record.plan.timing.verify_seconds);
        Ok(match self.try_secret(&previous, 1, deadline).await? {
            Trial::Works => true,
            Trial::Refused => false,
            // Only what the vendor shows of the key can tell.
            Trial::Unclear => !self.is_old_gone(new).await?,
        })
    }

    /// Says what became of an abort whose withdrawal failed, and how to go on.
    pub(super) async fn after_failed_withdrawal(&self, new: &Issued, error: RotateError) -> Result<Next> {
        let holders = self.holders(new, self.abort_sink()).await?;
        let hint = match (holders.sinks.is_empty(), self.record.leaves_sink) {
            (true, false) => LEAVE,
            (true, true) => "Resume the rotation",
            (false, false) if holders.are_all() => {
                "Nothing was withdrawn, and both keys work. Make the destination writable and resume, or keep the new \
                 secret and continue the rotation (`resume --adopt`)"
            }
            (false, _) => "It holds the new key's secret, which would stop working. Make it writable and resume",
        };
        Err(advise(error, hint))
    }

    pub(super) fn abort_sink(&self) -> AbortSink {
        if self.record.leaves_sink { AbortSink::Leave } else { AbortSink::Restore }
    }
}

fn advise(error: RotateError, hint: &str) -> RotateError {
    match error {
        RotateError::Sink { sink, error } => RotateError::Sink { sink, error: error.advise(hint) },
        other => other,
    }
}

/// Says that an abort cannot continue while a sink holds the new secret.
pub(super) fn still_holds(name: &str) -> String {
    format!(
        "{name} holds the new key's secret, which would stop working, and nothing tells what was there before. Write there \
         what it should hold, and resume"
    )
}
