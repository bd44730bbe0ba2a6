//! Finds the operation that a request names.

use std::borrow::Cow;
use std::fmt;

use hyper::Method;

use crate::refusal::Refusal;
use crate::url;

/// One of the emulated services.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Provider {
    /// Spartera: keys of a company.
    Spartera,
    /// Monad: keys of an organization.
    Monad,
}

impl Provider {
    /// Returns the service's name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spartera => "spartera",
            Self::Monad => "monad",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation of a service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// List keys.
    List,
    /// Create a key.
    Create,
    /// Show one key.
    Get,
    /// Change a key's metadata.
    Update,
    /// Delete a key.
    Delete,
    /// Revoke a key, with a reason (Spartera).
    Revoke,
    /// Show the usage of a key (Spartera).
    Stats,
    /// Give a key a new secret (Monad).
    Regenerate,
}

impl Operation {
    /// Returns the operation's name, such as `create_api_key`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list_api_keys",
            Self::Create => "create_api_key",
            Self::Get => "get_api_key",
            Self::Update => "update_api_key",
            Self::Delete => "delete_api_key",
            Self::Revoke => "revoke_api_key",
            Self::Stats => "get_api_key_stats",
            Self::Regenerate => "regenerate_api_key",
        }
    }
}

impl Operation {
    pub(crate) const ALL: [Self; 8] =
        [Self::List, Self::Create, Self::Get, Self::Update, Self::Regenerate, Self::Revoke, Self::Delete, Self::Stats];

    /// Returns the operation's name in a fault's text form.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Revoke => "revoke",
            Self::Stats => "stats",
            Self::Regenerate => "regenerate",
        }
    }

    pub(crate) fn is_offered_by(self, provider: Provider) -> bool {
        match self {
            Self::Revoke | Self::Stats => provider == Provider::Spartera,
            Self::Regenerate => provider == Provider::Monad,
            _ => true,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation with the ids of its path.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The company or organization.
    pub(crate) scope: String,
    /// The key; empty for operations on all keys.
    pub(crate) key_id: String,
}

/// The service and operation that a request names.
///
/// If the path belongs to a service, `provider` is set even if the service has no such operation. The error is then in
/// that service's words.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) provider: Option<Provider>,
    pub(crate) call: Result<Call, Refusal>,
}

type Methods = [(Method, Operation)];

const COLLECTION: &Methods = &[(Method::GET, Operation::List), (Method::POST, Operation::Create)];
const KEY: &Methods =
    &[(Method::GET, Operation::Get), (Method::PATCH, Operation::Update), (Method::DELETE, Operation::Delete)];
const REVOKE: &Methods = &[(Method::POST, Operation::Revoke)];
const STATS: &Methods = &[(Method::GET, Operation::Stats)];
const REGENERATE: &Methods = &[(Method::POST, Operation::Regenerate)];

pub(crate) fn find(method: &Method, path: &str) -> Route {
    let provider = match path.split('/').nth(1) {
        Some("companies") => Some(Provider::Spartera),
        Some("api") => Some(Provider::Monad),
        _ => None,
    };
    Route { provider, call: find_call(method, path) }
}

fn find_call(method: &Method, path: &str) -> Result<Call, Refusal> {
    let segments: Vec<Cow<'_, str>> =
        path.split('/').skip(1).map(url::decode_segment).collect::<Option<_>>().ok_or(Refusal::PathNotFound)?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    if segments.contains(&"") {
        return Err(Refusal::PathNotFound);
    }
    let (methods, scope, key_id) = match segments[..] {
        ["companies", scope, "api-keys"] => (COLLECTION, scope, ""),
        ["companies", scope, "api-keys", key] => (KEY, scope, key),
        ["companies", scope, "api-keys", key, "revoke"] => (REVOKE, scope, key),
        ["companies", scope, "api-keys", key, "stats"] => (STATS, scope, key),
        ["api", "v2", scope, "api_keys"] => (COLLECTION, scope, ""),
        ["api", "v2", scope, "api_keys", key] => (KEY, scope, key),
        ["api", "v2", scope, "api_keys", key, "regenerate"] => (REGENERATE, scope, key),
        _ => return Err(Refusal::PathNotFound),
    };
    match methods.iter().find(|(known, _)| known == method) {
        Some((_, operation)) => Ok(Call { operation: *operation, scope: scope.to_owned(), key_id: key_id.to_owned() }),
        None => {
            let allow: Vec<_> = methods.iter().map(|(known, _)| known.as_str()).collect();
            Err(Refusal::MethodNotAllowed { allow: allow.join(", ") })
        }
    }
}
