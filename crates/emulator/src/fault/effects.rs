//! The faults inside the services, as opposed to those between a service and its client.

use super::OddRow;
use crate::settings::ReuseIds;

/// The faults inside the service that hit one operation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Effects {
    pub(crate) warmup: Option<Warmup>,
    /// How many more times an ended secret works.
    pub(crate) linger: u64,
    /// How many lists omit the change.
    pub(crate) stale_lists: u64,
    /// How many keys may exist.
    pub(crate) quota: Option<u64>,
    pub(crate) page: Option<PageFault>,
    pub(crate) odd_row: Option<OddRow>,
    /// Which ids of deleted keys a new key gets, whatever the settings say.
    pub(crate) reuse_ids: Option<ReuseIds>,
}

impl Effects {
    /// Returns whether `keys` reaches the quota.
    pub(crate) fn is_full(&self, keys: usize) -> bool {
        self.quota.is_some_and(|quota| u64::try_from(keys).is_ok_and(|keys| keys >= quota))
    }
}

/// How a new secret starts to work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Warmup {
    /// After this number of refusals.
    Late(u64),
    /// On every other use, starting with the second.
    Flaky,
}

/// A fault of a list's page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PageFault {
    Repeat,
    Empty,
    Duplicate,
    /// A page after the last does not exist.
    PastEnd,
    /// Pages have this length.
    Length(usize),
}

impl PageFault {
    /// Returns whether the service refuses the page that begins after `before` of `total` rows.
    pub(crate) fn is_missing(fault: Option<Self>, total: usize, before: usize) -> bool {
        fault == Some(Self::PastEnd) && before > 0 && before >= total
    }

    /// Returns the length of the service's pages, if a request asks for `limit` rows.
    pub(crate) fn length(fault: Option<Self>, limit: usize) -> usize {
        if let Some(Self::Length(length)) = fault { length } else { limit }
    }

    /// Returns the rows of the requested page, distorted by `fault`.
    ///
    /// `before` is the number of rows before the page, `limit` its size.
    pub(crate) fn page<T: Copy>(fault: Option<Self>, mut rows: Vec<T>, before: usize, limit: usize) -> Vec<T> {
        let page = |before: usize| rows.iter().skip(before).take(limit).copied();
        match fault {
            None | Some(Self::PastEnd | Self::Length(_)) => {
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
