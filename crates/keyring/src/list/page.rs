//! How a list is cut into pages.

use crate::{ApiKey, Result};

/// How a vendor's list is cut into pages, and so what of a [`PageRequest`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// By position: [`offset`](PageRequest::offset) may be anything.
    Offset,
    /// By number: [`offset`](PageRequest::offset) is a multiple of [`limit`](PageRequest::limit), so that
    /// [`number`](PageRequest::number) counts whole pages.
    Number,
    /// By cursor: each page tells in [`next`](Page::next) what to ask for the one after it.
    Cursor,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// How many keys come before it.
    pub offset: u64,
    /// How many keys there shall be on it at most: 1 to 100.
    pub limit: u64,
    /// What the page before it said of it; `None` for the first one, and where there are no cursors.
    pub cursor: Option<String>,
    /// What the vendor shall look for. A provider whose vendor cannot search ignores it.
    pub search: Option<String>,
}

impl PageRequest {
    /// The first page, so long at most.
    pub fn first(limit: u64) -> Self {
        Self { offset: 0, limit, cursor: None, search: None }
    }

    /// Which page it is, counted from 1, for a vendor that counts pages.
    pub fn number(&self) -> u64 {
        self.offset / self.limit.max(1) + 1
    }
}

/// One page of a list, as the vendor answered it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// The keys, and an error for every row that is none.
    pub keys: Vec<Result<ApiKey>>,
    /// How many keys there are on all pages together, where the vendor tells.
    pub total: Option<u64>,
    /// The most keys that a page of this server holds, where the vendor tells.
    pub page_size: Option<u64>,
    /// The cursor of the next page, where the vendor has cursors and there is one.
    pub next: Option<String>,
}

impl Page {
    /// A page of which nothing else is known.
    pub fn new(keys: Vec<Result<ApiKey>>) -> Self {
        Self { keys, total: None, page_size: None, next: None }
    }

    /// Adds how many keys there are on all pages together.
    #[must_use]
    pub fn with_total(mut self, total: Option<u64>) -> Self {
        self.total = total;
        self
    }

    /// Adds the most keys that a page holds.
    #[must_use]
    pub fn with_page_size(mut self, page_size: Option<u64>) -> Self {
        self.page_size = page_size;
        self
    }

    /// Adds the cursor of the next page.
    #[must_use]
    pub fn with_next(mut self, next: Option<String>) -> Self {
        self.next = next;
        self
    }
}
