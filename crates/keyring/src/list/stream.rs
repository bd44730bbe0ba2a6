//! Turns pages into a stream of keys, without trusting the pages.
//!
//! A vendor's total may be wrong. Its pages may be shorter than requested, repeated, or empty in the middle of the
//! list. A server without pages always sends the same one. Keys come and go during the read. [`Reader`] decides what to
//! request next and what the answers prove. This module sends the requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, FuturesOrdered, StreamExt};

use super::reader::{Reader, Verdict};
use crate::{
    ApiKey, Error, ErrorKind, KeyStream, ListKeys, ListLimits, Operation, Outcome, Page, PageRequest, Provider, Result,
};

/// The number of concurrent page requests once the total is known.
const SIDE_BY_SIDE: usize = 4;

/// The size up to which pages are requested concurrently, in bytes. Larger pages would need too much memory at a time.
const MAX_CONCURRENT_PAGE: u64 = 256 * 1024;

type PendingPage<'a> = Pin<Box<dyn Future<Output = (PageRequest, Result<Page>)> + Send + 'a>>;

/// A provider's list during the read.
struct Listing<'a, P: ?Sized> {
    provider: &'a P,
    reader: Reader,
    /// Requested pages that have not arrived yet, in order.
    pending: FuturesOrdered<PendingPage<'a>>,
    /// The end of the last requested page if that page is full.
    requested_to: u64,
    ready: VecDeque<Result<ApiKey>>,
    ended: bool,
    limits: ListLimits,
    spent: Spent,
}

/// What a list has used of its limits.
#[derive(Default)]
struct Spent {
    bytes: u64,
    keys: u64,
    time: Duration,
    /// The size of the largest page.
    largest_page: u64,
}

/// Lists all keys of a provider. It requests pages as the caller reads the stream.
pub(crate) fn stream<'a, P: Provider + ?Sized>(provider: &'a P, which: &ListKeys) -> KeyStream<'a> {
    let listing = Listing {
        provider,
        reader: Reader::new(provider.paging(), which.search.clone()),
        pending: FuturesOrdered::new(),
        requested_to: 0,
        ready: VecDeque::new(),
        ended: false,
        limits: which.limits.clone(),
        spent: Spent::default(),
    };
    Box::pin(stream::unfold(listing, |mut listing| async move { listing.next().await.map(|row| (row, listing)) }))
}

impl<'a, P: Provider + ?Sized> Listing<'a, P> {
    async fn next(&mut self) -> Option<Result<ApiKey>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(self.counted(row));
            }
            if self.ended {
                return None;
            }
            if self.spent.time >= self.limits.time {
                let (time, clock) = (self.limits.time.as_secs_f64(), "ListLimits::time");
                self.end_with(too_long(format!("{time} seconds"), clock));
                continue;
            }
            self.request_pages();
            let begun = self.limits.clock.elapsed();
            let (request, page) = self.pending.next().await?;
            self.spent.time += self.limits.clock.elapsed().saturating_sub(begun);
            match page {
                Ok(page) => self.accept(&request, page),
                // Some services have no page after the last one, where others have an empty one.
                Err(error) if error.is_not_found() && self.reader.may_end_before(&request) => {
                    self.accept(&request, Page::new(Vec::new()));
                }
                Err(error) => self.end_with(error),
            }
        }
    }

    /// Ends the list in an error, after what is ready.
    fn end_with(&mut self, error: Error) {
        self.ended = true;
        self.pending.clear();
        self.ready.push_back(Err(error.under(self.provider.name())));
    }

    /// Counts a key against the limit. Returns the limit's error in its place if there are too many.
    fn counted(&mut self, row: Result<ApiKey>) -> Result<ApiKey> {
        if row.is_ok() && self.spent.keys >= self.limits.keys {
            self.ready.clear();
            self.ended = true;
            let limit = format!("{} keys", self.limits.keys);
            return Err(too_long(limit, "ListLimits::keys").under(self.provider.name()));
        }
        self.spent.keys += u64::from(row.is_ok());
        row
    }

    /// Requests the next page, and more pages if the total says that there are more.
    fn request_pages(&mut self) {
        if self.pending.is_empty() {
            self.requested_to = self.reader.end();
        }
        while self.pending.is_empty()
            || (self.pending.len() < SIDE_BY_SIDE
                && self.spent.largest_page <= MAX_CONCURRENT_PAGE
                && self.reader.predicted_total().is_some_and(|total| self.requested_to < total))
        {
            let request = self.reader.request(self.requested_to);
            self.requested_to = request.offset + request.limit;
            let provider = self.provider;
            self.pending.push_back(Box::pin(async move {
                let page = provider.list_page(&request).await;
                (request, page)
            }));
        }
    }

    fn accept(&mut self, request: &PageRequest, mut page: Page) {
        self.spent.bytes = self.spent.bytes.saturating_add(page.size);
        self.spent.largest_page = self.spent.largest_page.max(page.size);
        let failure = page.failure.take();
        let ready = &mut self.ready;
        let verdict = self.reader.accept(request, page, |row| ready.push_back(row));
        if let Some(failure) = failure {
            return self.end_with(failure);
        }
        match verdict {
            Verdict::Complete => self.ended = true,
            Verdict::Incomplete(missing) => self.end_with(incomplete(missing)),
            _ if self.spent.bytes >= self.limits.bytes => {
                self.end_with(too_long(format!("{} bytes", self.limits.bytes), "ListLimits::bytes"));
            }
            Verdict::ContinueInOrder => {}
            // The pages requested so far no longer fit.
            Verdict::ContinueElsewhere => self.pending.clear(),
        }
    }
}

/// Creates the error of a list that reached a limit.
fn too_long(limit: String, setting: &str) -> Error {
    let problem = format!("the list does not end within its limit of {limit}");
    Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, problem)
        .about(Operation::List, None)
        .advise(format!("The keys before this error are valid. To read more, raise the limit (`{setting}`)"))
}

/// Creates the error of a list that ended early. `missing` is the number of missing keys, if the total says so.
fn incomplete(missing: Option<u64>) -> Error {
    let (problem, advice) = match missing {
        Some(missing) => {
            let keys = if missing == 1 { "1 key is" } else { &*format!("{missing} keys are") };
            let problem = format!("the list is incomplete: {keys} missing from the total that the service reports");
            (problem, "Someone may have deleted keys meanwhile. List again to be sure")
        }
        None => {
            let problem = "the list is incomplete: it does not end, or keys move faster than they can be read, or \
                           several pages in a row hold no valid key";
            (problem.to_owned(), "List again")
        }
    };
    Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, problem).about(Operation::List, None).advise(advice)
}
