//! Building a plan from what the preflight checks have found.

use api_keyring::{ApiKey, Capability, Mark, Operation, Provider};

use super::expiry::lifetime;
use super::preflight::refusal;
use super::{Findings, OldKey, Plan, PlannedExpiry, Retirement, UnusedFor};
use crate::{RotateError, RotateKey, Strategy, Timing};

impl Plan {
    /// Builds the plan that `rotate` requests for the key in `findings`.
    ///
    /// # Errors
    ///
    /// [`RotateError::Refused`] if the key cannot be rotated, or the vendor does not offer what `rotate` requests.
    pub(crate) fn new(provider: &dyn Provider, findings: &Findings, rotate: &RotateKey) -> Result<Self, RotateError> {
        let builder = Builder { provider, key: &findings.key, findings, rotate };
        builder.check_key()?;
        builder.check_evidence()?;
        match rotate.strategy {
            Strategy::Overlap => {
                builder.check_overlap()?;
                builder.check_expire_old()?;
                builder.overlap()
            }
            Strategy::InPlace => {
                builder.check_in_place()?;
                Ok(builder.in_place())
            }
        }
    }
}

/// Checks a request for a rotation and builds its plan.
struct Builder<'a> {
    provider: &'a dyn Provider,
    key: &'a ApiKey,
    findings: &'a Findings,
    rotate: &'a RotateKey,
}

/// The fields of the old key that the new one takes over. The vendor may not offer all of them.
struct CarriedOver {
    description: Option<String>,
    owner: Option<String>,
    /// The names of the fields that the new key does not take over.
    missing: Vec<String>,
}

