//! Spartera's seven operations.

use std::cmp::Ordering;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::value::RawValue;

use super::answer::{Changed, Envelope, Meta};
use super::input::{Changes, ListQuery, NewKey, SortBy, SortOrder, read_reason};
use super::state::{Company, Key, Revocation};
use crate::changes::ChangeKind;
use crate::fault::PageFault;
use crate::http::Answer;
use crate::permission::{Caller, Permission};
use crate::refusal::Refusal;
use crate::route::{Call, Operation};
use crate::service::{OperationInput, OperationOutput};
use crate::settings::{Revision, SparteraShape};
use crate::store::Row;

impl Company {
    /// Performs an operation, if the request's credential allows it.
    pub(crate) fn handle(&mut self, call: &Call, input: &OperationInput<'_>) -> OperationOutput {
        let now = input.now;
        let (caller, result) = match self.authenticate(input.headers, now) {
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
            Operation::Get => self.get(id, input.now),
            Operation::Update => self.update(id, input, by),
            Operation::Delete => self.delete(id, input, by),
            Operation::Revoke => self.revoke(id, input, by),
            Operation::Stats => self.stats(id, input.now),
            Operation::Regenerate => Err(Refusal::PathNotFound),
        }
    }

    fn list(&mut self, input: &OperationInput<'_>) -> Result<Answer, Refusal> {
        let query = match self.settings.revision {
            Revision::Documented => None,
            Revision::Current => Some(ListQuery::read(input.query)?),
        };
        self.keys.begin_list();
        let mut keys = self.keys.listed();
        let (total, page, per_page) = match query {
            None => (keys.len(), 1, keys.len()),
            Some(query) => {
                if let Some(search) = &query.search {
                    let search = search.to_lowercase();
                    keys.retain(|key| is_match(key, &search));
                }
                if let Some(by) = query.sort_by {
                    // The sort is stable, so equal keys stay in creation order.
                    keys.sort_by(|one, other| compare(one, other, by));
                }
                if query.order == SortOrder::Descending {
                    keys.reverse();
                }
                (keys.len(), query.page, PageFault::length(input.effects.page, query.limit))
            }
        };
        let before = (page - 1).saturating_mul(per_page);
        if PageFault::is_missing(input.effects.page, total, before) {
            return Err(Refusal::KeyNotFound);
        }
        let keys = PageFault::page(input.effects.page, keys, before, per_page);
        let meta = (self.settings.spartera_shape == SparteraShape::Guide).then_some(Meta { total, page, per_page });
        let data = keys.iter().map(|key| self.key_json(key, input.now));
        let meta = meta.as_ref().map(|meta| ("meta", meta));
        Ok(Answer::list(Some("API keys retrieved"), "data", data, input.effects.odd_row, meta))
    }

    fn create(&mut self, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let new = NewKey::read(input.headers, input.body, &self.id, input.now)?;
        if input.effects.is_full(self.keys.len()) {
            return Err(match self.settings.revision {
                Revision::Documented => Refusal::field("company_id", "has as many API keys as it may have"),
                Revision::Current => Refusal::Conflict("API key quota exceeded"),
            });
        }
        let (id, secret) = self.issue(new, input.effects, input.now);
        self.record_change(ChangeKind::Created, &id, Some(by), input.now);
        let key = self.find(&id)?;
        let data = self.created_model(key, secret, input.now);
        Ok(Answer::ok(&Envelope { message: "API key created", data, meta: None }))
    }

    fn get(&self, id: &str, now: DateTime<Utc>) -> Result<Answer, Refusal> {
        let data = self.key_json(self.find(id)?, now);
        Ok(Answer::ok(&Envelope { message: "API key retrieved", data, meta: None }))
    }

