//! Converts Spartera's answers in every known form.

use api_keyring_transport::Secret;
use api_keyring_transport::json::{self, FromJson as _};
use serde_json::Value;
use spartera_raw::types;

use crate::model::extra::{Documented, Extra};
use crate::model::key::{Details, ReportedStatus, unreadable};
use crate::vendor::call::{Call, RawResult, is_code_of};
use crate::vendor::recover;
use crate::vendor::rows::{Malformed, Table, count, key_id};
use crate::vendor::times::{WithoutExpiry, expiry, moment};
use crate::{ApiKey, IssuedKey, KeyStatus, Page, PageRequest, Result};

/// The names of a key's id, in the SDK documentation and in the reference guide.
const IDS: [&str; 2] = ["api_key_id", "id"];

/// Returns whether a text has the form of a secret: `sk_…`, or `ep_…` for a key that belongs to an endpoint, and long
/// enough.
pub(super) fn looks_like_secret(text: &str) -> bool {
    let rest = text.strip_prefix("sk_").or_else(|| text.strip_prefix("ep_"));
    rest.is_some_and(|rest| rest.len() >= 16 && !rest.contains("***"))
}

/// Returns whether the body of a failure is Spartera's: an object with a code and a message.
pub(super) fn is_failure(status: u16, body: &Value) -> bool {
    let code = body.get("code").unwrap_or(&Value::Null);
    body.get("message").is_some_and(Value::is_string) && (code.is_string() || is_code_of(status, code))
}

/// Converts a key. If the documented fields are missing, it reads the reference guide's fields.
pub(super) fn key(call: &Call<'_>, raw: types::ApiKey) -> Result<ApiKey, Malformed> {
    let mut extra = raw.extra;
    let id = key_id(ids(raw.api_key_id, raw.id), &extra)?;
    let unreadable = unreadable(&extra, types::ApiKey::FIELDS);
    // A rotation finds its keys by a mark in the name, so a name counts even if a part of it is broken.
    let name = raw.name.or_else(|| Some(json::lossy_text(extra.get_raw("name")?)?.into_owned()));
    let times = [("expiration_date_utc", raw.expiration_date_utc), ("expires_at", raw.expires_at)];
    let expires_at = expiry(times, &extra, WithoutExpiry::Never);
    let reported_status = match raw.status {
        Some(word) => ReportedStatus::Explicit(status(&word)),
        None if extra.contains("status") => ReportedStatus::Explicit(KeyStatus::Unknown),
        None => ReportedStatus::NotReported,
    };
    recover::mask(&mut extra, looks_like_secret);
    let text = |text: Option<String>| text.map(|text| Documented::Text(recover::masked(text, looks_like_secret)));
    let extra = Extra::new(
        extra,
        [
            ("endpoint_id", text(raw.endpoint_id)),
            ("mcp_deployment_id", text(raw.mcp_deployment_id)),
            ("is_system_generated", raw.is_system_generated.map(Documented::Bool)),
            ("rate_limit", raw.rate_limit.map(Documented::Number)),
            (
                "permissions",
                raw.permissions.map(|texts| Documented::Texts(recover::all_masked(texts, looks_like_secret))),
            ),
        ],
    );
    let details = Details {
        name,
        description: raw.description,
        scope: raw.company_id,
        role: raw.role_id.map(|role| match role {
            types::AnsweredRoleId::Number(number) => number.to_string(),
            types::AnsweredRoleId::Text(text) => text,
        }),
        owner: raw.user_id,
        created_at: moment([raw.date_created, raw.created_at]),
        updated_at: moment([raw.last_updated]),
        expires_at,
        last_used_at: moment([raw.last_used]),
        never_expires_by_default: true,
        reported_status,
        masked_secret: raw.key.map(Secret::into_masked),
        kind: raw.key_type,
        extra,
        unreadable,
        as_of: None,
    };
    Ok(ApiKey::new(call.provider, id, details))
}

fn status(word: &str) -> KeyStatus {
    let words = [
        ("active", KeyStatus::Active),
        ("expired", KeyStatus::Expired),
        ("revoked", KeyStatus::Revoked),
        ("inactive", KeyStatus::Inactive),
        ("deactivated", KeyStatus::Inactive),
        ("disabled", KeyStatus::Inactive),
    ];
    words.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map_or(KeyStatus::Unknown, |(_, status)| *status)
}

/// Returns the names and values of the fields that may hold an id.
#[inline]
fn ids(
    documented: Option<types::AnsweredApiKeyId>,
    guide: Option<types::AnsweredApiKeyId>,
) -> [(&'static str, Option<String>); 2] {
    let text = |id: Option<types::AnsweredApiKeyId>| match id? {
        types::AnsweredApiKeyId::Number(number) => Some(number.to_string()),
        types::AnsweredApiKeyId::Text(text) => Some(text),
    };
    [(IDS[0], text(documented)), (IDS[1], text(guide))]
}

/// Converts a new key. The secret may be anywhere in the answer.
pub(super) fn issued(call: &Call<'_>, answer: types::CreateApiKeyResponse) -> Result<IssuedKey> {
    let types::CreateApiKeyResponse { data, extra, .. } = answer;
    let id = key_id(ids(data.api_key_id.clone(), data.id.clone()), data.extra.expose());
    let documented = data.key.as_ref().filter(|key| !key.is_empty() && !key.is_masked());
    let secret =
        documented.cloned().or_else(|| recover::secret_among([data.extra.expose(), extra.expose()], looks_like_secret));
    let rest = || recover::as_text(extra.expose(), Some(("data", data.extra.expose())));
    let (id, secret) = call.issued(id.map_err(|malformed| call.malformed(malformed)), secret, rest)?;
    Ok(IssuedKey::new(id, secret, None))
}

/// Converts a page of keys. A malformed row becomes one error.
pub(super) fn page(
    call: &Call<'_>,
    request: &PageRequest,
    max_bytes: usize,
    result: RawResult<types::ListApiKeysResponse, types::Error>,
) -> Result<Page> {
    let (answer, size): (types::ListApiKeysResponse, _) = call.answer_with_size(result)?;
    let table = Table { request, ids: &IDS, max_bytes, size };
    let page = call.page(&table, answer.data, |raw| key(call, raw));
    Ok(match answer.meta {
        None => page,
        Some(meta) => page.with_total(count(meta.total, &meta.extra, "total")).with_page_size(count(
            meta.per_page,
            &meta.extra,
            "per_page",
        )),
    })
}
