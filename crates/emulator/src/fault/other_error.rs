//! Errors in another form that the vendors document.

use hyper::StatusCode;
use serde_json::{Value, json};

/// Writes a service's error in the vendor's other form.
pub(super) fn change(value: &mut Value, status: StatusCode) {
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    let kind = status.canonical_reason().unwrap_or("Unknown error").to_ascii_lowercase().replace([' ', '-'], "_");
    match value.take() {
        // Monad: text becomes an object, and an object becomes text.
        Value::String(message) => {
            *value = json!({
                "error": message, "error_type": kind, "code": status.as_u16(), "additional_details": null,
            });
        }
        Value::Object(mut object) => match object.remove("error") {
            Some(message) => *value = message,
            // Spartera: the code is text.
            None => {
                object.insert("code".to_owned(), kind.into());
                *value = object.into();
            }
        },
        other => *value = other,
    }
}
