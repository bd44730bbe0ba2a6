//! Finds a secret in an undocumented place of an answer.

use api_keyring_transport::{Secret, SecretValue};
use serde_json::{Map, Value};

/// Returns whether a text has the form of a vendor's secrets.
pub(crate) type LooksLikeSecret = fn(&str) -> bool;

/// Field names that vendors commonly use for secrets.
const COMMON_NAMES: [&str; 8] =
    ["key", "api_key", "apiKey", "token", "secret", "secret_key", "access_token", "plaintext_key"];

/// Field names of free text or of references to a secret. Their values are never taken for the secret.
const OTHER_NAMES: [&str; 5] = ["name", "description", "message", "status", "permissions"];

/// Returns the secret in `fields`, or `None` if it finds no candidate or several.
///
/// A text is a candidate because of its form or its field name. One candidate by form and another by name are two
/// candidates.
pub(crate) fn secret_among<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Value)>,
    looks_like_secret: LooksLikeSecret,
) -> Option<Secret> {
    let mut texts = Vec::new();
    for (name, value) in fields {
        collect(name, value, &mut texts);
    }
    let is_candidate = |name: &str, text: &str| {
        let points_elsewhere = OTHER_NAMES.contains(&name) || name.ends_with("_id") || name.contains("prefix");
        !points_elsewhere && (looks_like_secret(text) || COMMON_NAMES.contains(&name))
    };
    texts.retain(|(name, text)| is_candidate(name, text) && !text.is_empty() && !Secret::new(*text).is_masked());
    only(texts.iter()).map(Secret::new)
}

/// Returns the secret in a JSON text.
pub(crate) fn secret_in_text(text: &Secret, looks_like_secret: LooksLikeSecret) -> Option<Secret> {
    let value = SecretValue::new(serde_json::from_str(text.expose()).ok()?);
    secret_among(std::iter::once(("", value.expose())), looks_like_secret)
}

/// Returns the fields as one JSON text, which is secret because one of the fields may be. `None` if there are no
/// fields.
pub(crate) fn as_text(fields: Map<String, Value>) -> Option<Secret> {
    let is_empty = fields.is_empty();
    let fields = SecretValue::new(Value::Object(fields));
    (!is_empty).then(|| Secret::new(fields.expose().to_string()))
}

/// Masks everything in a value that looks like a secret.
pub(crate) fn mask(value: &mut Value, looks_like_secret: LooksLikeSecret) {
    match value {
        Value::String(text) if looks_like_secret(text) => *text = Secret::new(std::mem::take(text)).masked(),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, looks_like_secret)),
        Value::Object(fields) => fields.values_mut().for_each(|field| mask(field, looks_like_secret)),
        _ => {}
    }
}

fn collect<'a>(name: &'a str, value: &'a Value, texts: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => texts.push((name, text)),
        Value::Array(items) => items.iter().for_each(|item| collect(name, item, texts)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(name, value, texts)),
        _ => {}
    }
}

/// Returns the text if all of `texts` are the same.
fn only<'a>(mut texts: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Option<&'a str> {
    let (_, first) = texts.next()?;
    texts.all(|(_, other)| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(value: &Value) -> Option<String> {
        let secret = secret_among(std::iter::once(("", value)), |text| text.starts_with("sk_"));
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_only_candidate_is_found_anywhere() {
        for answer in [
            json!({"whatever": "sk_live_1"}),
            json!({"data": {"deep": [{"er": "sk_live_1"}]}, "message": "ok"}),
            json!({"api_key": "sk_live_1", "copy": "sk_live_1", "masked": "sk_****"}),
            json!({"endpoint_id": "sk_live_2", "name": "sk_live_3", "key_prefix": "sk_live_", "any": "sk_live_1"}),
            json!("sk_live_1"),
        ] {
            assert_eq!(find(&answer).as_deref(), Some("sk_live_1"), "{answer}");
        }
        assert_eq!(find(&json!({"api_key": "odd-form", "message": "created"})).as_deref(), Some("odd-form"));
        assert_eq!(find(&json!({"api_key": "odd*form"})).as_deref(), Some("odd*form"));
    }

    #[test]
    fn several_candidates_yield_no_secret() {
        for answer in [
            json!({}),
            json!({"a": "sk_live_1", "b": "sk_live_2"}),
            json!({"a": "sk_live_1", "api_key": "odd-form"}),
            json!({"key": "sk_****1234"}),
            json!({"key": ""}),
            json!({"token": "one", "secret": "two"}),
            json!({"message": "created", "status": "active", "key_id": "sk_live_1"}),
            json!(["x", 1, null]),
        ] {
            assert_eq!(find(&answer), None, "{answer}");
        }
    }
}
