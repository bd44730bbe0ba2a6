//! Finds a secret in an undocumented place of an answer.

use api_keyring_transport::{RawFields, Secret, json};

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
    fields: impl IntoIterator<Item = &'a RawFields>,
    looks_like_secret: LooksLikeSecret,
) -> Option<Secret> {
    let mut candidates = Candidates { looks_like_secret, found: Found::None };
    for (name, value) in fields.into_iter().flat_map(RawFields::iter) {
        candidates.look(&name, value);
    }
    candidates.only()
}

/// Returns the secret in a JSON text.
pub(crate) fn secret_in_text(text: &Secret, looks_like_secret: LooksLikeSecret) -> Option<Secret> {
    // A text that is not JSON could be read in more than one way.
    serde_json::from_str::<serde::de::IgnoredAny>(text.expose()).ok()?;
    let mut candidates = Candidates { looks_like_secret, found: Found::None };
    candidates.look("", text.expose());
    candidates.only()
}

/// Returns the fields as one JSON text, which is secret because one of the fields may be. The fields in `inner` belong
/// to the field of that name. `None` if there are no fields.
pub(crate) fn as_text(outer: &RawFields, inner: Option<(&str, &RawFields)>) -> Option<Secret> {
    let inner = inner.filter(|(_, fields)| !fields.is_empty());
    match inner {
        None => (!outer.is_empty()).then(|| Secret::new(outer.to_json())),
        Some((name, fields)) => {
            let outer = Secret::new(outer.to_json());
            let start = outer.expose().strip_suffix('}')?;
            let comma = if start == "{" { "" } else { "," };
            Some(Secret::new(format!("{start}{comma}\"{name}\":{}}}", Secret::new(fields.to_json()).expose())))
        }
    }
}

/// Masks a text if it looks like a secret.
pub(crate) fn masked(text: String, looks_like_secret: LooksLikeSecret) -> String {
    if looks_like_secret(&text) { Secret::new(text).masked() } else { text }
}

/// Masks the texts that look like secrets.
pub(crate) fn all_masked(texts: Vec<String>, looks_like_secret: LooksLikeSecret) -> Vec<String> {
    texts.into_iter().map(|text| masked(text, looks_like_secret)).collect()
}

/// Masks everything in the fields that looks like a secret.
pub(crate) fn mask(fields: &mut RawFields, looks_like_secret: LooksLikeSecret) {
    fields.replace_texts(|text| looks_like_secret(text).then(|| Secret::new(text).masked()));
}

struct Candidates {
    looks_like_secret: LooksLikeSecret,
    found: Found,
}

enum Found {
    None,
    One(Secret),
    Several,
}

impl Candidates {
    /// Looks for candidates in a field's value.
    fn look(&mut self, name: &str, json: &str) {
        json::texts(name, json, |name, text| {
            let points_elsewhere = OTHER_NAMES.contains(&name) || name.ends_with("_id") || name.contains("prefix");
            let is_candidate = !points_elsewhere && ((self.looks_like_secret)(&text) || COMMON_NAMES.contains(&name));
            let text = Secret::new(text.into_owned());
            if !is_candidate || text.is_empty() || text.is_masked() {
                return;
            }
            self.found = match std::mem::replace(&mut self.found, Found::None) {
                Found::None => Found::One(text),
                Found::One(first) if first == text => Found::One(first),
                Found::One(_) | Found::Several => Found::Several,
            };
        });
    }

    fn only(self) -> Option<Secret> {
        match self.found {
            Found::One(secret) => Some(secret),
            Found::None | Found::Several => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn find(value: &Value) -> Option<String> {
        let secret = secret_in_text(&value.to_string().into(), |text| text.starts_with("sk_"));
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
