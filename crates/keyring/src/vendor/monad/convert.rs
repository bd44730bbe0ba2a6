//! Converts Monad's answers.

use api_keyring_transport::SecretValue;
use monad_raw::types;
use serde_json::{Map, Value};

use crate::model::key::{Details, ReportedStatus};
use crate::vendor::call::{Call, RawResult, is_code_of};
use crate::vendor::recover;
use crate::{ApiKey, IssuedKey, KeyId, Page, Result};

/// Returns whether a text has the form of a JWT: it starts with the base64 of `{"` and has three parts.
pub(super) fn looks_like_secret(text: &str) -> bool {
    let mut parts = text.split('.');
    let is_part = |part: &str, least| {
        part.len() >= least && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text.starts_with("ey")
        && (0..3).all(|_| parts.next().is_some_and(|part| is_part(part, 8)))
        && parts.next().is_none()
}

/// Returns whether the body of a failure is Monad's: a sentence, or an object with a message, a type and a code.
pub(super) fn is_failure(status: u16, body: &Value) -> bool {
    let is_text = |name| body.get(name).is_some_and(Value::is_string);
    body.is_string()
        || (is_text("error") && is_text("error_type") && body.get("code").is_some_and(|code| is_code_of(status, code)))
}

/// Converts a key.
pub(super) fn key(call: &Call<'_>, raw: types::ApiKey) -> Result<ApiKey> {
    let id = key_id(call, raw.id)?;
    let mut extra = Map::from_iter(raw.extra);
    if let Some(version) = raw.token_version {
        extra.insert("token_version".to_owned(), version.into());
    }
    if let Some(signer) = raw.jwt_signing_key_id {
        extra.insert("jwt_signing_key_id".to_owned(), signer.into());
    }
    extra.values_mut().for_each(|value| recover::mask(value, looks_like_secret));
    let details = Details {
        name: raw.name,
        description: raw.description,
        scope: raw.organization_id,
        role: raw.role_id,
        owner: None,
        created_at: raw.created_at,
        updated_at: raw.updated_at,
        expires_at: raw.expiration_time,
        last_used_at: raw.last_used_at,
        never_expires_by_default: false,
        // Deleting is the only way to end a key before its expiry, and a deleted key is not listed.
        reported_status: ReportedStatus::ActiveIfListed,
        masked_secret: None,
        kind: None,
        extra,
        as_of: None,
    };
    Ok(ApiKey::new(&call.provider.into(), id, details))
}

fn key_id(call: &Call<'_>, id: Option<String>) -> Result<KeyId> {
    let id = id.ok_or_else(|| call.unexpected("a key in the answer has no id"))?;
    id.parse().map_err(|why| call.unexpected("a key in the answer has an invalid id").caused_by(why))
}

/// Converts a new or regenerated key. The token may be anywhere in the answer.
pub(super) fn issued(call: &Call<'_>, answer: types::ApiKeyWithToken) -> Result<IssuedKey> {
    let types::ApiKeyWithToken { extra, token, .. } = &answer;
    let documented = token.clone().filter(|token| !token.is_empty() && !token.is_masked());
    let unknown = || extra.iter().map(|(name, value): (&String, &SecretValue)| (name.as_str(), value.expose()));
    let secret = documented.or_else(|| recover::secret_among(unknown(), looks_like_secret));
    let rest = || {
        recover::as_text(
            extra.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect::<Map<_, _>>(),
        )
    };
    let id = key_id(call, answer.id.clone());
    let (id, secret) = call.issued(id, secret, rest)?;
    // The secret is returned even if the rest of the answer is malformed.
    let key = key(call, without_token(answer)).ok();
    Ok(IssuedKey::new(id, secret, key))
}

/// Returns the key without the unknown fields, because one of them may hold the token.
fn without_token(answer: types::ApiKeyWithToken) -> types::ApiKey {
    types::ApiKey {
        created_at: answer.created_at,
        description: answer.description,
        expiration_time: answer.expiration_time,
        id: answer.id,
        jwt_signing_key_id: answer.jwt_signing_key_id,
        last_used_at: answer.last_used_at,
        name: answer.name,
        organization_id: answer.organization_id,
        role_id: answer.role_id,
        token_version: answer.token_version,
        updated_at: answer.updated_at,
        extra: std::collections::BTreeMap::<String, Value>::new(),
    }
}

/// Converts a page of keys. A malformed row becomes one error.
pub(super) fn page(call: &Call<'_>, result: RawResult<types::ApiKeyList, types::Error>) -> Result<Page> {
    let (answer, rows) = call
        .list_rows(result, "api_keys", |answer: &mut types::ApiKeyList| answer.api_keys.take().unwrap_or_default())?;
    let pagination = answer.pagination.as_ref();
    let keys = rows.into_iter().map(|row| row.and_then(|raw| key(call, raw))).collect();
    Ok(Page::new(keys)
        .with_total(pagination.and_then(|pagination| pagination.total?.try_into().ok()))
        .with_page_size(pagination.and_then(|pagination| pagination.limit?.try_into().ok())))
}
