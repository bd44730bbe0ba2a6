//! Finding a secret where no documentation says it is.

use api_keyring_transport::{Secret, SecretValue};
use serde_json::{Map, Value};

/// Whether a text has the form of a vendor's secrets.
pub(crate) type LooksLikeSecret = fn(&str) -> bool;

/// Names under which vendors are known to put secrets.
const CUSTOMARY_NAMES: [&str; 8] =
    ["key", "api_key", "apiKey", "token", "secret", "secret_key", "access_token", "plaintext_key"];

/// Names of what people write or what only points to a secret, whatever it looks like.
const OTHER_NAMES: [&str; 5] = ["name", "description", "message", "status", "permissions"];

/// The one secret among `fields`, or `None` where there is none or no telling which.
///
/// A text may be it by its form or by its name. It is taken when there is one candidate only; one by form and another one
/// by name are two.
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
        !points_elsewhere && (looks_like_secret(text) || CUSTOMARY_NAMES.contains(&name))
    };
    texts.retain(|(name, text)| is_candidate(name, text) && !text.is_empty() && !Secret::new(*text).is_masked());
    only(texts.iter()).map(Secret::new)
}

/// The one secret in a JSON text.
pub(crate) fn secret_in_text(text: &Secret, looks_like_secret: LooksLikeSecret) -> Option<Secret> {
    let value = SecretValue::new(serde_json::from_str(text.expose()).ok()?);
    secret_among(std::iter::once(("", value.expose())), looks_like_secret)
}

/// Fields as one JSON text, since one of them may be the secret; `None` where there are none.
pub(crate) fn as_text(fields: Map<String, Value>) -> Option<Secret> {
    let is_empty = fields.is_empty();
    let fields = SecretValue::new(Value::Object(fields));
    (!is_empty).then(|| Secret::new(fields.expose().to_string()))
}

/// Masks whatever in a value looks like a secret.
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

/// The text that all of `texts` are.
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
    fn the_only_candidate_is_found_wherever_it_is() {
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
    fn there_is_no_guessing() {
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
