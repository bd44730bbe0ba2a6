//! From pages to a stream of keys, without trusting the pages.
//!
//! A vendor's total may lie, its pages may be shorter than asked for, empty in the middle, repeated, or always the same
//! because the server knows no pages; and keys come and go while they are read. [`Reader`] decides what to ask for next
//! and what the answers prove; here the asking is done.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{self, FuturesOrdered, StreamExt};

use super::reader::{Reader, Verdict};
use crate::{ApiKey, Error, ErrorKind, KeyStream, ListKeys, Operation, Outcome, Page, PageRequest, Provider, Result};

/// How many pages are asked for side by side once the total is known.
const SIDE_BY_SIDE: usize = 4;

type PendingPage<'a> = Pin<Box<dyn Future<Output = (PageRequest, Result<Page>)> + Send + 'a>>;

/// The list of a provider's keys while it is read.
struct Listing<'a, P: ?Sized> {
    provider: &'a P,
    reader: Reader,
    /// Pages on their way, in their order.
    pending: FuturesOrdered<PendingPage<'a>>,
    /// Where the last of them will end if it is full.
    requested_to: u64,
    ready: VecDeque<Result<ApiKey>>,
    ended: bool,
}

/// All keys of a provider, as they are asked for.
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

    /// Sees to it that pages are on their way: the next one, and more where it is known that there are more.
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
            // What was asked for beside it would not fit.
            Verdict::ContinueElsewhere => self.pending.clear(),
            Verdict::Complete => self.ended = true,
            Verdict::Incomplete(missing) => {
                self.ended = true;
                self.ready.push_back(Err(incomplete(missing).under(self.provider.name())));
            }
        }
    }
}

/// The error of a list that ended without all of its keys: how many are missing, where the total tells.
fn incomplete(missing: Option<u64>) -> Error {
    let failed = |problem: String| {
        Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, problem).about(Operation::List, None)
    };
    match missing {
        Some(missing) => failed(format!("the list ended {missing} keys before the total that the service gives"))
            .advise("Keys may have been deleted meanwhile: list again to be sure"),
        None => {
            let problem = "the list was given up: it does not end, keys change places faster than it can be read, or \
                           page after page holds no key as documented";
            failed(problem.to_owned())
        }
    }
}
