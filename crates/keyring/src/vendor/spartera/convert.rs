//! Converts Spartera's answers in every known form.

use std::collections::BTreeMap;

use api_keyring_transport::{Secret, SecretValue};
use serde_json::{Map, Value};
use spartera_raw::types;

use crate::model::key::{Details, ReportedStatus};
use crate::vendor::call::{Call, RawResult, is_code_of};
use crate::vendor::recover;
use crate::{ApiKey, IssuedKey, KeyId, KeyStatus, Page, Result};

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
pub(super) fn key(call: &Call<'_>, raw: types::ApiKey) -> Result<ApiKey> {
    let id = key_id(call, raw.api_key_id.or(raw.id))?;
    let mut extra = Map::from_iter(raw.extra);
    let mut keep = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            extra.insert(name.to_owned(), value);
        }
    };
    keep("endpoint_id", raw.endpoint_id.map(Value::from));
    keep("mcp_deployment_id", raw.mcp_deployment_id.map(Value::from));
    keep("is_system_generated", raw.is_system_generated.map(Value::from));
    keep("rate_limit", raw.rate_limit.map(Value::from));
    keep("permissions", raw.permissions.map(Value::from));
    let description = match extra.get("description") {
        Some(Value::String(_)) => extra.remove("description"),
        _ => None,
    };
    extra.values_mut().for_each(|value| recover::mask(value, looks_like_secret));
    let details = Details {
        name: raw.name,
        description: description.and_then(|text| text.as_str().map(str::to_owned)),
        scope: raw.company_id,
        role: raw.role_id.map(|role| role.to_string()),
        owner: raw.user_id,
        created_at: raw.date_created.or(raw.created_at),
        updated_at: raw.last_updated,
        expires_at: raw.expiration_date_utc.or(raw.expires_at),
        last_used_at: raw.last_used,
        never_expires_by_default: true,
        reported_status: raw
            .status
            .as_deref()
            .map_or(ReportedStatus::NotReported, |word| ReportedStatus::Explicit(status(word))),
        masked_secret: raw.key.as_ref().map(Secret::masked),
        kind: raw.key_type,
        extra,
        as_of: None,
    };
    Ok(ApiKey::new(&call.provider.into(), id, details))
}

fn status(word: &str) -> KeyStatus {
    match word.to_ascii_lowercase().as_str() {
        "active" => KeyStatus::Active,
        "expired" => KeyStatus::Expired,
        "revoked" => KeyStatus::Revoked,
        "inactive" | "deactivated" | "disabled" => KeyStatus::Inactive,
        _ => KeyStatus::Unknown,
    }
}

fn key_id(call: &Call<'_>, id: Option<types::AnsweredApiKeyId>) -> Result<KeyId> {
    let id = id.ok_or_else(|| call.unexpected("a key in the answer has no id"))?;
    id.to_string().parse().map_err(|why| call.unexpected("a key in the answer has an invalid id").caused_by(why))
}

/// Converts a new key. The secret may be anywhere in the answer.
pub(super) fn issued(call: &Call<'_>, answer: types::CreateApiKeyResponse) -> Result<IssuedKey> {
    let types::CreateApiKeyResponse { data, extra, .. } = answer;
    let id = key_id(call, data.api_key_id.or(data.id));
    let documented = data.key.as_ref().filter(|key| !key.is_empty() && !key.is_masked());
    let secret = documented.cloned().or_else(|| {
        let unknown = data.extra.iter().chain(&extra).map(|(name, value)| (name.as_str(), value.expose()));
        recover::secret_among(unknown, looks_like_secret)
    });
    let rest = || {
        let open = |fields: &BTreeMap<String, SecretValue>| {
            fields.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect::<Map<_, _>>()
        };
        let mut rest = open(&extra);
        let inner = open(&data.extra);
        if !inner.is_empty() {
            rest.insert("data".to_owned(), Value::Object(inner));
        }
        recover::as_text(rest)
    };
    let (id, secret) = call.issued(id, secret, rest)?;
    Ok(IssuedKey::new(id, secret, None))
}

/// Converts a page of keys. A malformed row becomes one error.
pub(super) fn page(call: &Call<'_>, result: RawResult<types::ListApiKeysResponse, types::Error>) -> Result<Page> {
    let (answer, rows) = call.list_rows(result, "data", |answer| std::mem::take(&mut answer.data))?;
    let meta = answer.meta.as_ref();
    let keys = rows.into_iter().map(|row| row.and_then(|raw| key(call, raw))).collect();
    Ok(Page::new(keys)
        .with_total(meta.and_then(|meta| meta.total?.try_into().ok()))
        .with_page_size(meta.and_then(|meta| meta.per_page?.try_into().ok())))
}
