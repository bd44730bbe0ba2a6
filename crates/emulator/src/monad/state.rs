//! An organization and its keys.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use fastrand::Rng;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::token::{Claims, Signer, SigningKey};
use crate::changes::{ChangeKind, Changes, StateChange};
use crate::fault::Effects;
use crate::freed_ids::FreedIds;
use crate::inventory::{ExistingKey, KeyStatus};
use crate::permission::{Caller, Permission, Role};
use crate::propagation::Propagation;
use crate::refusal::Refusal;
use crate::route::Provider;
use crate::secret;
use crate::settings::Settings;
use crate::store::{Identified, Store};

/// The lifetime of the keys that the emulator adds itself. It is longer than any test looks ahead.
const LONG_LIFETIME: TimeDelta = TimeDelta::days(36_500);

/// How far the shown time of last use may lag behind.
const USE_LAG: TimeDelta = TimeDelta::seconds(60);

pub(crate) struct Organization {
    pub(crate) id: String,
    /// The first token of the administrator's key. It stays here after the key is deleted.
    pub(crate) admin_token: String,
    pub(super) admin_key_id: String,
    pub(super) settings: Settings,
    pub(super) keys: Store<Key>,
    pub(super) signing_key: SigningKey,
    pub(super) propagation: Propagation,
    signer: Signer,
    pub(super) freed_ids: FreedIds,
    /// How many keys the organization has had.
    serials: u64,
    changes: Arc<Changes>,
    rng: Rng,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    /// Tells the key from others that have had its id. [`Organization::insert`] sets it.
    pub(super) serial: u64,
    /// Tells the key's tokens from those of others that have had its id; `None` if the id was new.
    pub(super) token_id: Option<String>,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) role: Role,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) expires: DateTime<Utc>,
    pub(super) token_version: u64,
    /// When the current token was made.
    pub(super) token_issued: DateTime<Utc>,
    /// The shown time of last use; see [`USE_LAG`].
    pub(super) last_used: Option<DateTime<Utc>>,
}

/// The properties of a key to create.
pub(super) struct NewKey {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) role: Role,
    pub(super) expires: DateTime<Utc>,
}

impl Identified for Key {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Key {
    fn secret_name(&self) -> String {
        secret_name(&self.id, self.token_version, self.token_id.as_deref())
    }

    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires <= now
    }
}

impl Organization {
    /// Creates an organization that has no key yet.
    pub(super) fn new(
        id: String,
        signing_key: SigningKey,
        settings: Settings,
        changes: Arc<Changes>,
        rng: Rng,
    ) -> Self {
        Self {
            id,
            admin_token: String::new(),
            admin_key_id: String::new(),
            settings,
            keys: Store::new(),
            propagation: Propagation::default(),
            changes,
            signer: Signer::new(&signing_key.bytes, &signing_key.id),
            freed_ids: FreedIds::default(),
            serials: 0,
            signing_key,
            rng,
        }
    }

