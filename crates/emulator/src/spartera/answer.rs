//! Spartera's answers: its models in both shapes, and its errors.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::state::{Company, Key};
use crate::http::Answer;
use crate::permission::Role;
use crate::refusal::{self, Problems, Refusal};
use crate::settings::{Revision, SparteraShape};
use crate::timestamp::{rfc3339, spaced};

/// The form of every success.
#[derive(Serialize)]
pub(super) struct Envelope<T> {
    pub(super) message: &'static str,
    pub(super) data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Meta>,
}

/// The page of a list in the reference guide's shape.
#[derive(Serialize)]
pub(super) struct Meta {
    pub(super) total: usize,
    pub(super) page: usize,
    pub(super) per_page: usize,
}

/// The key that an operation has changed. The id is text here, even if the key model has a number.
#[derive(Serialize)]
pub(super) struct Changed<'a> {
    pub(super) api_key_id: &'a str,
}

/// A key in either shape.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum KeyModel<'a> {
    Documented(DocumentedKey<'a>),
    Guide(GuideKey<'a>),
}

/// A key in the SDK documentation's shape, which leaves out unset fields.
#[derive(Serialize)]
pub(super) struct DocumentedKey<'a> {
    api_key_id: KeyId<'a>,
    company_id: &'a str,
    role_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date_utc: Option<String>,
    date_created: String,
    last_updated: String,
    #[serde(flatten)]
    current: Option<CurrentFields<'a>>,
}

/// The id in the key model: a number, unless a saved state gave the key another id.
#[derive(Serialize)]
#[serde(untagged)]
enum KeyId<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> From<&'a str> for KeyId<'a> {
    fn from(id: &'a str) -> Self {
        // JSON has no numbers such as 007 and +7; as a number they would become another id.
        let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
        number.map_or(Self::Text(id), Self::Number)
    }
}

/// The fields that only the current description has, and the key's status.
#[derive(Serialize)]
struct CurrentFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_deployment_id: Option<&'a str>,
    key_type: &'static str,
    is_system_generated: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<&'a str>,
}

/// A key in the reference guide's shape, in which unset fields are null.
#[derive(Serialize)]
pub(super) struct GuideKey<'a> {
    id: &'a str,
    name: Option<&'a str>,
    key: &'a str,
    created_at: String,
    expires_at: Option<String>,
    last_used: Option<String>,
    status: &'static str,
    rate_limit: i64,
    permissions: Permissions<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Permissions<'a> {
    Given(&'a [String]),
    OfRole(&'static [&'static str]),
}

impl<'a> Permissions<'a> {
    fn new(given: Option<&'a Vec<String>>, role: Role) -> Self {
        match given {
            Some(given) => Self::Given(given),
            None => Self::OfRole(role.permissions()),
        }
    }
}

/// A key with its usage.
#[derive(Serialize)]
pub(super) struct StatsModel<'a> {
    #[serde(flatten)]
    key: KeyModel<'a>,
    usage_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
    failed_attempts: u64,
}

impl Company {
    pub(super) fn key_model<'a>(&'a self, key: &'a Key, now: DateTime<Utc>) -> KeyModel<'a> {
        let status = key.status(now).as_str();
        let is_current = self.settings.revision == Revision::Current;
        let revocation_reason =
            key.revocation.as_ref().and_then(|revocation| revocation.reason.as_deref()).filter(|_| is_current);
        match self.settings.spartera_shape {
            SparteraShape::Documented => KeyModel::Documented(DocumentedKey {
                api_key_id: KeyId::from(key.id.as_str()),
                company_id: &self.id,
                role_id: super::role_id(key.role),
                user_id: key.user_id.as_deref(),
                name: key.name.as_deref(),
                key: &key.masked,
                expiration_date_utc: key.expires.map(spaced),
                date_created: spaced(key.created),
                last_updated: spaced(key.updated),
                current: is_current.then_some(CurrentFields {
                    endpoint_id: key.endpoint_id.as_deref(),
                    mcp_deployment_id: key.mcp_deployment_id.as_deref(),
                    key_type: key.key_type,
                    is_system_generated: key.is_system_generated,
                    status,
                    revocation_reason,
                }),
            }),
            SparteraShape::Guide => KeyModel::Guide(GuideKey {
                id: &key.id,
                name: key.name.as_deref(),
                key: &key.masked,
                created_at: rfc3339(key.created),
                expires_at: key.expires.map(rfc3339),
                last_used: key.usage.last.map(rfc3339),
                status,
                rate_limit: key.rate_limit,
                permissions: Permissions::new(key.permissions.as_ref(), key.role),
                description: key.description.as_deref(),
                revocation_reason,
            }),
        }
    }

