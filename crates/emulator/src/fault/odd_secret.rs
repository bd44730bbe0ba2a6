//! New secrets that no request can carry.

use serde_json::Value;

use super::distort::each_object;
use super::variant::Variant;

/// What is wrong with a new secret.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OddSecret {
    /// A line end and a setting of a dotenv file follow it. (`line`)
    #[default]
    Line,
    /// A blank follows it. (`blank`)
    Blank,
    /// It has a control character. (`control`)
    Control,
    /// It has a letter that is not ASCII. (`letter`)
    Letter,
    /// It has many thousand characters. (`long`)
    Long,
}

impl Variant for OddSecret {
    const ALL: &'static [(&'static str, Self)] = &[
        ("line", Self::Line),
        ("blank", Self::Blank),
        ("control", Self::Control),
        ("letter", Self::Letter),
        ("long", Self::Long),
    ];
}

impl OddSecret {
    pub(super) fn change(self, value: &mut Value) {
        each_object(value, &mut |object| {
            for name in ["key", "token"] {
                if let Some(Value::String(secret)) = object.get_mut(name) {
                    secret.push_str(&self.end());
                }
            }
        });
    }

    fn end(self) -> String {
        match self {
            Self::Line => "\nLD_PRELOAD=/tmp/theirs.so".to_owned(),
            Self::Blank => " ".to_owned(),
            Self::Control => "\u{7}x".to_owned(),
            Self::Letter => "\u{e4}".to_owned(),
            Self::Long => "x".repeat(10_000),
        }
    }
}
