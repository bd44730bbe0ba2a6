//! The generated clients.

use std::hint::black_box;

use anyhow::{Result, bail};
use monad_raw::Credential;

use super::Target;
use crate::Request;
use crate::bodies::{CREDENTIAL, SCOPE, Shape};

pub(super) async fn call(target: &Target, count: usize) -> Result<usize> {
    let Target { shape, request, url, key } = target;
    let credential = Credential::api_key(CREDENTIAL)?;
    match shape {
        Shape::Monad => monad(&monad_raw::Client::connect(url, credential)?, *request, key, count).await,
        Shape::Spartera | Shape::SparteraGuide => {
            spartera(&spartera_raw::Client::connect(url, credential)?, *request, key, count).await
        }
    }
}

async fn monad(client: &monad_raw::Client, request: Request, key: &str, count: usize) -> Result<usize> {
    let mut keys = 0;
    for _ in 0..count {
        match request {
            Request::Get => {
                black_box(client.get_api_key().organization_id(SCOPE).api_key_id(key).send().await?);
                keys += 1;
            }
            Request::Page => {
                let page = client.list_api_keys().organization_id(SCOPE).limit(100).offset(0).send().await?;
                let Some(rows) = page.into_inner().api_keys else { bail!("no keys") };
                for key in rows {
                    black_box(key?);
                    keys += 1;
                }
            }
        }
    }
    Ok(keys)
}

async fn spartera(client: &spartera_raw::Client, request: Request, key: &str, count: usize) -> Result<usize> {
    let mut keys = 0;
    for _ in 0..count {
        match request {
            Request::Get => {
                black_box(client.get_api_key().company_id(SCOPE).api_key_id(key).send().await?);
                keys += 1;
            }
            Request::Page => {
                let page = client.list_api_keys().company_id(SCOPE).limit(100).page(1).send().await?;
                for key in page.into_inner().data {
                    black_box(key?);
                    keys += 1;
                }
            }
        }
    }
    Ok(keys)
}
