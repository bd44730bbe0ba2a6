//! Which JSON texts every parser reads.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Returns whether common parsers read this JSON text. Many refuse half of a surrogate pair, a number beyond 64 bits, or
/// deep nesting.
pub(super) fn is_portable(json: &str) -> bool {
    serde_json::from_str::<Portable>(json).is_ok()
}

/// Reads every value, and keeps none.
struct Portable;

impl<'de> Deserialize<'de> for Portable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortableVisitor)
    }
}

struct PortableVisitor;

impl<'de> Visitor<'de> for PortableVisitor {
    type Value = Portable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_unit<E>(self) -> Result<Portable, E> {
        Ok(Portable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Portable, A::Error> {
        while let Some(Portable) = items.next_element()? {}
        Ok(Portable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Portable, A::Error> {
        while let Some((Portable, Portable)) = fields.next_entry()? {}
        Ok(Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::is_portable;

    #[test]
    fn texts_that_some_parsers_refuse_are_not_portable() {
        for json in ["1", "-0.5e3", "null", "true", r#""a\u00e4""#, "[[],{}]", r#"{"a":{"b":[1,"x",null]}}"#] {
            assert!(is_portable(json), "{json}");
        }
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        for json in ["1e400", r#""\ud800""#, r#"["\udc00"]"#, r#"{"\ud800":1}"#, &deep, "[1e999]"] {
            assert!(!is_portable(json), "{json}");
        }
    }
}
