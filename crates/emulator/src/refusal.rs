//! The reasons for which a service refuses a request.
//!
//! Both services refuse for the same reasons. Each has its own words and its own form of body, which are in its
//! `answer` module.

use std::collections::BTreeMap;

use hyper::StatusCode;

/// The message for a request to the emulator's own paths that names another host.
pub(crate) const FOREIGN_HOST: &str = "The Host header must be the emulator's own address: 127.0.0.1, localhost or \
    [::1], with its port";

/// The message for a request to the emulator's own paths that comes from another web page.
pub(crate) const FOREIGN_ORIGIN: &str = "The Origin header shows a web page of another origin, which must not use these \
    paths";

/// The problems of each field or parameter.
pub(crate) type Problems = BTreeMap<&'static str, Vec<String>>;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The service has no such path.
    PathNotFound,
    /// The path exists, but not with this method; `allow` lists its methods.
    MethodNotAllowed { allow: String },
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body broke off, or its framing is invalid.
    BodyBroken,
    /// The body is longer than the emulator reads.
    BodyTooLarge,
    /// The credential is missing, or it does not work or no longer works.
    Unauthenticated,
    /// The key does not belong to the company or organization of the path.
    WrongScope,
    /// The key's role does not cover the operation.
    NotPermitted,
    /// The content type is not JSON, or the operation allows no body.
    UnsupportedMediaType,
    /// The body is not JSON, or it is not an object.
    InvalidJson(String),
    /// The body is an object, but it does not match the schema.
    InvalidFields(Problems),
    /// The query does not match the schema.
    InvalidQuery(Problems),
    /// No key has this id.
    KeyNotFound,
    /// The key's state does not allow the operation.
    Conflict(&'static str),
    /// The request is well formed, but it makes no sense for this key.
    Unprocessable(&'static str),
    /// All bodies together hold too much.
    TooManyBodies,
    /// A request to the emulator's own paths names another host.
    ForeignHost,
    /// A request to the emulator's own paths comes from a web page of another origin.
    ForeignOrigin,
    /// A fault refuses the request, which is valid. `retry_after` appears in the body.
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
            Self::WrongScope | Self::NotPermitted | Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyBroken | Self::InvalidJson(_) | Self::InvalidFields(_) | Self::InvalidQuery(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooManyBodies => StatusCode::SERVICE_UNAVAILABLE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Injected { status, .. } => *status,
        }
    }

    /// Returns whether part of the request may still arrive, so that the connection cannot serve another request.
    pub(crate) fn leaves_unread_body(&self) -> bool {
        matches!(self, Self::BodyTooSlow | Self::BodyBroken | Self::BodyTooLarge | Self::TooManyBodies)
    }
}
