//! Pages: how a vendor splits its list.

use crate::{ApiKey, Error, Result};

/// How a vendor splits its list into pages. This decides which fields of a [`PageRequest`] matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// By position: [`offset`](PageRequest::offset) may be any number.
    Offset,
    /// By number: [`offset`](PageRequest::offset) is a multiple of [`limit`](PageRequest::limit), and
    /// [`number`](PageRequest::number) counts whole pages.
    Number,
    /// By cursor: [`next`](Page::next) of each page identifies the page after it.
    Cursor,
}

/// A request for one page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// The number of keys before this page.
    pub offset: u64,
    /// The maximum number of keys on this page: 1 to 100.
    pub limit: u64,
    /// The cursor from the page before. `None` for the first page and for vendors without cursors.
    pub cursor: Option<String>,
    /// The text that the vendor searches for. A provider ignores it if its vendor cannot search.
    pub search: Option<String>,
}

impl PageRequest {
    /// Requests the first page, with at most `limit` keys.
    pub fn first(limit: u64) -> Self {
        Self { offset: 0, limit, cursor: None, search: None }
    }

    /// Returns the page number, counted from 1, for a vendor that counts pages.
    pub fn number(&self) -> u64 {
        self.offset / self.limit.max(1) + 1
    }
}

/// One page of a list, as the vendor returned it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// The keys, and an error for every malformed row.
    pub keys: Vec<Result<ApiKey>>,
    /// The number of keys on all pages together, if the vendor reports it.
    pub total: Option<u64>,
    /// The maximum number of keys on one of this server's pages, if the vendor reports it.
    pub page_size: Option<u64>,
    /// The cursor of the next page, if the vendor has cursors and there is a next page.
    pub next: Option<String>,
    /// The size of the rows as the vendor sent them, in bytes. 0 if the provider does not know it. It counts against
    /// [`ListLimits::bytes`](crate::ListLimits::bytes).
    pub size: u64,
    /// Why the page holds only the first of its rows. A list ends with this error, after the page's keys.
    pub failure: Option<Error>,
}

impl Page {
    /// Creates a page with nothing but keys.
    pub fn new(keys: Vec<Result<ApiKey>>) -> Self {
        Self { keys, total: None, page_size: None, next: None, size: 0, failure: None }
    }

    /// Sets the number of keys on all pages together.
    #[must_use]
    pub fn with_total(mut self, total: Option<u64>) -> Self {
        self.total = total;
        self
    }

    /// Sets the maximum number of keys on a page.
    #[must_use]
    pub fn with_page_size(mut self, page_size: Option<u64>) -> Self {
        self.page_size = page_size;
        self
    }

    /// Sets the cursor of the next page.
    #[must_use]
    pub fn with_next(mut self, next: Option<String>) -> Self {
        self.next = next;
        self
    }

    /// Sets the size of the rows in bytes.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    /// Sets why the page holds only the first of its rows.
    #[must_use]
    pub fn with_failure(mut self, failure: Option<Error>) -> Self {
        self.failure = failure;
        self
    }
}
