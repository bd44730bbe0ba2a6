//! The saved form of a company.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::input::{NewKey, default_key_type, key_type};
use super::state::{Company, DEFAULT_RATE_LIMIT, FIRST_NUMBER, Key, Revocation, Usage};
use crate::changes::{ChangeKind, Changes};
use crate::freed_ids::FreedIds;
use crate::permission::Role;
use crate::secret;
use crate::settings::Settings;
use crate::state::{MAX_NUMBER, check_admin, check_id, check_ids, key_problem};

/// A company and its keys.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CompanyState {
    company_id: Option<String>,
    /// The key whose secret the emulator's handle returns. If it is missing, the company gets a new one.
    admin_key_id: Option<String>,
    /// The next numeric id.
    next_number: Option<u64>,
    /// The ids of deleted keys, the latest last. New keys get them only if the emulator reuses ids.
    #[serde(skip_serializing_if = "FreedIds::is_empty")]
    freed_ids: FreedIds,
    keys: Vec<KeyState>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyState {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    role_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_deployment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<String>,
    #[serde(default)]
    is_system_generated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<String>,
    #[serde(default)]
    usage_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<DateTime<Utc>>,
    #[serde(default)]
    failed_attempts: u64,
}

impl CompanyState {
    /// Refuses a state that no company can have.
    pub(crate) fn check(&self) -> Result<(), String> {
        let ids = || self.keys.iter().map(|key| key.id.as_str());
        if self.next_number.is_some_and(|number| number > MAX_NUMBER) {
            return Err("next_number must be at most 2^53".to_owned());
        }
        self.company_id.as_deref().map_or(Ok(()), check_id)?;
        self.freed_ids.check()?;
        check_ids(ids())?;
        check_admin(self.admin_key_id.as_deref(), ids())?;
        let mut secrets = HashSet::new();
        for key in &self.keys {
            key.check().map_err(|problem| key_problem(&key.id, problem))?;
            if key.secret.as_ref().is_some_and(|secret| !secrets.insert(secret)) {
                return Err(key_problem(&key.id, "another key has the same secret"));
            }
        }
        Ok(())
    }
}

impl KeyState {
    fn check(&self) -> Result<(), &'static str> {
        if super::role(self.role_id).is_none() {
            return Err("role_id must be 1, 2, 3 or 4");
        }
        if self.key_type.as_deref().is_some_and(|name| key_type(name).is_none()) {
            return Err("key_type must be analytics, mcp or endpoint");
        }
        // The record of requests cannot mask a secret that does not look like one.
        if !self.secret.as_deref().is_none_or(secret::is_recognizable) {
            return Err("secret must begin with sk_ or ep_ and have 20 or more letters, digits, _, - and .");
        }
        if self.usage_count.max(self.failed_attempts) > MAX_NUMBER {
            return Err("usage_count and failed_attempts must be at most 2^53");
        }
        if self.revocation_reason.is_some() && !self.revoked {
            return Err("revocation_reason is set, but the key is not revoked");
        }
        Ok(())
    }

    /// Returns the key. If the state has no secret, it calls `new_secret` with the key's endpoint id.
    fn into_key(self, new_secret: impl FnOnce(Option<&str>) -> String, now: DateTime<Utc>) -> Key {
        let secret = self.secret.unwrap_or_else(|| new_secret(self.endpoint_id.as_deref()));
        let created = self.created_at.unwrap_or_else(|| now.trunc_subsecs(0));
        let revocation = Revocation { reason: self.revocation_reason };
        let default_type = default_key_type(self.endpoint_id.as_deref(), self.mcp_deployment_id.as_deref());
        Key {
            masked: secret::mask(&secret),
            role: super::role(self.role_id).unwrap_or(Role::Reader),
            user_id: self.user_id,
            name: self.name,
            description: self.description,
            expires: self.expires_at,
            created,
            updated: self.updated_at.unwrap_or(created),
            key_type: self.key_type.as_deref().and_then(key_type).unwrap_or(default_type),
            endpoint_id: self.endpoint_id,
            mcp_deployment_id: self.mcp_deployment_id,
            is_system_generated: self.is_system_generated,
            rate_limit: self.rate_limit.unwrap_or(DEFAULT_RATE_LIMIT),
            permissions: self.permissions,
            revocation: self.revoked.then_some(revocation),
            usage: Usage { count: self.usage_count, last: self.last_used, failed: self.failed_attempts },
            id: self.id,
            serial: 0,
            secret,
        }
    }
}

impl From<&Key> for KeyState {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.clone(),
            secret: Some(key.secret.clone()),
            role_id: super::role_id(key.role),
            name: key.name.clone(),
            description: key.description.clone(),
            user_id: key.user_id.clone(),
            created_at: Some(key.created),
            updated_at: Some(key.updated),
            expires_at: key.expires,
            endpoint_id: key.endpoint_id.clone(),
            mcp_deployment_id: key.mcp_deployment_id.clone(),
            key_type: Some(key.key_type.to_owned()),
            is_system_generated: key.is_system_generated,
            rate_limit: Some(key.rate_limit),
            permissions: key.permissions.clone(),
            revoked: key.revocation.is_some(),
            revocation_reason: key.revocation.as_ref().and_then(|revocation| revocation.reason.clone()),
            usage_count: key.usage.count,
            last_used: key.usage.last,
            failed_attempts: key.usage.failed,
        }
    }
}

impl Company {
    /// Creates a company with the keys of `state`, oldest first.
    ///
    /// It adds an administrator's key if `state` names none.
    pub(crate) fn restore(
        settings: Settings,
        mut rng: Rng,
        changes: Arc<Changes>,
        state: CompanyState,
        now: DateTime<Utc>,
    ) -> Self {
        let id = state.company_id.unwrap_or_else(|| format!("company_{}", secret::random_text(&mut rng, 12)));
        let mut company = Self::new(id, settings, changes, rng);
        // The emulator never counts beyond MAX_NUMBER, so it did not assign a greater number as an id.
        let numbers =
            state.keys.iter().filter_map(|key| key.id.parse::<u64>().ok()).filter(|number| *number <= MAX_NUMBER);
        let after_last = numbers.max().map_or(0, |last| last + 1);
        company.next_number = state.next_number.unwrap_or(FIRST_NUMBER).max(after_last);
        company.freed_ids = state.freed_ids;
        for key in state.keys {
            let key = key.into_key(|endpoint_id| company.new_secret(endpoint_id), now);
            let id = key.id.clone();
            company.insert(key, 0);
            company.record_change(ChangeKind::Seeded, &id, None, now);
        }
        company.admin_key_id = match state.admin_key_id {
            Some(id) => id,
            None => company.seed_key(NewKey::named("administrator", Role::Administrator), now).0,
        };
        let administrator = company.keys.get(&company.admin_key_id);
        company.admin_secret = administrator.map_or_else(String::new, |key| key.secret.clone());
        company
    }

    /// Returns the company in the form that [`Company::restore`] takes.
    pub(crate) fn state(&self) -> CompanyState {
        CompanyState {
            company_id: Some(self.id.clone()),
            admin_key_id: self.keys.get(&self.admin_key_id).map(|key| key.id.clone()),
            next_number: Some(self.next_number),
            freed_ids: self.freed_ids.clone(),
            keys: self.keys.iter().map(KeyState::from).collect(),
        }
    }
}
