//! Whether a record can be what a rotation wrote.

use api_keyring::Mark;

use crate::{Holdings, Plan, Record, State};

impl Record {
    /// Returns why this record cannot be one that a rotation with this plan wrote; `None` if it can be.
    ///
    /// A journal refuses to read such a record: somebody has changed it.
    pub fn contradiction(&self, begun: &Plan) -> Option<&'static str> {
        if self.plan != *begun {
            return Some("its plan is not the one that the rotation began with");
        }
        if !mark_of(&self.state).is_none_or(|mark| self.marks.contains(mark)) {
            return Some("it is in a state with a mark that is not one of its own");
        }
        if !self.discards.iter().all(|discard| self.marks.contains(&discard.mark)) {
            return Some("it discards a key with a mark that is not one of its own");
        }
        let is_of_sinks = |holdings: &Holdings| holdings.sinks.len() == self.plan.sinks.len();
        if !self.plan.holdings.iter().chain(&self.adopted).all(is_of_sinks) {
            return Some("it does not say of each of its destinations what it held");
        }
        None
    }

    /// Returns what remains of a finished rotation that is pruned: which key replaced which, its marks, and the
    /// lifetime that was asked for. Everything else is blank.
    pub fn pruned(&self) -> Self {
        let mut kept = self.clone();
        let Plan { old, name, role, description, owner, reason, sinks, holdings, not_carried_over, namesakes, .. } =
            &mut kept.plan;
        (old.name, old.role, old.description, old.owner, old.masked_secret) = (None, None, None, None, None);
        (*role, *description, *owner, *reason) = (None, None, None, None);
        *holdings = None;
        name.clear();
        sinks.clear();
        not_carried_over.clear();
        namesakes.clear();
        kept.state = match kept.state {
            State::Aborted { .. } => State::Aborted { why: String::new() },
            state => state,
        };
        (kept.discards, kept.evidence, kept.waived, kept.adopted) = (Vec::new(), None, None, None);
        kept
    }
}

/// Returns the mark that a state names.
fn mark_of(state: &State) -> Option<&Mark> {
    match state.underlying() {
        State::Issuing { mark } | State::Lost { mark, .. } => Some(mark),
        state => state.issued().map(|new| &new.mark),
    }
}
