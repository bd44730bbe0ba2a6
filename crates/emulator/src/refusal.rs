//! Why a request is not done.
//!
//! Both services refuse for the same reasons, and each has its own words and its own form of body: those are in the
//! services' `answer` modules.

use std::collections::BTreeMap;

use hyper::StatusCode;

/// What is wrong with each field or parameter.
pub(crate) type Problems = BTreeMap<&'static str, Vec<String>>;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// No such path on this service.
    PathNotFound,
    /// The path exists, but not with this method; `allow` lists those that it has.
    MethodNotAllowed { allow: String },
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body broke off, or was not framed properly.
    BodyBroken,
    /// The body is longer than the emulator reads.
    BodyTooLarge,
    /// No credential, or one that does not work (any more).
    Unauthenticated,
    /// The key belongs to another company or organization than the path says.
    WrongScope,
    /// The key's role does not cover the operation.
    NotPermitted,
    /// The body is not declared as JSON, or there must not be one.
    UnsupportedMediaType,
    /// The body is not JSON, or not an object.
    InvalidJson(String),
    /// The body is an object, but does not fit the schema.
    InvalidFields(Problems),
    /// The query does not fit the schema.
    InvalidQuery(Problems),
    /// No key with this id.
    KeyNotFound,
    /// The key's present state does not allow it.
    Conflict(&'static str),
    /// Well formed, but it makes no sense for this key.
    Unprocessable(&'static str),
    /// A fault: there is nothing wrong with the request. `retry_after` stands in the body.
    Injected { status: StatusCode, retry_after: Option<u64> },
}

impl Refusal {
    pub(crate) fn field(name: &'static str, problem: &str) -> Self {
        Self::InvalidFields(BTreeMap::from([(name, vec![problem.to_owned()])]))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::PathNotFound | Self::KeyNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::WrongScope | Self::NotPermitted => StatusCode::FORBIDDEN,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyBroken | Self::InvalidJson(_) | Self::InvalidFields(_) | Self::InvalidQuery(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Injected { status, .. } => *status,
        }
    }

    /// Whether part of the request may still be on its way, so that the connection cannot be used again.
    pub(crate) fn leaves_unread_body(&self) -> bool {
        matches!(self, Self::BodyTooSlow | Self::BodyBroken | Self::BodyTooLarge)
    }
}
