//! The bodies and queries of Spartera's operations.

use chrono::{DateTime, Utc};
use hyper::header::HeaderMap;

use crate::fields::Fields;
use crate::parameters::Parameters;
use crate::permission::Role;
use crate::refusal::Refusal;
use crate::timestamp;

/// Returns the default type of a key that belongs to an endpoint, to an MCP deployment, or to neither.
pub(super) fn default_key_type(endpoint_id: Option<&str>, mcp_deployment_id: Option<&str>) -> &'static str {
    match (endpoint_id, mcp_deployment_id) {
        (Some(_), _) => "endpoint",
        (None, Some(_)) => "mcp",
        (None, None) => "analytics",
    }
}

/// Returns the key type with this name.
pub(super) fn key_type(name: &str) -> Option<&'static str> {
    ["analytics", "mcp", "endpoint"].into_iter().find(|known| *known == name)
}

/// The body of create.
pub(super) struct NewKey {
    pub(super) role: Role,
    pub(super) user_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) endpoint_id: Option<String>,
    pub(super) mcp_deployment_id: Option<String>,
    pub(super) key_type: &'static str,
    pub(super) is_system_generated: bool,
    pub(super) rate_limit: Option<i64>,
    pub(super) permissions: Option<Vec<String>>,
}

impl NewKey {
    /// Returns a key with only a name and a role.
    pub(super) fn named(name: &str, role: Role) -> Self {
        Self {
            role,
            user_id: None,
            name: Some(name.to_owned()),
            description: None,
            expires: None,
            endpoint_id: None,
            mcp_deployment_id: None,
            key_type: "analytics",
            is_system_generated: false,
            rate_limit: None,
            permissions: None,
        }
    }

    pub(super) fn read(headers: &HeaderMap, body: &[u8], company: &str, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let mut fields = Fields::read(headers, body)?;
        fields.require(&["company_id", "role_id"]);
        let common = Common::read(&mut fields, company, Some(now));
        let default_type = default_key_type(common.endpoint_id.as_deref(), common.mcp_deployment_id.as_deref());
        fields.finish(Self {
            // This default is never used, because `finish` reports a missing role.
            role: common.role.unwrap_or(Role::Reader),
            user_id: common.user_id,
            name: common.name,
            description: common.description,
            expires: common.expires,
            endpoint_id: common.endpoint_id,
            mcp_deployment_id: common.mcp_deployment_id,
            key_type: common.key_type.unwrap_or(default_type),
            is_system_generated: common.is_system_generated.unwrap_or(false),
            rate_limit: common.rate_limit,
            permissions: common.permissions,
        })
    }
}

/// The body of update. A field that is `None` stays unchanged.
pub(super) struct Changes(pub(super) Common);

impl Changes {
    pub(super) fn read(headers: &HeaderMap, body: &[u8], company: &str, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let mut fields = Fields::read(headers, body)?;
        let common = Common::read(&mut fields, company, Some(now));
        fields.finish(Self(common))
    }
}

/// The fields that create, update and revoke share.
pub(super) struct Common {
    pub(super) role: Option<Role>,
    pub(super) user_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) endpoint_id: Option<String>,
    pub(super) mcp_deployment_id: Option<String>,
    pub(super) key_type: Option<&'static str>,
    pub(super) is_system_generated: Option<bool>,
    pub(super) rate_limit: Option<i64>,
    pub(super) permissions: Option<Vec<String>>,
}

impl Common {
    /// Reads the fields. An expiry must be later than `after`, if `after` is given.
    fn read(fields: &mut Fields, company: &str, after: Option<DateTime<Utc>>) -> Self {
        check_company(fields, company);
        // Both names are checked, even if only one counts.
        let [documented, guide] = ["expiration_date_utc", "expires_at"].map(|name| match after {
            Some(after) => fields.future(name, timestamp::parse_either, after),
            None => fields.time(name, timestamp::parse_either),
        });
        let rate_limit = fields.integer("rate_limit");
        if rate_limit.is_some_and(|limit| limit < 1) {
            fields.refuse("rate_limit", "must be at least 1");
        }
        Self {
            role: read_role(fields),
            user_id: fields.text("user_id"),
            name: fields.text("name"),
            description: fields.text("description"),
            expires: documented.or(guide),
            endpoint_id: fields.text("endpoint_id"),
            mcp_deployment_id: fields.text("mcp_deployment_id"),
            key_type: read_key_type(fields),
            is_system_generated: fields.boolean("is_system_generated"),
            rate_limit,
            permissions: fields.texts("permissions"),
        }
    }
}

/// Reads the body of revoke, which is create's body with a reason. Only the reason has an effect.
pub(super) fn read_reason(headers: &HeaderMap, body: &[u8], company: &str) -> Result<Option<String>, Refusal> {
    let mut fields = Fields::read(headers, body)?;
    fields.require(&["company_id", "role_id"]);
    // The expiry is the key's own, which may have passed.
    Common::read(&mut fields, company, None);
    let reason = fields.text("reason");
    fields.finish(reason)
}

/// The parameters of a list.
pub(super) struct ListQuery {
    pub(super) page: usize,
    pub(super) limit: usize,
    /// `None` means creation order.
    pub(super) sort_by: Option<SortBy>,
    pub(super) order: SortOrder,
    pub(super) search: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SortOrder {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SortBy {
    Name,
    User,
    Role,
    Created,
    Updated,
    Expires,
    LastUsed,
}

/// The fields of both shapes by which a list can be sorted. Ids are in creation order, so they need no sorting.
const SORTABLE: &[(&str, Option<SortBy>)] = &[
    ("api_key_id", None),
    ("id", None),
    ("name", Some(SortBy::Name)),
    ("user_id", Some(SortBy::User)),
    ("role_id", Some(SortBy::Role)),
    ("date_created", Some(SortBy::Created)),
    ("created_at", Some(SortBy::Created)),
    ("last_updated", Some(SortBy::Updated)),
    ("expiration_date_utc", Some(SortBy::Expires)),
    ("expires_at", Some(SortBy::Expires)),
    ("last_used", Some(SortBy::LastUsed)),
];

impl ListQuery {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut parameters = Parameters::new(query);
        let list = Self {
            page: parameters.number("page", 1..=usize::MAX, 1),
            limit: parameters.number("limit", 1..=100, 20),
            sort_by: parameters.choice("sort_by", SORTABLE, None),
            order: parameters.choice(
                "sort_order",
                &[("asc", SortOrder::Ascending), ("desc", SortOrder::Descending)],
                SortOrder::Ascending,
            ),
            search: parameters.text("search").filter(|search| !search.is_empty()),
        };
        parameters.finish(list)
    }
}

fn check_company(fields: &mut Fields, company: &str) {
    if fields.text("company_id").is_some_and(|given| given != company) {
        fields.refuse("company_id", "must be the company of the path");
    }
}

fn read_role(fields: &mut Fields) -> Option<Role> {
    let role = super::role(fields.integer("role_id")?);
    if role.is_none() {
        fields.refuse("role_id", "is not a role of this company");
    }
    role
}

fn read_key_type(fields: &mut Fields) -> Option<&'static str> {
    let given = fields.text("key_type")?;
    let known = key_type(&given);
    if known.is_none() {
        fields.refuse("key_type", "must be analytics, mcp or endpoint");
    }
    known
}
