//! Keys in creation order, with lookup by id.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

pub(crate) trait Identified {
    fn id(&self) -> &str;
}

/// A key and its cached JSON.
pub(crate) struct Row<K> {
    key: K,
    /// The key's JSON before and after its expiry. All other shown values change only through `edit`.
    written: [OnceCell<Box<RawValue>>; 2],
}

impl<K> Row<K> {
    fn new(key: K) -> Self {
        Self { key, written: Default::default() }
    }

    /// Returns the key for a change, and drops its cached JSON.
    pub(crate) fn edit(&mut self) -> &mut K {
        self.written = Default::default();
        &mut self.key
    }

    /// Returns the key for a change of values that its [JSON](Self::json) never contains.
    pub(crate) fn edit_uncached(&mut self) -> &mut K {
        &mut self.key
    }

    /// Returns the key as JSON. It calls `model` only if the cache has no JSON.
    pub(crate) fn json<M: Serialize>(&self, is_expired: bool, model: impl FnOnce() -> M) -> &RawValue {
        let [lasting, expired] = &self.written;
        let written = if is_expired { expired } else { lasting };
        // Writing plain structures of text and numbers cannot fail.
        written.get_or_init(|| to_raw_value(&model()).unwrap_or_default())
    }
}

impl<K> Deref for Row<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.key
    }
}

pub(crate) struct Store<K> {
    rows: BTreeMap<u64, Row<K>>,
    by_id: HashMap<String, u64>,
    next_row: u64,
    /// Rows that lists do not show yet, each with the number of lists that still omit it.
    not_yet_listed: HashMap<u64, u64>,
    /// Removed keys that lists still show, each with the number of lists that still show it.
    removed_but_listed: BTreeMap<u64, (Row<K>, u64)>,
}

impl<K: Identified> Store<K> {
    pub(crate) fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_id: HashMap::new(),
            next_row: 0,
            not_yet_listed: HashMap::new(),
            removed_but_listed: BTreeMap::new(),
        }
    }

    /// Adds a key, which the next `stale_lists` lists omit.
    pub(crate) fn insert(&mut self, key: K, stale_lists: u64) {
        self.by_id.insert(key.id().to_owned(), self.next_row);
        self.rows.insert(self.next_row, Row::new(key));
        if stale_lists > 0 {
            self.not_yet_listed.insert(self.next_row, stale_lists);
        }
        self.next_row += 1;
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Row<K>> {
        self.rows.get(self.by_id.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Row<K>> {
        self.rows.get_mut(self.by_id.get(id)?)
    }

    /// Removes a key, which the next `stale_lists` lists still show.
    pub(crate) fn remove(&mut self, id: &str, stale_lists: u64) -> Option<K>
    where
        K: Clone,
    {
        let row = self.by_id.remove(id)?;
        let key = self.rows.remove(&row)?.key;
        // Lists cannot keep showing a key that they have never shown.
        if self.not_yet_listed.remove(&row).is_none() && stale_lists > 0 {
            self.removed_but_listed.insert(row, (Row::new(key.clone()), stale_lists));
        }
        Some(key)
    }

    /// Starts a new list. Until the next call, [`Store::listed`] returns what this list shows.
    pub(crate) fn begin_list(&mut self) {
        // Counts one list down, and returns whether the effect still applies to this list.
        let applies = |lists: &mut u64| {
            let remains = *lists > 0;
            *lists = lists.saturating_sub(1);
            remains
        };
        self.not_yet_listed.retain(|_, lists| applies(lists));
        self.removed_but_listed.retain(|_, (_, lists)| applies(lists));
    }

    /// Returns the keys that the current list shows, oldest first.
    pub(crate) fn listed(&self) -> Vec<&Row<K>> {
        if self.not_yet_listed.is_empty() && self.removed_but_listed.is_empty() {
            return self.rows.values().collect();
        }
        let seen = self.rows.iter().filter(|(row, _)| !self.not_yet_listed.contains_key(row));
        let removed = self.removed_but_listed.iter().map(|(row, (key, _))| (row, key));
        let mut listed: Vec<_> = seen.chain(removed).collect();
        listed.sort_by_key(|(row, _)| **row);
        listed.into_iter().map(|(_, key)| key).collect()
    }

    /// Returns the existing keys, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.rows.values().map(|row| &row.key)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
