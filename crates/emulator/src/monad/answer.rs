//! Monad's answers: its models and its errors.

use serde::Serialize;

use super::state::{Key, Organization};
use crate::http::Answer;
use crate::refusal::{self, Problems, Refusal};
use crate::settings::{MonadErrorShape, Revision, Settings};
use crate::timestamp::rfc3339;

#[derive(Serialize)]
pub(super) struct KeyModel<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    organization_id: &'a str,
    role_id: &'static str,
    created_at: String,
    updated_at: String,
    expiration_time: String,
    #[serde(flatten)]
    current: Option<CurrentFields<'a>>,
}

/// The fields that only the current description has.
#[derive(Serialize)]
struct CurrentFields<'a> {
    token_version: u64,
    jwt_signing_key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

/// A key with its secret, which create and regenerate return.
#[derive(Serialize)]
pub(super) struct KeyWithToken<'a> {
    #[serde(flatten)]
    pub(super) key: KeyModel<'a>,
    pub(super) token: &'a str,
}

/// The page of a list.
#[derive(Serialize)]
pub(super) struct Pagination {
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) total: usize,
}

impl Organization {
    pub(super) fn key_model<'a>(&'a self, key: &'a Key) -> KeyModel<'a> {
        KeyModel {
            id: &key.id,
            name: &key.name,
            description: key.description.as_deref(),
            organization_id: &self.id,
            role_id: super::role_id(key.role),
            created_at: rfc3339(key.created),
            updated_at: rfc3339(key.updated),
            expiration_time: rfc3339(key.expires),
            current: (self.settings.revision == Revision::Current).then(|| CurrentFields {
                token_version: key.token_version,
                jwt_signing_key_id: &self.signing_key.id,
                last_used_at: key.last_used.map(rfc3339),
            }),
        }
    }
}

/// An error in the form of the service's other operations.
#[derive(Serialize)]
struct ErrorObject<'a> {
    error: &'a str,
    error_type: &'static str,
    code: u16,
    additional_details: Option<&'a Problems>,
}

/// Returns the error for `refusal` in Monad's words.
pub(crate) fn refused(settings: &Settings, refusal: &Refusal) -> Answer {
    let message = message(refusal);
    match settings.monad_error_shape {
        MonadErrorShape::Text => Answer::refused(refusal, &message),
        MonadErrorShape::Object => Answer::refused(
            refusal,
            &ErrorObject {
                error: &message,
                error_type: error_type(refusal),
                code: refusal.status().as_u16(),
                additional_details: match refusal {
                    Refusal::InvalidFields(problems) | Refusal::InvalidQuery(problems) => Some(problems),
                    _ => None,
                },
            },
        ),
    }
}

fn message(refusal: &Refusal) -> String {
    let message = match refusal {
        Refusal::PathNotFound => "Path not found",
        Refusal::MethodNotAllowed { .. } => "Method not allowed",
        Refusal::BodyTooSlow => "Request timed out",
        Refusal::BodyBroken => "Request body is incomplete",
        Refusal::BodyTooLarge => "Request body is too large",
        Refusal::TooManyBodies => "Too many request bodies at once",
        Refusal::ForeignHost => refusal::FOREIGN_HOST,
        Refusal::ForeignOrigin => refusal::FOREIGN_ORIGIN,
        Refusal::Unauthenticated => "Unauthorized",
        Refusal::WrongScope | Refusal::NotPermitted => "Forbidden",
        Refusal::UnsupportedMediaType => "Unsupported media type",
        Refusal::InvalidJson(problem) => return format!("Invalid JSON request body: {problem}"),
        Refusal::InvalidFields(problems) => return format!("Invalid JSON request body: {}", describe(problems)),
        Refusal::InvalidQuery(problems) => return format!("Invalid query: {}", describe(problems)),
        Refusal::KeyNotFound => "API key not found",
        Refusal::Conflict(message) | Refusal::Unprocessable(message) => message,
        Refusal::Injected { status, .. } => status.canonical_reason().unwrap_or("Unknown error"),
    };
    message.to_owned()
}

fn describe(problems: &Problems) -> String {
    let problems: Vec<_> =
        problems.iter().map(|(name, problems)| format!("{name} {}", problems.join(" and "))).collect();
    problems.join(", ")
}

fn error_type(refusal: &Refusal) -> &'static str {
    match refusal.status().as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        422 => "unprocessable_entity",
        429 => "too_many_requests",
        500.. => "internal_error",
        _ => "bad_request",
    }
}
