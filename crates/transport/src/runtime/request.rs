//! What generated code does with request builders beyond reqwest's own methods.

use reqwest::RequestBuilder;
use serde::Serialize;

/// Adds to a request what reqwest has no method for.
pub trait RequestBuilderExt {
    /// Sends a JSON body, or no body at all where it would be an empty object: for operations whose body is optional.
    fn json_unless_empty<T: Serialize + ?Sized>(self, body: &T) -> RequestBuilder;
}

impl RequestBuilderExt for RequestBuilder {
    fn json_unless_empty<T: Serialize + ?Sized>(self, body: &T) -> RequestBuilder {
        match serde_json::to_vec(body) {
            Ok(text) if text == b"{}" => self,
            // Written once more by reqwest, which also keeps a failure to write for `build` to return.
            _ => self.json(body),
        }
    }
}
