//! Keys in the order in which they were made, and found by id.

use std::collections::{BTreeMap, HashMap};

pub(crate) trait Identified {
    fn id(&self) -> &str;
}

pub(crate) struct Store<K> {
    rows: BTreeMap<u64, K>,
    by_id: HashMap<String, u64>,
    next_row: u64,
}

impl<K: Identified> Store<K> {
    pub(crate) fn new() -> Self {
        Self { rows: BTreeMap::new(), by_id: HashMap::new(), next_row: 0 }
    }

    pub(crate) fn insert(&mut self, key: K) {
        self.by_id.insert(key.id().to_owned(), self.next_row);
        self.rows.insert(self.next_row, key);
        self.next_row += 1;
    }

    pub(crate) fn get(&self, id: &str) -> Option<&K> {
        self.rows.get(self.by_id.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut K> {
        self.rows.get_mut(self.by_id.get(id)?)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<K> {
        let row = self.by_id.remove(id)?;
        self.rows.remove(&row)
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.rows.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
