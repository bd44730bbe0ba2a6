//! Monad's six operations.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::answer::{KeyWithToken, Pagination};
use super::input::{Changes, ListQuery, read_expiry};
use super::state::{Key, NewKey, Organization, stamp};
use crate::changes::ChangeKind;
use crate::fault::PageFault;
use crate::http::Answer;
use crate::permission::{Caller, Permission};
use crate::refusal::Refusal;
use crate::route::{Call, Operation};
use crate::service::{OperationInput, OperationOutput};
use crate::settings::Revision;
use crate::store::Row;

impl Organization {
    /// Performs an operation, if the request's credential allows it.
    pub(crate) fn handle(&mut self, call: &Call, input: &OperationInput<'_>) -> OperationOutput {
        let (caller, result) = match self.authenticate(input.headers, input.now) {
            Ok(caller) => {
                let result = self
                    .authorize(&caller, &call.scope, Permission::needed_for(call.operation))
                    .and_then(|()| self.perform(call, input, &caller));
                (Some(caller.id), result)
            }
            Err(refusal) => (None, Err(refusal)),
        };
        OperationOutput { caller, result }
    }

    fn perform(&mut self, call: &Call, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let id = call.key_id.as_str();
        match call.operation {
            Operation::List => self.list(input),
            Operation::Create => self.create(input, by),
            Operation::Get => Ok(Answer::ok(self.key_json(self.find(id)?, input.now))),
            Operation::Update => self.update(id, input, by),
            Operation::Delete => self.delete(id, input, by),
            Operation::Regenerate => match self.settings.revision {
                Revision::Documented => self.replace(id, input, by),
                Revision::Current => self.regenerate_in_place(id, input, by),
            },
            Operation::Revoke | Operation::Stats => Err(Refusal::PathNotFound),
        }
    }

    fn list(&mut self, input: &OperationInput<'_>) -> Result<Answer, Refusal> {
        let ListQuery { limit, offset } = ListQuery::read(input.query)?;
        let limit = PageFault::length(input.effects.page, limit);
        self.keys.begin_list();
        let keys = self.keys.listed();
        let pagination = Pagination { limit, offset, total: keys.len() };
        if PageFault::is_missing(input.effects.page, keys.len(), offset) {
            return Err(Refusal::KeyNotFound);
        }
        let page = PageFault::page(input.effects.page, keys, offset, limit);
        let keys = page.iter().map(|key| self.key_json(key, input.now));
        Ok(Answer::list(None, "api_keys", keys, input.effects.odd_row, Some(("pagination", &pagination))))
    }

    fn create(&mut self, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let new = NewKey::read(input.headers, input.body, input.now)?;
        if input.effects.is_full(self.keys.len()) {
            return Err(Refusal::field("organization_id", "has as many API keys as it may have"));
        }
        let (id, token) = self.issue(new, input.effects, input.now);
        self.record_change(ChangeKind::Created, &id, Some(by), input.now);
        self.with_token(&id, &token)
    }

    fn update(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let changes = Changes::read(input.headers, input.body, self.settings.revision)?;
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?.edit();
        if let Some(name) = changes.name {
            key.name = name;
        }
        if changes.description.is_some() {
            key.description = changes.description;
        }
        key.updated = stamp(input.now);
        self.record_change(ChangeKind::Updated, id, Some(by), input.now);
        Ok(Answer::ok(&self.key_model(self.find(id)?)))
    }

    fn delete(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        self.propagation.forget(id);
        self.end_secret(id, input.effects);
        let key = self.keys.remove(id, input.effects.stale_lists).ok_or(Refusal::KeyNotFound)?;
        self.freed_ids.add(id);
        self.record_change_to(ChangeKind::Deleted, &key, None, Some(by), input.now);
        Ok(Answer::ok(&"API key deleted successfully"))
    }

    /// Regenerates as in the documented revision: a new key takes the old one's metadata and expiry, and the old key is
    /// deleted.
    fn replace(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        if !input.body.is_empty() {
            return Err(Refusal::UnsupportedMediaType);
        }
        self.propagation.forget(id);
        self.end_secret(id, input.effects);
        let old = self.keys.remove(id, input.effects.stale_lists).ok_or(Refusal::KeyNotFound)?;
        let new = NewKey { name: old.name, description: old.description, role: old.role, expires: old.expires };
        let (id, token) = self.issue(new, input.effects, input.now);
        // The service makes the new key before it deletes the old one, so the new key does not get the old id.
        self.freed_ids.add(&old.id);
        self.record_change_to(ChangeKind::Regenerated, self.find(&id)?, Some(old.id), Some(by), input.now);
        self.with_token(&id, &token)
    }

    /// Regenerates as in the current revision: the same key gets a new secret.
    fn regenerate_in_place(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let expires = read_expiry(input.headers, input.body, input.now)?;
        if expires.is_none() && self.find(id)?.is_expired(input.now) {
            return Err(Refusal::Unprocessable("API key has expired: an expiration_time is needed"));
        }
        self.end_secret(id, input.effects);
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?.edit();
        key.expires = expires.unwrap_or(key.expires);
        key.token_version += 1;
        key.token_issued = input.now;
        key.updated = stamp(input.now);
        self.begin_secret(id, input.effects);
        self.record_change(ChangeKind::Regenerated, id, Some(by), input.now);
        let token = self.token(self.find(id)?);
        self.with_token(id, &token)
    }

    fn with_token(&self, id: &str, token: &str) -> Result<Answer, Refusal> {
        let key = self.key_model(self.find(id)?);
        Ok(Answer::ok(&KeyWithToken { key, token }))
    }

    /// Returns the key's JSON, which list and get show.
    fn key_json<'a>(&'a self, key: &'a Row<Key>, now: DateTime<Utc>) -> &'a RawValue {
        key.json(key.is_expired(now), || self.key_model(key))
    }

    fn find(&self, id: &str) -> Result<&Row<Key>, Refusal> {
        self.keys.get(id).ok_or(Refusal::KeyNotFound)
    }
}
