//! A plan as a list of steps, for whoever wants to read it first.

use api_keyring::Operation;
use serde::Serialize;

use crate::{Plan, Retirement, Strategy};

/// For how long a rotation has no secret that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Downtime {
    /// Never: the old key works until the new one was seen to.
    None,
    /// From the moment that the vendor makes the new secret until that is in the sink.
    UntilDelivery,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The [state](crate::State) that it leads to.
    pub to: &'static str,
    /// What is done.
    pub what: String,
    /// The requests that it sends when nothing goes wrong: an operation each time.
    pub requests: Vec<Operation>,
}

impl Plan {
    /// For how long there is no secret that works.
    pub fn downtime(&self) -> Downtime {
        match self.strategy {
            Strategy::Overlap => Downtime::None,
            Strategy::InPlace => Downtime::UntilDelivery,
        }
    }

    /// What will be done when nothing goes wrong, in order. What does go wrong adds requests: looks that are repeated, and a key
    /// that is issued once more.
    pub fn steps(&self) -> Vec<PlannedStep> {
        let step = |to, what: String, requests: Vec<Operation>| PlannedStep { to, what, requests };
        let old = &self.old.id;
        // A secret is tried by listing one key with it.
        let tries = |times: u32| vec![Operation::List; usize::try_from(times.max(1)).unwrap_or(usize::MAX)];
        let verify = tries(self.timing.verify_successes);
        let sinks = self.sinks.join(" and ");
        if self.strategy == Strategy::InPlace {
            return vec![
                step("issued", format!("have the vendor replace the secret of key {old}, which ends the old one"), {
                    vec![Operation::Get, Operation::Regenerate]
                }),
                step("delivered", format!("put the new secret into {sinks} and read it back"), Vec::new()),
                step("promoted", format!("make it the current secret in {sinks}"), Vec::new()),
                step("retired", format!("see that it works, {} times in a row", self.timing.verify_successes), verify),
                step("done", "see that the old secret is refused".to_owned(), tries(1)),
            ];
        }
        let (retire, ending) = match self.retirement {
            Retirement::Revoke => (Operation::Revoke, "revoke"),
            Retirement::Delete | Retirement::ByVendor => (Operation::Delete, "delete"),
        };
        let mut steps = vec![
            step("issued", format!("issue a key named {:?} and a mark", self.name), vec![Operation::Create]),
            step("delivered", format!("put its secret into {sinks}, beside the current one, and read it back"), {
                Vec::new()
            }),
            step("verified", format!("see that it works, {} times in a row", self.timing.verify_successes), verify),
            step("promoted", format!("make it the current secret in {sinks}"), Vec::new()),
            step("retiring", format!("wait for {} s, and see once more that it works", self.timing.grace_seconds), {
                tries(1)
            }),
            step("retired", format!("{ending} key {old}"), vec![retire]),
            step("done", "see that its secret is refused, and forget it".to_owned(), {
                vec![Operation::Get, Operation::List]
            }),
        ];
        if let Some(unused) = self.unused_for {
            // Once before others can have used the new key, and at least once later.
            let what = format!("see that others use the new key, and nobody key {old} for {} s", unused.seconds);
            steps.insert(4, step("promoted", what, vec![unused.shown_by; 4]));
        }
        if self.expire_old {
            let what = format!("have key {old} expire at the end of the grace");
            steps.insert(4, step("promoted", what, vec![Operation::Update]));
        }
        steps
    }
}
