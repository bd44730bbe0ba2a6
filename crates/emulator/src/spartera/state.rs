//! A company and its keys.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use fastrand::Rng;
use hyper::header::HeaderMap;

use super::input::NewKey;
use crate::changes::{ChangeKind, Changes, StateChange};
use crate::fault::Effects;
use crate::freed_ids::FreedIds;
use crate::inventory::{ExistingKey, KeyStatus};
use crate::permission::{Caller, Permission, Role};
use crate::propagation::Propagation;
use crate::refusal::Refusal;
use crate::route::Provider;
use crate::secret;
use crate::settings::{Settings, SparteraShape};
use crate::store::{Identified, Store};

/// The hourly rate limit that the guide's shape shows for a key without its own limit.
pub(super) const DEFAULT_RATE_LIMIT: i64 = 1000;

/// The first numeric id.
pub(super) const FIRST_NUMBER: u64 = 1001;

pub(crate) struct Company {
    pub(crate) id: String,
    /// The secret of the administrator's key. It stays here after the key is deleted.
    pub(crate) admin_secret: String,
    pub(super) admin_key_id: String,
    pub(super) settings: Settings,
    pub(super) keys: Store<Key>,
    /// Maps a secret to the id of its key.
    by_secret: HashMap<String, String>,
    propagation: Propagation,
    changes: Arc<Changes>,
    pub(super) next_number: u64,
    pub(super) freed_ids: FreedIds,
    /// How many keys the company has had.
    serials: u64,
    rng: Rng,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    /// Tells the key from others that have had its id. [`Company::insert`] sets it.
    pub(super) serial: u64,
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
    /// The requested permissions. Answers show them, but only the role counts.
    pub(super) permissions: Option<Vec<String>>,
    pub(super) revocation: Option<Revocation>,
    pub(super) usage: Usage,
    pub(super) secret: String,
}

#[derive(Clone)]
pub(super) struct Revocation {
    pub(super) reason: Option<String>,
}

#[derive(Clone, Default)]
pub(super) struct Usage {
    pub(super) count: u64,
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) failed: u64,
}

impl Identified for Key {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Key {
    fn caller(&self) -> Caller {
        Caller { id: self.id.clone(), role: self.role }
    }

    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(super) fn status(&self, now: DateTime<Utc>) -> KeyStatus {
        if self.revocation.is_some() {
            KeyStatus::Revoked
        } else if self.is_expired(now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }
}

impl Company {
    /// Creates a company that has no key yet.
    pub(super) fn new(id: String, settings: Settings, changes: Arc<Changes>, rng: Rng) -> Self {
        Self {
            id,
            admin_secret: String::new(),
            admin_key_id: String::new(),
            settings,
            keys: Store::new(),
            by_secret: HashMap::new(),
            propagation: Propagation::default(),
            changes,
            next_number: FIRST_NUMBER,
            freed_ids: FreedIds::default(),
            serials: 0,
            rng,
        }
    }

