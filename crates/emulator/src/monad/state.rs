//! An organization and its keys.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use fastrand::Rng;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::token::{Claims, Signer};
use crate::permission::{Permission, Role};
use crate::refusal::Refusal;
use crate::secret;
use crate::settings::Settings;
use crate::store::{Identified, Store};

/// How long the keys work that the emulator makes for itself: longer than any test looks ahead.
const LONG: TimeDelta = TimeDelta::days(36_500);

/// How far the date of last use may lag behind.
const USE_LAG: TimeDelta = TimeDelta::seconds(60);

pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) admin_token: String,
    pub(super) settings: Settings,
    pub(super) keys: Store<Key>,
    pub(super) signing_key_id: String,
    signer: Signer,
    rng: Rng,
}

pub(super) struct Key {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) role: Role,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) expires: DateTime<Utc>,
    pub(super) token_version: u64,
    /// As it is shown: see [`USE_LAG`].
    pub(super) last_used: Option<DateTime<Utc>>,
}

/// What a key is made of.
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
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires <= now
    }
}

impl Organization {
    /// An organization with one key: its administrator's.
    pub(crate) fn new(settings: Settings, mut rng: Rng, now: DateTime<Utc>) -> Self {
        let id = secret::random_uuid(&mut rng);
        let signing_key_id = secret::random_uuid(&mut rng);
        let mut signing_key = [0; 64];
        rng.fill(&mut signing_key);
        let mut organization = Self {
            id,
            admin_token: String::new(),
            settings,
            keys: Store::new(),
            signer: Signer::new(&signing_key, &signing_key_id),
            signing_key_id,
            rng,
        };
        let (_, token) = organization.issue(lasting("administrator", Role::Administrator, now), now);
        organization.admin_token = token;
        organization
    }

    /// Adds `count` keys that only read; returns their ids and tokens.
    pub(crate) fn seed(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(String, String)> {
        (0..count)
            .map(|_| {
                let name = format!("seeded-{:05}", self.keys.len());
                self.issue(lasting(&name, Role::Reader, now), now)
            })
            .collect()
    }

    /// Makes a key; returns its id and token.
    pub(super) fn issue(&mut self, new: NewKey, now: DateTime<Utc>) -> (String, String) {
        let created = stamp(now);
        let key = Key {
            id: secret::random_uuid(&mut self.rng),
            name: new.name,
            description: new.description,
            role: new.role,
            created,
            updated: created,
            expires: new.expires,
            token_version: 1,
            last_used: None,
        };
        let issued = (key.id.clone(), self.token(&key, now));
        self.keys.insert(key);
        issued
    }

    /// The token of the key's present version.
    pub(super) fn token(&self, key: &Key, now: DateTime<Utc>) -> String {
        self.signer.sign(&Claims {
            sub: key.id.clone(),
            organization_id: self.id.clone(),
            token_version: key.token_version,
            iat: now.timestamp(),
            exp: key.expires.timestamp(),
        })
    }

    /// The id of the key whose token the request carries.
    pub(super) fn authenticate(&mut self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<String, Refusal> {
        let token = presented(headers).ok_or(Refusal::Unauthenticated)?;
        let claims = self.signer.verify(token).ok_or(Refusal::Unauthenticated)?;
        let key = self.keys.get_mut(&claims.sub).ok_or(Refusal::Unauthenticated)?;
        if claims.token_version != key.token_version || key.is_expired(now) {
            return Err(Refusal::Unauthenticated);
        }
        if key.last_used.is_none_or(|last| now - last >= USE_LAG) {
            key.last_used = Some(stamp(now));
        }
        Ok(claims.sub)
    }

    /// Whether the key may do this, to this organization.
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

/// The time as it is written into a key.
pub(super) fn stamp(now: DateTime<Utc>) -> DateTime<Utc> {
    now.trunc_subsecs(6)
}

/// The credential that a request carries: in `x-api-key`, or else in `Authorization` as `Bearer` or `ApiKey`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let known = ["Bearer", "ApiKey"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| token.trim())
}

fn lasting(name: &str, role: Role, now: DateTime<Utc>) -> NewKey {
    let expires = now.checked_add_signed(LONG).unwrap_or(DateTime::<Utc>::MAX_UTC);
    NewKey { name: name.to_owned(), description: None, role, expires: expires.trunc_subsecs(0) }
}
