//! What generated code needs for its requests.

use std::borrow::Cow;

use reqwest::RequestBuilder;
use serde::Serialize;

/// Extends reqwest's request builder for generated code.
pub trait RequestBuilderExt {
    /// Sends a JSON body, or no body if it would be an empty object. Operations with an optional body use this.
    fn json_unless_empty<T: Serialize + ?Sized>(self, body: &T) -> RequestBuilder;
}

impl RequestBuilderExt for RequestBuilder {
    fn json_unless_empty<T: Serialize + ?Sized>(self, body: &T) -> RequestBuilder {
        match serde_json::to_vec(body) {
            Ok(text) if text == b"{}" => self,
            // reqwest serializes the body again, and `build` returns its error if that fails.
            _ => self.json(body),
        }
    }
}

/// Encodes an id for a path. The ids of every specification need no encoding.
pub fn encode_path(id: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b'.' | b'~');
    // Without an early exit, the compiler looks at many bytes at once.
    match id.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        true => Cow::Borrowed(id),
        false => Cow::Owned(progenitor_client::encode_path(id)),
    }
}