    /// Adds `count` keys that may only read and never expire. Returns their ids and secrets.
    pub(crate) fn seed(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(String, String)> {
        (0..count)
            .map(|_| {
                let name = format!("seeded-{:05}", self.keys.len());
                self.seed_key(NewKey::named(&name, Role::Reader), now)
            })
            .collect()
    }

    /// Adds a key without a request. Returns its id and secret.
    pub(super) fn seed_key(&mut self, new: NewKey, now: DateTime<Utc>) -> (String, String) {
        let (id, secret) = self.issue(new, &Effects::default(), now);
        self.record_change(ChangeKind::Seeded, &id, None, now);
        (id, secret)
    }

    /// Creates a key. Returns its id and secret.
    pub(super) fn issue(&mut self, new: NewKey, effects: &Effects, now: DateTime<Utc>) -> (String, String) {
        let id = self.new_id(new.name.as_deref(), effects);
        let secret = self.new_secret(new.endpoint_id.as_deref());
        let created = now.trunc_subsecs(0);
        self.propagation.warm(&secret, effects.warmup);
        let key = Key {
            id: id.clone(),
            serial: 0,
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
            rate_limit: new.rate_limit.unwrap_or(DEFAULT_RATE_LIMIT),
            permissions: new.permissions,
            revocation: None,
            usage: Usage::default(),
            secret: secret.clone(),
        };
        self.insert(key, effects.stale_lists);
        (id, secret)
    }

    /// Returns an id that no key has.
    fn new_id(&mut self, name: Option<&str>, effects: &Effects) -> String {
        let reuse = effects.reuse_ids.or(self.settings.reuse_ids);
        if let Some(id) = reuse.and_then(|reuse| self.freed_ids.take(reuse, name, |id| self.keys.get(id).is_some())) {
            self.propagation.reuse(&id);
            return id;
        }
        loop {
            let number = self.next_number;
            self.next_number += 1;
            let id = match self.settings.spartera_shape {
                SparteraShape::Documented => number.to_string(),
                SparteraShape::Guide => format!("key_{}", secret::random_text(&mut self.rng, 12)),
            };
            // A name can look like a number.
            if self.keys.get(&id).is_none() {
                return id;
            }
        }
    }

    pub(super) fn new_secret(&mut self, endpoint_id: Option<&str>) -> String {
        let prefix = if endpoint_id.is_some() { "ep_" } else { "sk_live_" };
        format!("{prefix}{}", secret::random_text(&mut self.rng, 32))
    }

    pub(super) fn insert(&mut self, mut key: Key, stale_lists: u64) {
        self.serials += 1;
        key.serial = self.serials;
        self.by_secret.insert(key.secret.clone(), key.id.clone());
        self.keys.insert(key, stale_lists);
    }

    /// Deletes a key and forgets its secret.
    pub(super) fn remove(&mut self, id: &str, effects: &Effects) -> Option<Key> {
        self.propagation.forget(id);
        self.end_secret(id, effects);
        let key = self.keys.remove(id, effects.stale_lists)?;
        self.by_secret.remove(&key.secret);
        self.freed_ids.add(id);
        Some(key)
    }

    /// Returns the key that authenticates the request.
    pub(super) fn authenticate(&mut self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Caller, Refusal> {
        let secret = credential(headers).ok_or(Refusal::Unauthenticated)?;
        let key = self.by_secret.get(secret).and_then(|id| self.keys.get_mut(id));
        let Some(key) = key else {
            return self.propagation.lingering(secret, now).ok_or(Refusal::Unauthenticated);
        };
        let caller = match key.status(self.settings.expiry_cutoff(now)) {
            KeyStatus::Active if self.propagation.accepts(secret) => Some(key.caller()),
            KeyStatus::Active => None,
            KeyStatus::Expired | KeyStatus::Revoked => self.propagation.lingering(secret, now),
        };
        if caller.is_some() {
            key.edit_uncached().usage.count += 1;
            let last = Some(now.trunc_subsecs(0));
            if key.usage.last != last {
                key.edit().usage.last = last;
            }
        } else {
            key.edit_uncached().usage.failed += 1;
        }
        caller.ok_or(Refusal::Unauthenticated)
    }

    /// Checks that the key may perform the operation in the company `scope`.
    pub(super) fn authorize(&self, caller: &Caller, scope: &str, permission: Permission) -> Result<(), Refusal> {
        if scope != self.id {
            return Err(Refusal::WrongScope);
        }
        if caller.role.allows(permission) { Ok(()) } else { Err(Refusal::NotPermitted) }
    }

    /// Lets the key's secret, which is about to end, linger as a fault demands. A secret that has already ended stays
    /// ended.
    pub(super) fn end_secret(&mut self, id: &str, effects: &Effects) {
        if let Some(key) = self.keys.get(id)
            && key.revocation.is_none()
        {
            let expires = key.expires.map(|expires| self.settings.secret_end(expires));
            self.propagation.linger(&key.secret, key.caller(), effects.linger, expires);
        }
    }

    /// Records a change of an existing key.
    pub(super) fn record_change(&self, kind: ChangeKind, id: &str, by: Option<&Caller>, now: DateTime<Utc>) {
        if let Some(key) = self.keys.get(id) {
            self.record_change_to(kind, key, by, now);
        }
    }

    /// Records a change of a key, whether the key still exists or not.
    pub(super) fn record_change_to(&self, kind: ChangeKind, key: &Key, by: Option<&Caller>, now: DateTime<Utc>) {
        self.changes.push(StateChange {
            time: now,
            provider: Provider::Spartera,
            kind,
            key_id: key.id.clone(),
            serial: key.serial,
            name: key.name.clone(),
            replaces: None,
            by: by.map(|caller| caller.id.clone()),
        });
    }

    /// Returns the keys that exist.
    pub(crate) fn inventory(&self, now: DateTime<Utc>) -> Vec<ExistingKey> {
        let describe = |key: &Key| {
            let status = key.status(now);
            ExistingKey {
                provider: Provider::Spartera,
                id: key.id.clone(),
                serial: key.serial,
                created: key.created,
                name: key.name.as_deref().map(secret::redact),
                status,
                live_secrets: usize::from(key.status(self.settings.expiry_cutoff(now)) == KeyStatus::Active)
                    + self.propagation.count_lingering(&key.id, now),
            }
        };
        self.keys.iter().map(describe).collect()
    }
}

/// Returns the request's credential.
fn credential(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok()
}
