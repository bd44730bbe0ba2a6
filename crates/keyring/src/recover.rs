//! Finding a secret where no documentation says it is.

use api_keyring_transport::{Secret, SecretValue};
use serde_json::{Map, Value};

/// Whether a text has the form of a vendor's secrets.
pub(crate) type LooksLikeSecret = fn(&str) -> bool;

/// Names under which vendors are known to put secrets.
const CUSTOMARY_NAMES: [&str; 8] =
    ["key", "api_key", "apiKey", "token", "secret", "secret_key", "access_token", "plaintext_key"];

/// The one secret among `fields`: the only text that has a secret's form, or else the only one under a customary name.
/// `None` where there is none or no telling which.
pub(crate) fn secret_among<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Value)>,
    looks_like_secret: LooksLikeSecret,
) -> Option<Secret> {
    let mut texts = Vec::new();
    for (name, value) in fields {
        collect(name, value, &mut texts);
    }
    texts.retain(|(_, text)| !text.is_empty() && !text.contains('*'));
    let by_form = only(texts.iter().filter(|(_, text)| looks_like_secret(text)));
    by_form.or_else(|| only(texts.iter().filter(|(name, _)| CUSTOMARY_NAMES.contains(name)))).map(Secret::new)
}

/// The one secret in a JSON text.
pub(crate) fn secret_in_text(text: &Secret, looks_like_secret: LooksLikeSecret) -> Option<Secret> {
    let value: Value = serde_json::from_str(text.expose()).ok()?;
    secret_among(std::iter::once(("", &value)), looks_like_secret)
}

/// The fields that nobody can explain, as a JSON object; `None` where there are none.
pub(crate) fn fields(fields: impl Iterator<Item = (String, SecretValue)>) -> Option<Secret> {
    let fields: Map<String, Value> = fields.map(|(name, value)| (name, value.expose().clone())).collect();
    (!fields.is_empty()).then(|| Secret::new(Value::Object(fields).to_string()))
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
            json!({"token": "sk_live_1", "secret": "another"}),
            json!("sk_live_1"),
        ] {
            assert_eq!(find(&answer).as_deref(), Some("sk_live_1"), "{answer}");
        }
        assert_eq!(find(&json!({"api_key": "odd-form", "message": "created"})).as_deref(), Some("odd-form"));
    }

    #[test]
    fn there_is_no_guessing() {
        for answer in [
            json!({}),
            json!({"a": "sk_live_1", "b": "sk_live_2"}),
            json!({"key": "sk_****1234"}),
            json!({"key": ""}),
            json!({"token": "one", "secret": "two"}),
            json!({"message": "created", "status": "active"}),
            json!(["x", 1, null]),
        ] {
            assert_eq!(find(&answer), None, "{answer}");
        }
    }
}