    /// Adds `count` keys that may only read. Returns their ids and tokens.
    pub(crate) fn seed(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(String, String)> {
        (0..count)
            .map(|_| {
                let name = format!("seeded-{:05}", self.keys.len());
                self.seed_key(long_lived(&name, Role::Reader, now), now)
            })
            .collect()
    }

    /// Adds a key without a request. Returns its id and token.
    pub(super) fn seed_key(&mut self, new: NewKey, now: DateTime<Utc>) -> (String, String) {
        let (id, token) = self.issue(new, &Effects::default(), now);
        self.record_change(ChangeKind::Seeded, &id, None, now);
        (id, token)
    }

    /// Creates a key. Returns its id and token.
    pub(super) fn issue(&mut self, new: NewKey, effects: &Effects, now: DateTime<Utc>) -> (String, String) {
        let created = stamp(now);
        let (id, token_id) = self.new_id(&new.name, effects);
        let key = Key {
            id,
            serial: 0,
            token_id,
            name: new.name,
            description: new.description,
            role: new.role,
            created,
            updated: created,
            expires: new.expires,
            token_version: 1,
            token_issued: now,
            last_used: None,
        };
        let issued = (key.id.clone(), self.token(&key));
        self.propagation.warm(&key.secret_name(), effects.warmup);
        self.insert(key, effects.stale_lists);
        issued
    }

    /// Returns an id that no key has, and a token id if another key may have had it.
    fn new_id(&mut self, name: &str, effects: &Effects) -> (String, Option<String>) {
        let reuse = effects.reuse_ids.or(self.settings.reuse_ids);
        match reuse.and_then(|reuse| self.freed_ids.take(reuse, Some(name), |id| self.keys.get(id).is_some())) {
            Some(id) => {
                self.propagation.reuse(&id);
                (id, Some(secret::random_text(&mut self.rng, 12)))
            }
            None => (secret::random_uuid(&mut self.rng), None),
        }
    }

    pub(super) fn insert(&mut self, mut key: Key, stale_lists: u64) {
        self.serials += 1;
        key.serial = self.serials;
        self.keys.insert(key, stale_lists);
    }

    /// Returns the token of the key's current version.
    pub(super) fn token(&self, key: &Key) -> String {
        self.signer.sign(&Claims {
            sub: key.id.clone(),
            organization_id: self.id.clone(),
            token_version: key.token_version,
            jti: key.token_id.clone(),
            iat: key.token_issued.timestamp(),
            exp: key.expires.timestamp(),
        })
    }

    /// Returns the key that authenticates the request.
    pub(super) fn authenticate(&mut self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Caller, Refusal> {
        let token = credential(headers).ok_or(Refusal::Unauthenticated)?;
        let claims = self.signer.verify(token).ok_or(Refusal::Unauthenticated)?;
        let secret = secret_name(&claims.sub, claims.token_version, claims.jti.as_deref());
        let key = match self.keys.get_mut(&claims.sub) {
            Some(key) if key.token_version == claims.token_version && key.token_id == claims.jti => key,
            _ => return self.propagation.lingering(&secret, now).ok_or(Refusal::Unauthenticated),
        };
        if key.is_expired(self.settings.expiry_cutoff(now)) || !self.propagation.accepts(&secret) {
            return Err(Refusal::Unauthenticated);
        }
        if key.last_used.is_none_or(|last| now - last >= USE_LAG) {
            key.edit().last_used = Some(stamp(now));
        }
        Ok(Caller { id: claims.sub, role: key.role })
    }

    /// Checks that the key may perform the operation in the organization `scope`.
    pub(super) fn authorize(&self, caller: &Caller, scope: &str, permission: Permission) -> Result<(), Refusal> {
        if scope != self.id {
            return Err(Refusal::WrongScope);
        }
        if caller.role.allows(permission) { Ok(()) } else { Err(Refusal::NotPermitted) }
    }

    /// Lets the key's current secret, which is about to end, linger as a fault demands.
    pub(super) fn end_secret(&mut self, id: &str, effects: &Effects) {
        if let Some(key) = self.keys.get(id) {
            let caller = Caller { id: key.id.clone(), role: key.role };
            let expires = self.settings.secret_end(key.expires);
            self.propagation.linger(&key.secret_name(), caller, effects.linger, Some(expires));
        }
    }

    /// Delays the key's new secret as a fault demands.
    pub(super) fn begin_secret(&mut self, id: &str, effects: &Effects) {
        if let Some(key) = self.keys.get(id) {
            self.propagation.warm(&key.secret_name(), effects.warmup);
        }
    }

    /// Records a change of an existing key.
    pub(super) fn record_change(&self, kind: ChangeKind, id: &str, by: Option<&Caller>, now: DateTime<Utc>) {
        if let Some(key) = self.keys.get(id) {
            self.record_change_to(kind, key, None, by, now);
        }
    }

    /// Records a change of a key, whether the key still exists or not.
    pub(super) fn record_change_to(
        &self,
        kind: ChangeKind,
        key: &Key,
        replaces: Option<String>,
        by: Option<&Caller>,
        now: DateTime<Utc>,
    ) {
        self.changes.push(StateChange {
            time: now,
            provider: Provider::Monad,
            kind,
            key_id: key.id.clone(),
            serial: key.serial,
            name: Some(key.name.clone()),
            replaces,
            by: by.map(|caller| caller.id.clone()),
        });
    }

    /// Returns the keys that exist.
    pub(crate) fn inventory(&self, now: DateTime<Utc>) -> Vec<ExistingKey> {
        let describe = |key: &Key| {
            let status = if key.is_expired(now) { KeyStatus::Expired } else { KeyStatus::Active };
            ExistingKey {
                provider: Provider::Monad,
                id: key.id.clone(),
                serial: key.serial,
                created: key.created,
                name: Some(secret::redact(&key.name)),
                status,
                live_secrets: usize::from(!key.is_expired(self.settings.expiry_cutoff(now)))
                    + self.propagation.count_lingering(&key.id, now),
            }
        };
        self.keys.iter().map(describe).collect()
    }
}

/// Returns a name that identifies one secret of one key.
fn secret_name(id: &str, version: u64, token_id: Option<&str>) -> String {
    format!("{id}/{version}/{}", token_id.unwrap_or_default())
}

/// Returns the time with the precision of a key's timestamps.
pub(super) fn stamp(now: DateTime<Utc>) -> DateTime<Utc> {
    now.trunc_subsecs(6)
}

/// Returns the request's credential: from `x-api-key`, or else from `Authorization` as `Bearer` or `ApiKey`.
fn credential(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let known = ["Bearer", "ApiKey"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| token.trim())
}

pub(super) fn long_lived(name: &str, role: Role, now: DateTime<Utc>) -> NewKey {
    let expires = now.checked_add_signed(LONG_LIFETIME).unwrap_or(DateTime::<Utc>::MAX_UTC);
    NewKey { name: name.to_owned(), description: None, role, expires: expires.trunc_subsecs(0) }
}