    pub(super) fn stats_model<'a>(&'a self, key: &'a Key, now: DateTime<Utc>) -> StatsModel<'a> {
        let key_model = self.key_model(key, now);
        // The guide's shape already has `last_used`.
        let last_used = match key_model {
            KeyModel::Documented(_) => key.usage.last.map(spaced),
            KeyModel::Guide(_) => None,
        };
        StatsModel { key: key_model, usage_count: key.usage.count, last_used, failed_attempts: key.usage.failed }
    }

    /// Returns create's answer, the only one that contains the secret.
    pub(super) fn created_model(&self, key: &Key, secret: String, now: DateTime<Utc>) -> Map<String, Value> {
        let mut data = match self.settings.spartera_shape {
            SparteraShape::Documented => Map::from_iter([("api_key_id".to_owned(), Value::from(key.id.as_str()))]),
            SparteraShape::Guide => match serde_json::to_value(self.key_model(key, now)) {
                Ok(Value::Object(data)) => data,
                _ => Map::new(),
            },
        };
        // The secret replaces the masked key.
        data.remove("key");
        if let Some(field) = &self.settings.spartera_secret_field {
            data.insert(field.clone(), Value::from(secret));
        }
        data
    }
}

/// The form of every error.
#[derive(Serialize)]
struct ErrorModel<'a> {
    code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a Problems>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// Returns the error for `refusal` in Spartera's words.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let message = match refusal {
        Refusal::PathNotFound => "Path not found",
        Refusal::MethodNotAllowed { .. } => "Method not allowed",
        Refusal::BodyTooSlow => "Request timed out",
        Refusal::BodyBroken => "Request body is incomplete",
        Refusal::BodyTooLarge => "Request body is too large",
        Refusal::TooManyBodies => "Too many request bodies at once",
        Refusal::ForeignHost => refusal::FOREIGN_HOST,
        Refusal::ForeignOrigin => refusal::FOREIGN_ORIGIN,
        Refusal::Unauthenticated => "Authentication required",
        Refusal::WrongScope | Refusal::NotPermitted => "Permission denied",
        Refusal::UnsupportedMediaType => "Request body must be application/json",
        Refusal::InvalidJson(_) | Refusal::InvalidFields(_) | Refusal::InvalidQuery(_) => "Invalid input",
        Refusal::KeyNotFound => "Resource not found",
        Refusal::Conflict(message) | Refusal::Unprocessable(message) => message,
        Refusal::Injected { status, .. } => status.canonical_reason().unwrap_or("Unknown error"),
    };
    let whole_body;
    let errors = match refusal {
        Refusal::InvalidFields(problems) | Refusal::InvalidQuery(problems) => Some(problems),
        Refusal::InvalidJson(problem) => {
            whole_body = Problems::from([("body", vec![problem.clone()])]);
            Some(&whole_body)
        }
        _ => None,
    };
    let retry_after = match refusal {
        Refusal::Injected { retry_after, .. } => *retry_after,
        _ => None,
    };
    Answer::refused(refusal, &ErrorModel { code: refusal.status().as_u16(), message, errors, retry_after })
}
