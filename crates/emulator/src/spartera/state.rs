//! A company and its keys.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use fastrand::Rng;
use hyper::header::HeaderMap;

use super::input::NewKey;
use crate::permission::{Permission, Role};
use crate::refusal::Refusal;
use crate::secret;
use crate::settings::{Settings, SparteraShape};
use crate::store::{Identified, Store};

/// The calls an hour that the reference guide's shape shows for a key that was made without a limit of its own.
const USUAL_RATE_LIMIT: i64 = 1000;

pub(crate) struct Company {
    pub(crate) id: String,
    pub(crate) admin_secret: String,
    pub(super) settings: Settings,
    pub(super) keys: Store<Key>,
    /// From a secret to the id of its key.
    by_secret: HashMap<String, String>,
    next_number: u64,
    rng: Rng,
}

pub(super) struct Key {
    pub(super) id: String,
    /// The id in the documented shape's key model.
    pub(super) number: u64,
    pub(super) masked: String,
    pub(super) role: Role,
    pub(super) user_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) endpoint_id: Option<String>,
    pub(super) mcp_deployment_id: Option<String>,
    pub(super) key_type: &'static str,
    pub(super) is_system_generated: bool,
    pub(super) rate_limit: i64,
    /// Those that were asked for; shown, but only the role counts.
    pub(super) permissions: Option<Vec<String>>,
    pub(super) revocation: Option<Revocation>,
    pub(super) usage: Usage,
    secret: String,
}

pub(super) struct Revocation {
    pub(super) reason: Option<String>,
}

#[derive(Default)]
pub(super) struct Usage {
    pub(super) count: u64,
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) failed: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    Active,
    Expired,
    Revoked,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Identified for Key {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Key {
    pub(super) fn status(&self, now: DateTime<Utc>) -> Status {
        if self.revocation.is_some() {
            Status::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            Status::Expired
        } else {
            Status::Active
        }
    }
}

impl Company {
    /// A company with one key: its administrator's.
    pub(crate) fn new(settings: Settings, mut rng: Rng, now: DateTime<Utc>) -> Self {
        let mut company = Self {
            id: format!("company_{}", secret::random_text(&mut rng, 12)),
            admin_secret: String::new(),
            settings,
            keys: Store::new(),
            by_secret: HashMap::new(),
            next_number: 1001,
            rng,
        };
        let (_, admin_secret) = company.issue(NewKey::named("administrator", Role::Administrator), now);
        company.admin_secret = admin_secret;
        company
    }

    /// Adds `count` keys that only read and never expire; returns their ids and secrets.
    pub(crate) fn seed(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(String, String)> {
        (0..count)
            .map(|_| {
                let name = format!("seeded-{:05}", self.keys.len());
                self.issue(NewKey::named(&name, Role::Reader), now)
            })
            .collect()
    }

    /// Makes a key; returns its id and secret.
    pub(super) fn issue(&mut self, new: NewKey, now: DateTime<Utc>) -> (String, String) {
        let number = self.next_number;
        self.next_number += 1;
        let id = match self.settings.spartera_shape {
            SparteraShape::Documented => number.to_string(),
            SparteraShape::Guide => format!("key_{}", secret::random_text(&mut self.rng, 12)),
        };
        let prefix = if new.endpoint_id.is_some() { "ep_" } else { "sk_live_" };
        let secret = format!("{prefix}{}", secret::random_text(&mut self.rng, 32));
        let created = now.trunc_subsecs(0);
        self.by_secret.insert(secret.clone(), id.clone());
        self.keys.insert(Key {
            id: id.clone(),
            number,
            masked: secret::mask(&secret),
            role: new.role,
            user_id: new.user_id,
            name: new.name,
            description: new.description,
            expires: new.expires,
            created,
            updated: created,
            endpoint_id: new.endpoint_id,
            mcp_deployment_id: new.mcp_deployment_id,
            key_type: new.key_type,
            is_system_generated: new.is_system_generated,
            rate_limit: new.rate_limit.unwrap_or(USUAL_RATE_LIMIT),
            permissions: new.permissions,
            revocation: None,
            usage: Usage::default(),
            secret: secret.clone(),
        });
        (id, secret)
    }

    /// Deletes a key, so that its secret is unknown from now on.
    pub(super) fn remove(&mut self, id: &str) -> Option<Key> {
        let key = self.keys.remove(id)?;
        self.by_secret.remove(&key.secret);
        Some(key)
    }

    /// The id of the key whose secret the request carries.
    pub(super) fn authenticate(&mut self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<String, Refusal> {
        let secret = presented(headers).ok_or(Refusal::Unauthenticated)?;
        let id = self.by_secret.get(secret).ok_or(Refusal::Unauthenticated)?;
        let key = self.keys.get_mut(id).ok_or(Refusal::Unauthenticated)?;
        if key.status(now) != Status::Active {
            key.usage.failed += 1;
            return Err(Refusal::Unauthenticated);
        }
        key.usage.count += 1;
        key.usage.last = Some(now.trunc_subsecs(0));
        Ok(id.clone())
    }

    /// Whether the key may do this, to this company.
    pub(super) fn authorize(&self, caller: &str, scope: &str, permission: Permission) -> Result<(), Refusal> {
        if scope != self.id {
            return Err(Refusal::WrongScope);
        }
        match self.keys.get(caller) {
            Some(key) if key.role.allows(permission) => Ok(()),
            _ => Err(Refusal::NotPermitted),
        }
    }
}

/// The credential that a request carries.
fn presented(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok()
}
