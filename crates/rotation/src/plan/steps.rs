//! A plan as a list of steps, to read before you start it.

use api_keyring::Operation;
use serde::Serialize;

use crate::host::shown_name;
use crate::{Plan, Retirement, Strategy};

/// How long a rotation leaves users without a secret that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Downtime {
    /// Not at all: the old key works until the new one has been seen to work.
    None,
    /// From the moment at which the vendor issues the new secret until the sink holds it.
    UntilDelivery,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The [state](crate::State) that the step leads to.
    pub to: &'static str,
    /// The action, as a sentence without a subject.
    pub what: String,
    /// The requests that the step sends if nothing goes wrong, one operation for each.
    pub requests: Vec<Operation>,
}

impl Plan {
    /// Returns the names of the sinks as people write them: without the host, if it is this host.
    pub fn shown_sinks(&self) -> String {
        let names: Vec<_> = self.sinks.iter().map(|name| shown_name(name)).collect();
        names.join(" and ")
    }

    /// Returns how long no secret works.
    pub fn downtime(&self) -> Downtime {
        match self.strategy {
            Strategy::Overlap => Downtime::None,
            Strategy::InPlace => Downtime::UntilDelivery,
        }
    }

    /// Returns the steps of a rotation in which nothing goes wrong, in order. A failure adds requests: checks that are
    /// repeated, and a second new key.
    pub fn steps(&self) -> Vec<PlannedStep> {
        match self.strategy {
            Strategy::Overlap => [self.hand_over(), self.wait_for_users(), self.retire_old()].concat(),
            Strategy::InPlace => self.replace_secret(),
        }
    }

    /// Returns the steps that replace the secret of the same key.
    fn replace_secret(&self) -> Vec<PlannedStep> {
        let (old, sinks) = (&self.old.id, self.shown_sinks());
        vec![
            step(
                "issued",
                format!("ask the vendor for a new secret for key {old}, which ends the old secret"),
                [Operation::Get, Operation::Regenerate],
            ),
            step("delivered", format!("put the new secret into {sinks} and read it back"), []),
            step("promoted", format!("make it the current secret in {sinks}"), []),
            self.verify("retired"),
            step("done", "check that the vendor rejects the old secret", TRY_SECRET),
        ]
    }

    /// Returns the steps that issue a new key and make its secret the current one.
    fn hand_over(&self) -> Vec<PlannedStep> {
        let sinks = self.shown_sinks();
        vec![
            step("issued", format!("issue a key named {:?} plus a mark", self.name), [Operation::Create]),
            step("delivered", format!("put its secret into {sinks}, beside the current one, and read it back"), []),
            self.verify("verified"),
            step("promoted", format!("make it the current secret in {sinks}"), []),
        ]
    }

    /// Returns the steps that give users time to read the new secret.
    fn wait_for_users(&self) -> Vec<PlannedStep> {
        let (old, grace) = (&self.old.id, self.timing.grace_seconds);
        let expire = self.expire_old.then(|| {
            let what = format!("make key {old} expire at the end of the grace");
            step("promoted", what, [Operation::Update])
        });
        let evidence = self.unused_for.map(|unused| {
            let what =
                format!("check that others use the new key, and that nothing uses key {old} for {} s", unused.seconds);
            // Two checks of two keys: one before others can have used the new key, and at least one later.
            step("promoted", what, [unused.shown_by; 4])
        });
        let wait =
            step("retiring", format!("wait for {grace} s, and check once more that the new secret works"), TRY_SECRET);
        expire.into_iter().chain(evidence).chain([wait]).collect()
    }

    /// Returns the steps that retire the old key.
    fn retire_old(&self) -> Vec<PlannedStep> {
        let (retire, verb) = match self.retirement {
            Retirement::Revoke => (Operation::Revoke, "revoke"),
            Retirement::Delete | Retirement::ByVendor => (Operation::Delete, "delete"),
        };
        vec![
            step("retired", format!("{verb} key {}", self.old.id), [retire]),
            step(
                "done",
                "check that the vendor rejects the old secret, and remove it from the destination",
                [Operation::Get, Operation::List],
            ),
        ]
    }

    /// Returns the step that tries the new secret several times.
    fn verify(&self, to: &'static str) -> PlannedStep {
        let times = self.timing.verify_successes;
        let requests = vec![Operation::List; usize::try_from(times.max(1)).unwrap_or(usize::MAX)];
        step(to, format!("check that the new secret works, {times} times in a row"), requests)
    }
}

/// The request that tries a secret: it lists one key with it.
const TRY_SECRET: [Operation; 1] = [Operation::List];

fn step(to: &'static str, what: impl Into<String>, requests: impl Into<Vec<Operation>>) -> PlannedStep {
    PlannedStep { to, what: what.into(), requests: requests.into() }
}
