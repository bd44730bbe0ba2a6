//! The facade.

use std::hint::black_box;

use anyhow::Result;
use api_keyring::{KeyId, Monad, PageRequest, Provider, Spartera};

use super::Target;
use crate::Request;
use crate::bodies::{CREDENTIAL, SCOPE, Shape};

pub(super) async fn call(target: &Target, count: usize) -> Result<usize> {
    let Target { shape, request, url, key } = target;
    match shape {
        Shape::Monad => {
            let monad = Monad::builder().organization_id(SCOPE).api_key(CREDENTIAL).base_url(url).build()?;
            ask(&monad, *request, key, count).await
        }
        Shape::Spartera | Shape::SparteraGuide => {
            let spartera = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(url).build()?;
            ask(&spartera, *request, key, count).await
        }
    }
}

async fn ask(provider: &dyn Provider, request: Request, key: &str, count: usize) -> Result<usize> {
    let (id, mut keys) = (key.parse::<KeyId>()?, 0);
    let page = PageRequest::first(100);
    for _ in 0..count {
        match request {
            Request::Get => {
                black_box(provider.get(&id).await?);
                keys += 1;
            }
            Request::Page => {
                for key in provider.list_page(&page).await?.keys {
                    black_box(key?);
                    keys += 1;
                }
            }
        }
    }
    Ok(keys)
}
