//! Decoding alone.

use std::hint::black_box;

use anyhow::{Result, bail};
use api_keyring_transport::json::FromJson;
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
            (Client::Raw, Shape::Monad) => rows(serde_json::from_slice::<monad::ApiKeyList>(body)?.api_keys.iter())?,
            (Client::Raw, _) => rows([serde_json::from_slice::<spartera::ListApiKeysResponse>(body)?.data].iter())?,
            _ => bail!("only the hand-written and the raw client decode without a request"),
        };
    }
    Ok(keys)
}

fn rows<'a, T: FromJson + Clone + 'a>(rows: impl Iterator<Item = &'a Rows<T>>) -> Result<usize> {
    let mut keys = 0;
    for key in rows.flat_map(Rows::iter) {
        black_box(key?);
        keys += 1;
    }
    Ok(keys)
}
