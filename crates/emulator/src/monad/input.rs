//! The bodies and queries of Monad's operations.

use chrono::{DateTime, Utc};
use hyper::header::HeaderMap;

use super::state::NewKey;
use crate::fields::Fields;
use crate::parameters::Parameters;
use crate::permission::Role;
use crate::refusal::Refusal;
use crate::settings::Revision;
use crate::timestamp;

impl NewKey {
    /// Reads the body of create.
    pub(super) fn read(headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Self, Refusal> {
        let mut fields = Fields::read(headers, body)?;
        fields.require(&["name", "role_id", "expiration_time"]);
        let name = fields.filled_text("name");
        let description = fields.text("description");
        let role = read_role(&mut fields);
        let expires = fields.future("expiration_time", timestamp::parse_rfc3339, now);
        // These defaults are never used, because `finish` reports every missing field.
        fields.finish(Self {
            name: name.unwrap_or_default(),
            description,
            role: role.unwrap_or(Role::Reader),
            expires: expires.unwrap_or(now),
        })
    }
}

/// The body of update. A field that is `None` stays unchanged.
pub(super) struct Changes {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

impl Changes {
    pub(super) fn read(headers: &HeaderMap, body: &[u8], revision: Revision) -> Result<Self, Refusal> {
        let mut fields = Fields::read(headers, body)?;
        if revision == Revision::Documented {
            fields.require(&["name"]);
        }
        let name = fields.filled_text("name");
        let description = fields.text("description");
        fields.finish(Self { name, description })
    }
}

/// Reads the optional body of regenerate. Returns the new expiry, if the body has one.
pub(super) fn read_expiry(
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let mut fields = Fields::read_optional(headers, body)?;
    let expires = fields.future("expiration_time", timestamp::parse_rfc3339, now);
    fields.finish(expires)
}

/// The parameters of a list.
pub(super) struct ListQuery {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

impl ListQuery {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut parameters = Parameters::new(query);
        let list = Self {
            limit: parameters.number("limit", 1..=1000, 50),
            offset: parameters.number("offset", 0..=usize::MAX, 0),
        };
        parameters.finish(list)
    }
}

fn read_role(fields: &mut Fields) -> Option<Role> {
    let role = super::role(&fields.text("role_id")?);
    if role.is_none() {
        fields.refuse("role_id", "is not a role of this organization");
    }
    role
}
