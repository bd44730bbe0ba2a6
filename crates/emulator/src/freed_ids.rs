//! The ids of deleted keys.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::secret;
use crate::settings::ReuseIds;
use crate::state::check_id;

/// How many ids the emulator remembers. It forgets the oldest first.
const LIMIT: usize = 10_000;

/// The ids that deleted keys have left, the latest last.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct FreedIds(Vec<String>);

impl FreedIds {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses ids that no key can have.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.0.iter().try_for_each(|id| check_id(id))
    }

    /// Adds the id of a key that has just been deleted.
    pub(crate) fn add(&mut self, id: &str) {
        if self.0.len() >= LIMIT {
            self.0.remove(0);
        }
        self.0.push(id.to_owned());
    }

    /// Chooses the id of a new key. Returns `None` if the key needs a new id.
    pub(crate) fn take(
        &mut self,
        reuse: ReuseIds,
        name: Option<&str>,
        is_taken: impl Fn(&str) -> bool,
    ) -> Option<String> {
        // Another way of reusing ids may have given some of them to keys.
        let free = self.0.iter().enumerate().filter(|(_, id)| !is_taken(id));
        let index = match reuse {
            ReuseIds::Name => return from_name(name?).filter(|id| !is_taken(id)),
            ReuseIds::Next => free.map(|(index, _)| index).next_back(),
            ReuseIds::LowestFree => free.min_by_key(|(_, id)| order(id)).map(|(index, _)| index),
        };
        index.map(|index| self.0.remove(index))
    }
}

/// Orders ids: numbers first, then text.
fn order(id: &str) -> (Reverse<bool>, u64, &str) {
    let number = id.parse::<u64>().ok();
    (Reverse(number.is_some()), number.unwrap_or(0), id)
}

/// Returns the id that is made of `name`.
fn from_name(name: &str) -> Option<String> {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let id: String = name.chars().map(keep).collect();
    // The records show ids, and must not show a secret.
    let fits = check_id(&id).is_ok() && secret::redact(name) == name && secret::redact(&id) == id;
    fits.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freed(ids: &[&str]) -> FreedIds {
        FreedIds(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    fn take_all(mut ids: FreedIds, reuse: ReuseIds) -> Vec<String> {
        std::iter::from_fn(|| ids.take(reuse, None, |id| id == "7")).collect()
    }

    #[test]
    fn each_way_has_its_order_and_leaves_out_what_is_taken() {
        let ids = || freed(&["10", "key_b", "9", "7", "key_a"]);
        assert_eq!(take_all(ids(), ReuseIds::Next), ["key_a", "9", "key_b", "10"]);
        assert_eq!(take_all(ids(), ReuseIds::LowestFree), ["9", "10", "key_a", "key_b"]);
    }

    #[test]
    fn a_name_becomes_an_id_if_it_can() {
        for (name, id) in [
            ("ci", Some("ci")),
            ("ci für [k-1]", Some("ci-f-r--k-1-")),
            ("taken", None),
            ("", None),
            ("sk_live_abcdefghijklmnopqrstuvwxyz1234", None),
        ] {
            let taken = freed(&[]).take(ReuseIds::Name, Some(name), |id| id == "taken");
            assert_eq!(taken.as_deref(), id, "{name}");
        }
        assert_eq!(freed(&["1"]).take(ReuseIds::Name, None, |_| false), None);
        assert_eq!(freed(&[]).take(ReuseIds::Name, Some(&"a".repeat(256)), |_| false), None);
    }
}
