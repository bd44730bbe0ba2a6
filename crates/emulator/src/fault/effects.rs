//! The faults that the services themselves make, rather than what is between them and the client.

/// What an operation is to do wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Effects {
    pub(crate) warmup: Option<Warmup>,
    /// How many times more an ended secret works.
    pub(crate) linger: u64,
    /// How many lists do not see the change.
    pub(crate) stale_lists: u64,
    /// How many keys there may be.
    pub(crate) quota: Option<u64>,
    pub(crate) page: Option<PageFault>,
}

impl Effects {
    /// Whether there are as many keys as there may be.
    pub(crate) fn is_full(&self, keys: usize) -> bool {
        self.quota.is_some_and(|quota| u64::try_from(keys).is_ok_and(|keys| keys >= quota))
    }
}

/// How a new secret begins to work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Warmup {
    /// After so many refusals.
    Late(u64),
    /// On every second use.
    Flaky,
}

/// What is wrong with a page of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PageFault {
    Repeat,
    Empty,
    Duplicate,
}

impl PageFault {
    /// The rows of the page that was asked for, as they are shown.
    pub(crate) fn page<T: Copy>(fault: Option<Self>, mut rows: Vec<T>, before: usize, limit: usize) -> Vec<T> {
        let page = |before: usize| rows.iter().skip(before).take(limit).copied();
        match fault {
            None => {
                rows.drain(..before.min(rows.len()));
                rows.truncate(limit);
                rows
            }
            Some(Self::Repeat) => page(0).collect(),
            Some(Self::Empty) => Vec::new(),
            Some(Self::Duplicate) => page(before).flat_map(|row| [row, row]).collect(),
        }
    }
}
