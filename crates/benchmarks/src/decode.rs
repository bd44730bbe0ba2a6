//! Decoding alone, as the clients decode an answer of the documented form.

use std::hint::black_box;

use anyhow::{Result, bail};
use api_keyring_transport::json::FromJson;
use api_keyring_transport::runtime::{AtOnce, Whole};
use monad_raw::{Rows, types as monad};
use spartera_raw::types as spartera;

use crate::bodies::Shape;
use crate::clients::plain;
use crate::{Client, Request};

/// Decodes a page `count` times, and returns how many keys that were.
pub(crate) fn decode(client: Client, shape: Shape, body: &[u8], count: usize) -> Result<usize> {
    let mut keys = 0;
    for _ in 0..count {
        keys += match (client, shape) {
            (Client::HandWritten, _) => plain::decode(shape, Request::Page, body)?,
            (Client::Raw, Shape::Monad) => rows(at_once::<monad::ApiKeyList>(body)?.api_keys)?,
            (Client::Raw, _) => rows([at_once::<spartera::ListApiKeysResponse>(body)?.data])?,
            _ => bail!("only the hand-written and the raw client decode without a request"),
        };
    }
    Ok(keys)
}

fn at_once<T: for<'de> AtOnce<'de>>(body: &[u8]) -> Result<T> {
    let Whole(value) = serde_json::from_str(std::str::from_utf8(body)?)?;
    Ok(value)
}

fn rows<T: FromJson>(rows: impl IntoIterator<Item = Rows<T>>) -> Result<usize> {
    let mut keys = 0;
    for key in rows.into_iter().flatten() {
        black_box(key?);
        keys += 1;
    }
    Ok(keys)
}
