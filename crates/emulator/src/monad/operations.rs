//! Monad's six operations.

use super::answer::{KeyList, KeyWithToken, Pagination};
use super::input::{Changes, ListQuery, read_expiry};
use super::state::{Key, NewKey, Organization, stamp};
use crate::http::Answer;
use crate::permission::Permission;
use crate::refusal::Refusal;
use crate::route::{Call, Operation};
use crate::service::{Handled, Question};
use crate::settings::Revision;

impl Organization {
    /// Answers a request that has reached one of the operations.
    pub(crate) fn handle(&mut self, call: &Call, question: &Question<'_>) -> Handled {
        let (caller, result) = match self.authenticate(question.headers, question.now) {
            Ok(caller) => {
                let result = self
                    .authorize(&caller, &call.scope, Permission::needed_for(call.operation))
                    .and_then(|()| self.perform(call, question));
                (Some(caller), result)
            }
            Err(refusal) => (None, Err(refusal)),
        };
        Handled { caller, result }
    }

    fn perform(&mut self, call: &Call, question: &Question<'_>) -> Result<Answer, Refusal> {
        let id = call.key_id.as_str();
        match call.operation {
            Operation::List => self.list(question),
            Operation::Create => self.create(question),
            Operation::Get => Ok(Answer::ok(&self.key_model(self.find(id)?))),
            Operation::Update => self.update(id, question),
            Operation::Delete => self.delete(id),
            Operation::Regenerate => match self.settings.revision {
                Revision::Documented => self.replace(id, question),
                Revision::Current => self.regenerate_in_place(id, question),
            },
            Operation::Revoke | Operation::Stats => Err(Refusal::PathNotFound),
        }
    }

    fn list(&self, question: &Question<'_>) -> Result<Answer, Refusal> {
        let ListQuery { limit, offset } = ListQuery::read(question.query)?;
        let api_keys = self.keys.iter().skip(offset).take(limit).map(|key| self.key_model(key)).collect();
        let pagination = Pagination { limit, offset, total: self.keys.len() };
        Ok(Answer::ok(&KeyList { api_keys, pagination }))
    }

    fn create(&mut self, question: &Question<'_>) -> Result<Answer, Refusal> {
        let new = NewKey::read(question.headers, question.body, question.now)?;
        let (id, token) = self.issue(new, question.now);
        self.with_token(&id, &token)
    }

    fn update(&mut self, id: &str, question: &Question<'_>) -> Result<Answer, Refusal> {
        let changes = Changes::read(question.headers, question.body, self.settings.revision)?;
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?;
        if let Some(name) = changes.name {
            key.name = name;
        }
        if changes.description.is_some() {
            key.description = changes.description;
        }
        key.updated = stamp(question.now);
        Ok(Answer::ok(&self.key_model(self.find(id)?)))
    }

    fn delete(&mut self, id: &str) -> Result<Answer, Refusal> {
        self.keys.remove(id).ok_or(Refusal::KeyNotFound)?;
        Ok(Answer::ok(&"API key deleted successfully"))
    }

    /// The documented way: a new key with the old one's metadata, expiry included, and the old one is gone.
    fn replace(&mut self, id: &str, question: &Question<'_>) -> Result<Answer, Refusal> {
        if !question.body.is_empty() {
            return Err(Refusal::UnsupportedMediaType);
        }
        let old = self.keys.remove(id).ok_or(Refusal::KeyNotFound)?;
        let new = NewKey { name: old.name, description: old.description, role: old.role, expires: old.expires };
        let (id, token) = self.issue(new, question.now);
        self.with_token(&id, &token)
    }

    /// The current way: the same key with a new secret.
    fn regenerate_in_place(&mut self, id: &str, question: &Question<'_>) -> Result<Answer, Refusal> {
        let expires = read_expiry(question.headers, question.body, question.now)?;
        let key = self.keys.get_mut(id).ok_or(Refusal::KeyNotFound)?;
        if expires.is_none() && key.is_expired(question.now) {
            return Err(Refusal::Unprocessable("API key has expired: an expiration_time is needed"));
        }
        key.expires = expires.unwrap_or(key.expires);
        key.token_version += 1;
        key.updated = stamp(question.now);
        let token = self.token(self.find(id)?, question.now);
        self.with_token(id, &token)
    }

    fn with_token(&self, id: &str, token: &str) -> Result<Answer, Refusal> {
        let key = self.key_model(self.find(id)?);
        Ok(Answer::ok(&KeyWithToken { key, token }))
    }

    fn find(&self, id: &str) -> Result<&Key, Refusal> {
        self.keys.get(id).ok_or(Refusal::KeyNotFound)
    }
}