    fn update(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let Changes(changes) = Changes::read(input.headers, input.body, &self.id, input.now)?;
        let revision = self.settings.revision;
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?.edit();
        if key.revocation.is_some() {
            return Err(match revision {
                Revision::Documented => Refusal::field("api_key_id", "has been revoked"),
                Revision::Current => Refusal::Conflict("API key has been revoked"),
            });
        }
        key.role = changes.role.unwrap_or(key.role);
        key.key_type = changes.key_type.unwrap_or(key.key_type);
        key.is_system_generated = changes.is_system_generated.unwrap_or(key.is_system_generated);
        key.rate_limit = changes.rate_limit.unwrap_or(key.rate_limit);
        replace(&mut key.user_id, changes.user_id);
        replace(&mut key.name, changes.name);
        replace(&mut key.description, changes.description);
        replace(&mut key.expires, changes.expires);
        replace(&mut key.endpoint_id, changes.endpoint_id);
        replace(&mut key.mcp_deployment_id, changes.mcp_deployment_id);
        replace(&mut key.permissions, changes.permissions);
        key.updated = input.now.trunc_subsecs(0);
        self.record_change(ChangeKind::Updated, id, Some(by), input.now);
        Ok(changed("API key updated", id))
    }

    fn delete(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let key = self.remove(id, input.effects).ok_or(Refusal::KeyNotFound)?;
        self.record_change_to(ChangeKind::Deleted, &key, Some(by), input.now);
        Ok(changed("API key deleted", id))
    }

    fn revoke(&mut self, id: &str, input: &OperationInput<'_>, by: &Caller) -> Result<Answer, Refusal> {
        let reason = read_reason(input.headers, input.body, &self.id)?;
        self.end_secret(id, input.effects);
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?.edit();
        // A second revoke changes nothing: the first reason is the true one.
        if key.revocation.is_none() {
            key.revocation = Some(Revocation { reason });
            key.updated = input.now.trunc_subsecs(0);
            self.record_change(ChangeKind::Revoked, id, Some(by), input.now);
        }
        Ok(changed("API key revoked", id))
    }

    fn stats(&self, id: &str, now: DateTime<Utc>) -> Result<Answer, Refusal> {
        let key = self.find(id)?;
        let message = "API key usage retrieved";
        Ok(match self.settings.revision {
            Revision::Documented => Answer::ok(&Envelope { message, data: [self.key_model(key, now)], meta: None }),
            Revision::Current => Answer::ok(&Envelope { message, data: self.stats_model(key, now), meta: None }),
        })
    }

    /// Returns the key's JSON, which list and get show.
    fn key_json<'a>(&'a self, key: &'a Row<Key>, now: DateTime<Utc>) -> &'a RawValue {
        key.json(key.is_expired(now), || self.key_model(key, now))
    }

    fn find(&self, id: &str) -> Result<&Row<Key>, Refusal> {
        self.keys.get(id).ok_or(Refusal::KeyNotFound)
    }
}

fn changed(message: &'static str, id: &str) -> Answer {
    Answer::ok(&Envelope { message, data: Changed { api_key_id: id }, meta: None })
}

fn replace<T>(field: &mut Option<T>, change: Option<T>) {
    if change.is_some() {
        *field = change;
    }
}

/// Returns whether the name or description contains `search`, which is in lower case.
fn is_match(key: &Key, search: &str) -> bool {
    [&key.name, &key.description].into_iter().flatten().any(|text| text.to_lowercase().contains(search))
}

fn compare(one: &Key, other: &Key, by: SortBy) -> Ordering {
    match by {
        SortBy::Name => one.name.cmp(&other.name),
        SortBy::User => one.user_id.cmp(&other.user_id),
        SortBy::Role => super::role_id(one.role).cmp(&super::role_id(other.role)),
        SortBy::Created => one.created.cmp(&other.created),
        SortBy::Updated => one.updated.cmp(&other.updated),
        SortBy::Expires => one.expires.cmp(&other.expires),
        SortBy::LastUsed => one.usage.last.cmp(&other.usage.last),
    }
}
