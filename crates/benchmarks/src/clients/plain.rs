//! The structs that an engineer writes for each vendor's answers. They keep no unknown field.

// A client that somebody writes has these fields, although the comparison does not read all of them.
#![allow(dead_code)]

use std::hint::black_box;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Request;
use crate::bodies::Shape;

#[derive(Deserialize)]
pub(crate) struct MonadKey {
    id: String,
    name: String,
    description: Option<String>,
    organization_id: String,
    role_id: String,
    created_at: String,
    updated_at: String,
    expiration_time: String,
    last_used_at: Option<String>,
    token_version: Option<i64>,
    jwt_signing_key_id: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct MonadPage {
    pub(crate) api_keys: Vec<MonadKey>,
    pagination: MonadPagination,
}

#[derive(Deserialize)]
struct MonadPagination {
    limit: i64,
    offset: i64,
    total: i64,
}

#[derive(Deserialize)]
pub(crate) struct SparteraKey {
    api_key_id: i64,
    company_id: String,
    role_id: i64,
    name: Option<String>,
    description: Option<String>,
    key: String,
    user_id: Option<String>,
    date_created: String,
    last_updated: String,
    expiration_date_utc: Option<String>,
    key_type: String,
    is_system_generated: bool,
    status: String,
}

#[derive(Deserialize)]
pub(crate) struct GuideKey {
    id: String,
    name: Option<String>,
    description: Option<String>,
    key: String,
    created_at: String,
    expires_at: Option<String>,
    last_used: Option<String>,
    status: String,
    rate_limit: i64,
    permissions: Vec<String>,
}

/// Spartera wraps every answer.
#[derive(Deserialize)]
pub(crate) struct Wrapped<T> {
    message: String,
    pub(crate) data: T,
}

/// Decodes an answer, and returns how many keys it holds.
pub(crate) fn decode(shape: Shape, request: Request, body: &[u8]) -> serde_json::Result<usize> {
    match (shape, request) {
        (Shape::Monad, Request::Get) => one::<MonadKey>(body),
        (Shape::Monad, Request::Page) => Ok(black_box(serde_json::from_slice::<MonadPage>(body)?).api_keys.len()),
        (Shape::Spartera, Request::Get) => one::<Wrapped<SparteraKey>>(body),
        (Shape::Spartera, Request::Page) => several::<SparteraKey>(body),
        (Shape::SparteraGuide, Request::Get) => one::<Wrapped<GuideKey>>(body),
        (Shape::SparteraGuide, Request::Page) => several::<GuideKey>(body),
    }
}

fn one<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<usize> {
    black_box(serde_json::from_slice::<T>(body)?);
    Ok(1)
}

fn several<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<usize> {
    Ok(black_box(serde_json::from_slice::<Wrapped<Vec<T>>>(body)?).data.len())
}
