//! JSON schemas of the serialized types.
//!
//! They are written by hand, because the key's `Serialize` is. A test compares each schema with the actual output.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{ApiKey, KeyId, KeyRef, KeyStats, KeyStatus};

impl JsonSchema for ApiKey {
    fn schema_name() -> Cow<'static, str> {
        "ApiKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = "In RFC 3339, or as the vendor wrote it if it is unreadable.";
        json_schema!({
            "description": "An API key as its vendor describes it, without its secret.",
            "type": "object",
            "properties": {
                "provider": { "type": "string", "description": "The name of the key's provider." },
                "id": generator.subschema_for::<KeyId>(),
                "name": { "type": ["string", "null"] },
                "description": { "type": ["string", "null"] },
                "scope": { "type": ["string", "null"], "description": "The company or organization that the key acts for." },
                "role": { "type": ["string", "null"] },
                "owner": { "type": ["string", "null"], "description": "The user who owns the key." },
                "kind": { "type": ["string", "null"], "description": "What the key gives access to." },
                "status": generator.subschema_for::<KeyStatus>(),
                "masked_secret": { "type": ["string", "null"], "description": "The secret with everything but its ends hidden." },
                "created_at": { "type": ["string", "null"], "description": time },
                "updated_at": { "type": ["string", "null"], "description": time },
                "expires_at": { "type": ["string", "null"], "description": time },
                "never_expires": { "type": "boolean", "description": "Whether the key certainly has no expiry." },
                "last_used_at": { "type": ["string", "null"], "description": time },
                "extra": { "type": "object", "description": "The vendor's other fields, unchanged." },
            },
            "required": [
                "provider", "id", "name", "description", "scope", "role", "owner", "kind", "status", "masked_secret",
                "created_at", "updated_at", "expires_at", "never_expires", "last_used_at", "extra",
            ],
        })
    }
}

impl JsonSchema for KeyStats {
    fn schema_name() -> Cow<'static, str> {
        "KeyStats".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A key's usage, as far as its vendor counts it.",
            "type": "object",
            "properties": {
                "usage_count": { "type": ["integer", "null"], "minimum": 0, "description": "The number of requests made with the key." },
                "failed_attempts": { "type": ["integer", "null"], "minimum": 0, "description": "The number of rejected requests made with the key." },
                "last_used_at": { "type": ["string", "null"], "description": "When the key was last used." },
                "key": generator.subschema_for::<ApiKey>(),
            },
            "required": ["usage_count", "failed_attempts", "last_used_at", "key"],
        })
    }
}

impl JsonSchema for KeyStatus {
    fn schema_name() -> Cow<'static, str> {
        "KeyStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whether a key works. More values may follow.",
            "type": "string",
            "examples": ["active", "expired", "revoked", "inactive", "unknown"],
        })
    }
}

impl JsonSchema for KeyId {
    fn schema_name() -> Cow<'static, str> {
        "KeyId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A key's id at its vendor.",
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
        })
    }
}

impl JsonSchema for KeyRef {
    fn schema_name() -> Cow<'static, str> {
        "KeyRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A key's full name: its provider's name and its id.", "type": "string", "pattern": "^[^/]+/.+$" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemars::schema_for;
    use serde_json::{Value, json};

    use super::*;

    /// Checks that `value` fits `schema`. Supports only the keywords that the schemas above use.
    fn assert_fits(value: &Value, schema: &Value, root: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            return assert_fits(value, root.pointer(name.trim_start_matches('#')).unwrap(), root, at);
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let allowed = &schema["type"];
        let fits = *allowed == kind || allowed.as_array().is_some_and(|kinds| kinds.contains(&json!(kind)));
        assert!(fits, "{at} is {kind} and should be {allowed}");
        let (Value::Object(fields), Some(properties)) = (value, schema["properties"].as_object()) else { return };
        let names: Vec<_> = fields.keys().collect();
        assert_eq!(names, properties.keys().collect::<Vec<_>>(), "{at}");
        let mut required: Vec<_> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        required.sort_unstable();
        assert_eq!(names, required, "{at}");
        for (name, property) in properties {
            assert_fits(&fields[name], property, root, &format!("{at}.{name}"));
        }
    }

    fn full() -> ApiKey {
        ApiKey::builder("vault", "7".parse().unwrap())
            .name("ci")
            .description("builds")
            .scope("acme")
            .role("reader")
            .owner("user-7")
            .kind("api")
            .created_at("2026-01-01T00:00:00Z")
            .updated_at("2026-01-02T00:00:00Z")
            .expires_at("2027-01-01T00:00:00Z")
            .last_used_at("2026-01-03T00:00:00Z")
            .masked_secret("va…lt")
            .extra("surprise", 1)
            .build()
    }

    #[test]
    fn serialized_values_fit_their_schemas() {
        let schema = serde_json::to_value(schema_for!(KeyStats)).unwrap();
        let mut used = KeyStats::new(full());
        used.usage_count = Some(3);
        used.failed_attempts = Some(0);
        used.last_used_at = Some("2026-01-03T00:00:00Z".into());
        let empty = KeyStats::new(ApiKey::builder("vault", "7".parse().unwrap()).build());
        for stats in [used, empty] {
            assert_fits(&serde_json::to_value(stats).unwrap(), &schema, &schema, "stats");
        }
        let schema = serde_json::to_value(schema_for!(KeyRef)).unwrap();
        assert_fits(&serde_json::to_value(full().reference().unwrap()).unwrap(), &schema, &schema, "reference");
    }

    #[test]
    fn every_status_is_an_example() {
        let schema = serde_json::to_value(schema_for!(KeyStatus)).unwrap();
        let all = [KeyStatus::Active, KeyStatus::Expired, KeyStatus::Revoked, KeyStatus::Inactive, KeyStatus::Unknown];
        assert_eq!(schema["examples"], json!(all));
    }
}
