//! Converts Monad's answers.

use api_keyring_transport::RawFields;
use api_keyring_transport::json::{self, FromJson as _};
use monad_raw::types;
use serde_json::Value;

use crate::model::extra::{Documented, Extra};
use crate::model::key::{Details, ReportedStatus, unreadable};
use crate::vendor::call::{Call, RawResult, is_code_of};
use crate::vendor::recover;
use crate::vendor::rows::{Malformed, Table, count, key_id};
use crate::vendor::times::{WithoutExpiry, expiry, moment};
use crate::{ApiKey, IssuedKey, Page, PageRequest, Result};

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
pub(super) fn key(call: &Call<'_>, raw: types::ApiKey) -> Result<ApiKey, Malformed> {
    let mut extra = raw.extra;
    let id = key_id([("id", raw.id)], &extra)?;
    let unreadable = unreadable(&extra, types::ApiKey::FIELDS);
    // A rotation finds its keys by a mark in the name, so a name counts even if a part of it is broken.
    let name = raw.name.or_else(|| Some(json::lossy_text(extra.get_raw("name")?)?.into_owned()));
    // Every key expires, so a zero time means that the expiry is not known.
    let expires_at = expiry([("expiration_time", raw.expiration_time)], &extra, WithoutExpiry::NotKnown);
    recover::mask(&mut extra, looks_like_secret);
    let extra = Extra::new(
        extra,
        [
            ("token_version", raw.token_version.map(Documented::Number)),
            (
                "jwt_signing_key_id",
                raw.jwt_signing_key_id.map(|signer| Documented::Text(recover::masked(signer, looks_like_secret))),
            ),
        ],
    );
    let details = Details {
        name,
        description: raw.description,
        scope: raw.organization_id,
        role: raw.role_id,
        owner: None,
        created_at: moment([raw.created_at]),
        updated_at: moment([raw.updated_at]),
        expires_at,
        last_used_at: moment([raw.last_used_at]),
        never_expires_by_default: false,
        // Deleting is the only way to end a key before its expiry, and a deleted key is not listed.
        reported_status: ReportedStatus::ActiveIfListed,
        masked_secret: None,
        kind: None,
        extra,
        unreadable,
        as_of: None,
    };
    Ok(ApiKey::new(call.provider, id, details))
}

/// Converts a new or regenerated key. The token may be anywhere in the answer.
pub(super) fn issued(call: &Call<'_>, answer: types::ApiKeyWithToken) -> Result<IssuedKey> {
    let types::ApiKeyWithToken { extra, token, .. } = &answer;
    let documented = token.clone().filter(|token| !token.is_empty() && !token.is_masked());
    let secret = documented.or_else(|| recover::secret_among([extra.expose()], looks_like_secret));
    let rest = || recover::as_text(extra.expose(), None);
    let id = key_id([("id", answer.id.clone())], extra.expose()).map_err(|malformed| call.malformed(malformed));
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
        extra: RawFields::new(),
    }
}

/// Converts a page of keys. A malformed row becomes one error.
pub(super) fn page(
    call: &Call<'_>,
    request: &PageRequest,
    max_bytes: usize,
    result: RawResult<types::ApiKeyList, types::Error>,
) -> Result<Page> {
    let (answer, size): (types::ApiKeyList, _) = call.answer_with_size(result)?;
    let table = Table { request, ids: &["id"], max_bytes, size };
    let page = call.page(&table, answer.api_keys.unwrap_or_default(), |raw| key(call, raw));
    Ok(match answer.pagination {
        None => page,
        Some(at) => {
            page.with_total(count(at.total, &at.extra, "total")).with_page_size(count(at.limit, &at.extra, "limit"))
        }
    })
}
