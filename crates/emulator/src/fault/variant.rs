//! The variants of a fault, by their names in its text form.

use std::fmt;
use std::str::FromStr;

use super::ParseFaultError;
use super::parse::{Result, refuse};
use crate::settings::ReuseIds;

/// The variants of a fault. A fault without a variant in its text form has the default one.
pub(super) trait Variant: Copy + Default + Eq + 'static {
    const ALL: &'static [(&'static str, Self)];
}

/// Reads the variant of the fault `name`.
pub(super) fn read_variant<V: Variant>(name: &str, text: Option<&str>) -> Result<V> {
    let Some(text) = text else { return Ok(V::default()) };
    match V::ALL.iter().find(|(known, _)| *known == text) {
        Some((_, variant)) => Ok(*variant),
        None => {
            let known: Vec<_> = V::ALL.iter().map(|(known, _)| *known).collect();
            refuse(format!("`{name}={text}` is not a fault: after `{name}=`, use {}", known.join(", ")))
        }
    }
}

/// Returns the variant's name.
pub(super) fn variant_name<V: Variant>(variant: V) -> &'static str {
    V::ALL.iter().find(|(_, known)| *known == variant).map_or("", |(name, _)| name)
}

/// Writes the fault `name` with its variant, which it leaves out if it is the default.
pub(super) fn written<V: Variant>(name: &str, variant: V) -> String {
    if variant == V::default() { name.to_owned() } else { format!("{name}={}", variant_name(variant)) }
}

impl Variant for ReuseIds {
    const ALL: &'static [(&'static str, Self)] =
        &[("next", Self::Next), ("lowest", Self::LowestFree), ("name", Self::Name)];
}

/// Reads the way's name in a fault's text form: `next`, `lowest` or `name`.
impl FromStr for ReuseIds {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self> {
        read_variant("reuse-ids", Some(text))
    }
}

/// Writes the way's name in a fault's text form.
impl fmt::Display for ReuseIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(variant_name(*self))
    }
}
