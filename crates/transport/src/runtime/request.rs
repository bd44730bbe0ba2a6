//! A method of request builders that generated code needs and reqwest does not have.

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