impl Builder<'_> {
    fn offers(&self, capability: Capability) -> bool {
        self.provider.capabilities().support(capability).is_supported()
    }

    fn refuse(&self, problem: impl AsRef<str>, hint: &str) -> RotateError {
        refusal(self.provider.name(), self.key.id(), problem.as_ref(), hint)
    }

    /// Refuses a key that no longer works.
    fn check_key(&self) -> Result<(), RotateError> {
        let status = self.key.status_at(self.findings.now);
        if status.is_dead() {
            let problem = format!("it is {status}, so its users have no working secret to replace");
            return Err(self.refuse(problem, "Create a new key instead (`api-keyring create`)"));
        }
        Ok(())
    }

    /// Refuses to wait for evidence of use if the old secret ends anyway.
    fn check_evidence(&self) -> Result<(), RotateError> {
        let ends_anyway = self.rotate.expire_old || self.rotate.strategy == Strategy::InPlace;
        if self.rotate.unused_for.is_some() && ends_anyway {
            return Err(self.refuse(
                "its old secret would end, used or not, so waiting for evidence of use would protect nothing",
                "Leave out `unused_for` (`--unused-for`)",
            ));
        }
        Ok(())
    }

    fn check_in_place(&self) -> Result<(), RotateError> {
        if self.offers(Capability::Regenerate) {
            return Ok(());
        }
        Err(self.refuse(
            "the vendor does not issue a new secret for an existing key",
            "Rotate it with a new key: leave out `in_place` (`--in-place`)",
        ))
    }

    fn check_overlap(&self) -> Result<(), RotateError> {
        let retires = self.offers(Capability::Revoke) || self.offers(Capability::Delete);
        if self.offers(Capability::Create) && retires {
            return Ok(());
        }
        Err(self.refuse(
            "the vendor does not let clients create keys, or does not let them retire keys",
            "Rotate it in place, if the vendor offers that (`in_place`, `--in-place`)",
        ))
    }

    /// Refuses to set an expiry that an abort could not put back.
    fn check_expire_old(&self) -> Result<(), RotateError> {
        if !self.rotate.expire_old {
            return Ok(());
        }
        let problem = if !self.offers(Capability::UpdateExpiry) {
            "the vendor offers no way to change a key's expiry"
        } else if self.key.expires_at().is_none_or(|time| time.utc().is_none()) {
            "the vendor shows no expiry for the key, so an abort could not restore it"
        } else {
            return Ok(());
        };
        Err(self.refuse(problem, "To leave its expiry alone, leave out `expire_old` (`--expire-old`)"))
    }

    /// Returns when the new key expires: at the requested time, or so that it lives as long as the old key.
    fn expiry(&self) -> Result<PlannedExpiry, RotateError> {
        const HINT: &str = "Choose when the new key expires (`expiry`, `--expires-in`)";
        let expiry = match (self.rotate.expiry, lifetime(self.key, self.findings.asked_lifetime)) {
            (Some(expiry), _) => expiry.into(),
            (None, Some(seconds)) => PlannedExpiry::AfterSeconds(seconds),
            (None, None) if self.key.never_expires() => PlannedExpiry::Never,
            (None, None) => return Err(self.refuse("the vendor does not show its lifetime", HINT)),
        };
        if expiry == PlannedExpiry::Never && !self.offers(Capability::CreateWithoutExpiry) {
            return Err(self.refuse("the vendor has no keys that never expire", HINT));
        }
        Ok(expiry)
    }

    fn role(&self) -> Result<String, RotateError> {
        let role = self.rotate.role.as_deref().or(self.key.role());
        role.map(str::to_owned).ok_or_else(|| {
            self.refuse("the vendor does not show its role", "Choose the new key's role (`role`, `--role`)")
        })
    }

    fn carried_over(&self) -> CarriedOver {
        let mut missing: Vec<String> = self.key.extra().names().map(|name| name.into_owned()).collect();
        let mut carry = |name: &str, value: Option<&str>, capability| {
            let carried = value.filter(|_| self.offers(capability));
            if value.is_some() && carried.is_none() {
                missing.push(name.to_owned());
            }
            carried.map(str::to_owned)
        };
        let description = carry("description", self.key.description(), Capability::Description);
        let owner = carry("owner", self.key.owner(), Capability::CreateWithOwner);
        CarriedOver { description, owner, missing }
    }

    /// Returns the new key's name: the old key's name, or its id if it has no name.
    fn name(&self) -> String {
        // The rotation appends its mark to this name, so the name must not be empty.
        let name = self.key.name().map(Mark::unmarked).filter(|name| !name.trim().is_empty());
        name.unwrap_or(self.key.id().as_str()).to_owned()
    }

    fn unused_for(&self) -> Option<UnusedFor> {
        let shown_by = if self.offers(Capability::Stats) { Operation::Stats } else { Operation::Get };
        self.rotate.unused_for.map(|time| UnusedFor { seconds: Timing::seconds(time), shown_by })
    }

    /// Plans a new key like the old one.
    fn overlap(&self) -> Result<Plan, RotateError> {
        let (expiry, role) = (self.expiry()?, self.role()?);
        let CarriedOver { description, owner, missing } = self.carried_over();
        let revokes = self.offers(Capability::Revoke);
        Ok(Plan {
            provider: self.provider.name().to_owned(),
            vendor: self.provider.vendor().to_owned(),
            scope: self.provider.scope().to_owned(),
            old: OldKey::from(self.key),
            strategy: Strategy::Overlap,
            own_credential: self.findings.own_credential,
            sinks: self.findings.sinks.clone(),
            in_sink: self.findings.in_sink,
            holdings: Some(self.findings.holdings.clone()),
            name: self.name(),
            role: Some(role),
            description,
            owner,
            expiry,
            expire_old: self.rotate.expire_old,
            unused_for: self.unused_for(),
            retirement: if revokes { Retirement::Revoke } else { Retirement::Delete },
            reason: self.rotate.reason.clone(),
            timing: self.rotate.timing,
            not_carried_over: missing,
            namesakes: Vec::new(),
        })
    }

    /// Plans a new secret for the same key.
    fn in_place(&self) -> Plan {
        let old = OldKey::from(self.key);
        Plan {
            provider: self.provider.name().to_owned(),
            vendor: self.provider.vendor().to_owned(),
            scope: self.provider.scope().to_owned(),
            strategy: Strategy::InPlace,
            own_credential: self.findings.own_credential,
            sinks: self.findings.sinks.clone(),
            in_sink: self.findings.in_sink,
            holdings: Some(self.findings.holdings.clone()),
            name: old.name.clone().unwrap_or_default(),
            role: old.role.clone(),
            description: old.description.clone(),
            owner: old.owner.clone(),
            old,
            expiry: self.rotate.expiry.map_or(PlannedExpiry::Unchanged, PlannedExpiry::from),
            retirement: Retirement::ByVendor,
            expire_old: false,
            unused_for: None,
            reason: self.rotate.reason.clone(),
            // The old secret ends when the vendor issues the new one, so there is no grace.
            timing: Timing { grace_seconds: 0, ..self.rotate.timing },
            not_carried_over: Vec::new(),
            namesakes: Vec::new(),
        }
    }
}
