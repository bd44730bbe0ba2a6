//! The saved form of an organization.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::state::{Key, Organization, long_lived, stamp};
use super::token::{SIGNING_KEY_BYTES, Signer, SigningKey};
use crate::changes::{ChangeKind, Changes};
use crate::freed_ids::FreedIds;
use crate::permission::Role;
use crate::secret;
use crate::settings::Settings;
use crate::state::{MAX_NUMBER, check_admin, check_id, check_ids, key_problem};

/// An organization, its keys, and the key that signs their tokens.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OrganizationState {
    organization_id: Option<String>,
    /// The key whose token the emulator's handle returns. If it is missing, the organization gets a new one.
    admin_key_id: Option<String>,
    signing_key: Option<SigningKeyState>,
    /// The ids of deleted keys, the latest last. New keys get them only if the emulator reuses ids.
    #[serde(skip_serializing_if = "FreedIds::is_empty")]
    freed_ids: FreedIds,
    keys: Vec<KeyState>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SigningKeyState {
    id: String,
    /// The bytes in base64.
    secret: String,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyState {
    id: String,
    name: String,
    role_id: String,
    expires_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<DateTime<Utc>>,
    #[serde(default = "first_version")]
    token_version: u64,
    /// When the current token was made. The token contains this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issued_at: Option<DateTime<Utc>>,
    /// What tells the key's tokens from those of an earlier key with the same id. The token contains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    /// The current token. It follows from the other fields, and is here for people who read the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

fn first_version() -> u64 {
    1
}

impl OrganizationState {
    /// Refuses a state that no organization can have.
    pub(crate) fn check(&self) -> Result<(), String> {
        let ids = || self.keys.iter().map(|key| key.id.as_str());
        self.organization_id.as_deref().map_or(Ok(()), check_id)?;
        self.freed_ids.check()?;
        check_ids(ids())?;
        check_admin(self.admin_key_id.as_deref(), ids())?;
        let signer = match &self.signing_key {
            Some(key) => {
                check_id(&key.id)?;
                let problem = || format!("signing_key: {SIGNING_KEY_BYTES} bytes in base64");
                let key = key.to_signing_key().ok_or_else(problem)?;
                Some(Signer::new(&key.bytes, &key.id))
            }
            None => None,
        };
        for key in &self.keys {
            self.check_key(key, signer.as_ref()).map_err(|problem| key_problem(&key.id, problem))?;
        }
        Ok(())
    }

    fn check_key(&self, key: &KeyState, signer: Option<&Signer>) -> Result<(), &'static str> {
        if super::role(&key.role_id).is_none() {
            return Err("role_id must be role-admin, role-writer, role-reader or role-none");
        }
        if key.token_version > MAX_NUMBER {
            return Err("token_version must be at most 2^53");
        }
        if key.name.is_empty() {
            return Err("name must not be empty");
        }
        let Some(token) = &key.token else { return Ok(()) };
        let claims = signer.and_then(|signer| signer.verify(token));
        let fits = claims.is_some_and(|claims| {
            claims.sub == key.id
                && Some(claims.organization_id) == self.organization_id
                && claims.token_version == key.token_version
                && claims.jti == key.token_id
                && claims.exp == key.expires_at.timestamp()
                && Some(claims.iat) == key.token_issued_at.map(|issued| issued.timestamp())
        });
        if fits { Ok(()) } else { Err("token does not match the signing key and the other fields; leave it out") }
    }
}

impl SigningKeyState {
    /// Returns the key, or `None` if `secret` is not the base64 form of [`SIGNING_KEY_BYTES`] bytes.
    fn to_signing_key(&self) -> Option<SigningKey> {
        let bytes = STANDARD.decode(&self.secret).ok()?.try_into().ok()?;
        Some(SigningKey { id: self.id.clone(), bytes })
    }
}

impl From<&SigningKey> for SigningKeyState {
    fn from(key: &SigningKey) -> Self {
        Self { id: key.id.clone(), secret: STANDARD.encode(key.bytes) }
    }
}

impl KeyState {
    fn into_key(self, now: DateTime<Utc>) -> Key {
        let created = self.created_at.unwrap_or(stamp(now));
        Key {
            id: self.id,
            serial: 0,
            token_id: self.token_id,
            name: self.name,
            description: self.description,
            role: super::role(&self.role_id).unwrap_or(Role::Reader),
            created,
            updated: self.updated_at.unwrap_or(created),
            expires: self.expires_at,
            token_version: self.token_version,
            token_issued: self.token_issued_at.unwrap_or(now),
            last_used: self.last_used_at,
        }
    }
}

impl Organization {
    /// Creates an organization with the keys of `state`, oldest first.
    ///
    /// It adds an administrator's key if `state` names none.
    pub(crate) fn restore(
        settings: Settings,
        mut rng: Rng,
        changes: Arc<Changes>,
        state: OrganizationState,
        now: DateTime<Utc>,
    ) -> Self {
        let id = state.organization_id.unwrap_or_else(|| secret::random_uuid(&mut rng));
        // Drawing this key in any case keeps the random numbers that follow the same, with and without a saved key.
        let new_key = SigningKey::random(&mut rng);
        let saved_key = state.signing_key.as_ref().and_then(SigningKeyState::to_signing_key);
        let mut organization = Self::new(id, saved_key.unwrap_or(new_key), settings, changes, rng);
        organization.freed_ids = state.freed_ids;
        for key in state.keys {
            let key = key.into_key(now);
            let id = key.id.clone();
            organization.insert(key, 0);
            organization.record_change(ChangeKind::Seeded, &id, None, now);
        }
        organization.admin_key_id = match state.admin_key_id {
            Some(id) => id,
            None => organization.seed_key(long_lived("administrator", Role::Administrator, now), now).0,
        };
        let administrator = organization.keys.get(&organization.admin_key_id);
        organization.admin_token = administrator.map_or_else(String::new, |key| organization.token(key));
        organization
    }

    /// Returns the organization in the form that [`Organization::restore`] takes.
    pub(crate) fn state(&self) -> OrganizationState {
        let describe = |key: &Key| KeyState {
            id: key.id.clone(),
            name: key.name.clone(),
            role_id: super::role_id(key.role).to_owned(),
            expires_at: key.expires,
            description: key.description.clone(),
            created_at: Some(key.created),
            updated_at: Some(key.updated),
            last_used_at: key.last_used,
            token_version: key.token_version,
            token_issued_at: Some(key.token_issued),
            token_id: key.token_id.clone(),
            token: Some(self.token(key)),
        };
        OrganizationState {
            organization_id: Some(self.id.clone()),
            admin_key_id: self.keys.get(&self.admin_key_id).map(|key| key.id.clone()),
            signing_key: Some(SigningKeyState::from(&self.signing_key)),
            freed_ids: self.freed_ids.clone(),
            keys: self.keys.iter().map(describe).collect(),
        }
    }
}
