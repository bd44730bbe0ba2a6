//! Whether the sinks are still those that the rotation was planned for, and what a person may decide if they are not.

use std::iter::zip;

use api_keyring::{Mark, Secret};

use super::abort::AbortSink;
use super::{Result, Run};
use crate::host::shown_name;
use crate::plan::Holdings;
use crate::record::Issued;
use crate::sink::parts_of;
use crate::{RotateError, State, Strategy};

impl Run<'_> {
    /// Says why the new secret may not become the current one in a sink: the sink no longer holds what it held when the
    /// rotation was planned, so it is another one, or somebody else has changed it. Returns `None` if it may.
    ///
    /// A sink that holds the new secret already is ready. So is one that holds an earlier secret of this rotation.
    pub(super) async fn problem_with_sinks(&self, new: Option<&Issued>) -> Result<Option<String>> {
        // Earlier versions of this program did not record what the sinks held.
        let Some(holdings) = self.record.holdings() else { return Ok(None) };
        for (part, holding) in zip(parts_of(&self.sink), &holdings.sinks) {
            let held = part.look().await.map_err(|error| RotateError::Sink { sink: part.name(), error })?;
            if new.zip(held.secret.as_ref()).is_some_and(|(new, secret)| new.has_secret(secret))
                || self.is_earlier_secret(held.secret.as_ref()).await?
            {
                continue;
            }
            let name = shown_name(&part.name());
            let difference = || Some(format!("{name} {}", holdings.difference(holding, &held)?));
            if let Some(problem) = held.problem_at(&name).or_else(difference) {
                return Ok(Some(problem));
            }
        }
        Ok(None)
    }

    /// Returns whether a secret is one that this rotation received in place for an earlier mark.
    async fn is_earlier_secret(&self, secret: Option<&Secret>) -> Result<bool> {
        let may_be_earlier = self.record.plan.strategy == Strategy::InPlace && !self.record.marks.is_empty();
        let Some(secret) = secret.filter(|_| may_be_earlier) else { return Ok(false) };
        let history = self.rotator.journal.history(&self.record.id).await?;
        Ok(history.iter().filter_map(|record| record.state.issued()).any(|issued| issued.has_secret(secret)))
    }

    /// Records that a person accepts what the sinks hold now. The rotation then replaces that.
    pub(crate) async fn adopt(&mut self) -> Result {
        let needs_attention = matches!(self.record.state, State::NeedsAttention { .. });
        let state = self.record.state.underlying().clone();
        // An abort cannot write the sinks, and a person keeps the new secret that they hold.
        if let (State::Aborting { new: Some(new), .. }, false) = (&state, self.record.leaves_sink)
            && self.holders(new, AbortSink::Restore).await?.are_all()
        {
            return self.go_to(State::Verified(new.clone())).await;
        }
        let waits_for_sink = match self.record.plan.strategy {
            Strategy::Overlap => matches!(state, State::Planned | State::Verified(_)),
            Strategy::InPlace => matches!(state, State::Planned | State::Delivered(_)),
        };
        if !needs_attention || !waits_for_sink {
            return Err(RotateError::Refused(format!(
                "rotation {} does not wait for its destination, so there is nothing to adopt: resume it without `--adopt`",
                self.record.id
            )));
        }
        let held = self.rotator.held(&self.record.plan.old.id).await?;
        let holdings = Holdings::new(Mark::random(), &held);
        self.sink = self.rotator.sink_expecting(Some(&holdings));
        self.write(|record| {
            record.adopted = Some(holdings);
            record.state = state;
        })
        .await
    }
}
