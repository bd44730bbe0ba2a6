//! The fields of a vendor's answer that a key does not name.

use std::sync::OnceLock;

use api_keyring_transport::RawFields;
use serde_json::Value;

/// The number of documented fields that a key can have without naming them: those of the vendor with the most.
const DOCUMENTED: usize = 5;

/// The fields that a key does not name. They become one text when somebody asks for them, because most programs never do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// What the specification does not name either, or what does not have the documented form.
    unknown: RawFields,
    documented: [Option<(&'static str, Documented)>; DOCUMENTED],
    all: OnceLock<RawFields>,
}

/// The value of a documented field that a key does not name.
#[derive(Clone, Debug)]
pub(crate) enum Documented {
    Text(String),
    Number(i64),
    Bool(bool),
    Texts(Vec<String>),
}

impl Extra {
    /// Returns the fields of a key. `None` stands for a field that the answer does not have.
    pub(crate) fn new<const N: usize>(unknown: RawFields, documented: [(&'static str, Option<Documented>); N]) -> Self {
        const { assert!(N <= DOCUMENTED) };
        let mut fields: [_; DOCUMENTED] = Default::default();
        for (field, (name, value)) in fields.iter_mut().zip(documented) {
            *field = value.map(|value| (name, value));
        }
        Self { unknown, documented: fields, all: OnceLock::new() }
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: &Value) {
        self.unknown.push(name, value);
        self.all = OnceLock::new();
    }

    /// Returns all fields.
    pub(crate) fn all(&self) -> &RawFields {
        if self.documented.iter().all(Option::is_none) {
            return &self.unknown;
        }
        self.all.get_or_init(|| {
            let mut all = self.unknown.clone();
            for (name, value) in self.documented.iter().flatten() {
                match value {
                    Documented::Text(text) => all.push_text(name, text),
                    Documented::Number(number) => all.push_number(name, *number),
                    Documented::Bool(value) => all.push_bool(name, *value),
                    Documented::Texts(texts) => all.push_texts(name, texts),
                }
            }
            all
        })
    }
}

impl From<RawFields> for Extra {
    fn from(unknown: RawFields) -> Self {
        Self { unknown, ..Self::default() }
    }
}
