//! Turns pages into a stream of keys, without trusting the pages.
//!
//! A vendor's total may be wrong. Its pages may be shorter than requested, repeated, or empty in the middle of the
//! list. A server without pages always sends the same one. Keys come and go during the read. [`Reader`] decides what to
//! request next and what the answers prove. This module sends the requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{self, FuturesOrdered, StreamExt};

use super::reader::{Reader, Verdict};
use crate::{ApiKey, Error, ErrorKind, KeyStream, ListKeys, Operation, Outcome, Page, PageRequest, Provider, Result};

/// The number of concurrent page requests once the total is known.
const SIDE_BY_SIDE: usize = 4;

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
    };
    Box::pin(stream::unfold(listing, |mut listing| async move { listing.next().await.map(|row| (row, listing)) }))
}

impl<'a, P: Provider + ?Sized> Listing<'a, P> {
    async fn next(&mut self) -> Option<Result<ApiKey>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(row);
            }
            if self.ended {
                return None;
            }
            self.request_pages();
            let (request, page) = self.pending.next().await?;
            match page {
                Ok(page) => self.accept(&request, page),
                Err(error) => {
                    self.ended = true;
                    self.ready.push_back(Err(error));
                }
            }
        }
    }

    /// Requests the next page, and more pages if the total says that there are more.
    fn request_pages(&mut self) {
        if self.pending.is_empty() {
            self.requested_to = self.reader.end();
        }
        while self.pending.is_empty()
            || (self.pending.len() < SIDE_BY_SIDE
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

    fn accept(&mut self, request: &PageRequest, page: Page) {
        let ready = &mut self.ready;
        match self.reader.accept(request, page, |row| ready.push_back(row)) {
            Verdict::ContinueInOrder => {}
            // The pages requested so far no longer fit.
            Verdict::ContinueElsewhere => self.pending.clear(),
            Verdict::Complete => self.ended = true,
            Verdict::Incomplete(missing) => {
                self.ended = true;
                self.ready.push_back(Err(incomplete(missing).under(self.provider.name())));
            }
        }
    }
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
