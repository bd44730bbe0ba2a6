//! What an engineer writes: reqwest and serde.

use std::time::Duration;

use anyhow::Result;

use super::{Target, plain};
use crate::Request;
use crate::bodies::{CREDENTIAL, Shape};

pub(super) async fn call(target: &Target, count: usize) -> Result<usize> {
    let Target { shape, request, url, key } = target;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .connect_timeout(Duration::from_secs(10))
        .user_agent("hand-written/1.0")
        .build()?;
    let (list, mut keys) = (format!("{url}{}", shape.list_path()), 0);
    for _ in 0..count {
        let request_builder = match request {
            Request::Get => http.get(format!("{list}/{key}")),
            Request::Page if *shape == Shape::Monad => http.get(&list).query(&[("limit", 100), ("offset", 0)]),
            Request::Page => http.get(&list).query(&[("limit", 100), ("page", 1)]),
        };
        let answer = request_builder.header("x-api-key", CREDENTIAL).send().await?.error_for_status()?;
        keys += plain::decode(*shape, *request, &answer.bytes().await?)?;
    }
    Ok(keys)
}
