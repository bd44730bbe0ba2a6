//! From pages to a stream of keys, without trusting the pages.
//!
//! A vendor's total may lie, its pages may be shorter than asked for, empty in the middle, repeated, or always the same
//! because the server knows no pages. The stream ends, gives each key once, and says so where it cannot vouch for having
//! seen them all.

use std::collections::{HashSet, VecDeque};

use futures_util::stream;

use crate::{ApiKey, Error, KeyId, KeyStream, Result};

/// How many keys to ask for at a time: the most that Spartera allows.
pub(crate) const PAGE_SIZE: u64 = 100;

/// How many pages in a row may bring no new key while there may be more.
const MAX_BARREN_PAGES: u32 = 3;

/// How many pages are read before a list is taken for endless.
const MAX_PAGES: u64 = 100_000;

/// Where a page begins, in both of the ways in which vendors count.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// Which page it is, counted from 1.
    pub(crate) page: u64,
    /// How many keys come before it.
    pub(crate) offset: u64,
}

/// One page as the vendor answered it.
pub(crate) struct Page {
    /// The keys, and an error for every row that is none.
    pub(crate) rows: Vec<Result<ApiKey>>,
    /// How many keys there are on all pages together, where the vendor tells.
    pub(crate) total: Option<u64>,
    /// The most keys that a page of this server holds, where the vendor tells.
    pub(crate) page_size: Option<u64>,
}

/// Fetches pages.
#[async_trait::async_trait]
pub(crate) trait FetchPage: Send + Sync {
    /// Fetches the page at `position`, [`PAGE_SIZE`] keys long at most.
    async fn fetch(&self, position: Position) -> Result<Page>;

    /// The error of a list that ended without all of its keys: how many are missing, where the total tells.
    fn incomplete(&self, missing: Option<u64>) -> Error;
}

struct Pager<F> {
    fetch: F,
    position: Position,
    seen: HashSet<KeyId>,
    /// How many different rows came so far, odd ones included.
    accounted: u64,
    /// How many rows the first page had: what this server's pages hold, whatever was asked for.
    first_page: Option<u64>,
    barren: u32,
    ready: VecDeque<Result<ApiKey>>,
    ended: bool,
}

/// All keys that `fetch` finds.
pub(crate) fn stream<'a>(fetch: impl FetchPage + 'a) -> KeyStream<'a> {
    let pager = Pager {
        fetch,
        position: Position { page: 1, offset: 0 },
        seen: HashSet::new(),
        accounted: 0,
        first_page: None,
        barren: 0,
        ready: VecDeque::new(),
        ended: false,
    };
    Box::pin(stream::unfold(pager, |mut pager| async move {
        loop {
            if let Some(row) = pager.ready.pop_front() {
                return Some((row, pager));
            }
            if pager.ended {
                return None;
            }
            match pager.fetch.fetch(pager.position).await {
                Ok(page) => pager.take(page),
                Err(error) => {
                    pager.ended = true;
                    pager.ready.push_back(Err(error));
                }
            }
        }
    }))
}

/// What a page brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brought {
    /// Keys that did not come before.
    NewKeys,
    /// Rows, and no key among them.
    OddRows,
    /// Nothing, or what came before.
    NothingNew,
}

impl<F: FetchPage> Pager<F> {
    fn take(&mut self, page: Page) {
        let rows = page.rows.len() as u64;
        let is_first = self.position.page == 1;
        let brought = self.take_rows(page.rows);

        let declared = page.page_size.map(|size| size.clamp(1, PAGE_SIZE));
        let page_size = declared.unwrap_or(PAGE_SIZE);
        // An empty page is passed over as if it had been full.
        self.position.offset += if rows == 0 { page_size } else { rows };
        self.position.page += 1;
        self.barren = if brought == Brought::NewKeys { 0 } else { self.barren + 1 };
        let first_page = *self.first_page.get_or_insert(rows);
        let is_barren = self.barren >= MAX_BARREN_PAGES;

        // A first page that is short may be all that this server's pages hold, so it alone proves nothing unless the
        // server says how long its pages are.
        let is_last = declared.map_or(!is_first && rows < first_page, |size| rows < size);

        self.ended = match (page.total, brought) {
            (None, Brought::NothingNew) => true,
            (None, _) => is_barren || is_last,
            // There may be a next page even where the total says that this is the last.
            (Some(total), _) if self.accounted >= total => brought != Brought::NewKeys || is_last,
            (Some(total), Brought::NothingNew) => is_barren || self.position.offset >= total,
            (Some(_), _) => is_barren,
        };
        if self.position.page > MAX_PAGES {
            self.ended = true;
            self.ready.push_back(Err(self.fetch.incomplete(None)));
            return;
        }
        if !self.ended {
            return;
        }
        match page.total {
            Some(total) if self.accounted < total => {
                self.ready.push_back(Err(self.fetch.incomplete(Some(total - self.accounted))));
            }
            None if is_barren => self.ready.push_back(Err(self.fetch.incomplete(None))),
            _ => {}
        }
    }

    /// Queues the rows that did not come before. The odd rows of a page whose keys are known are repeated as they are.
    fn take_rows(&mut self, rows: Vec<Result<ApiKey>>) -> Brought {
        let (keys, odd): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
        let has_keys = !keys.is_empty();
        let known = self.accounted;
        for row in keys {
            if row.as_ref().is_ok_and(|key| self.seen.insert(key.id().clone())) {
                self.accounted += 1;
                self.ready.push_back(row);
            }
        }
        let brought = match (self.accounted > known, has_keys, odd.is_empty()) {
            (true, ..) => Brought::NewKeys,
            (false, false, false) => Brought::OddRows,
            (false, ..) => Brought::NothingNew,
        };
        if brought != Brought::NothingNew {
            self.accounted += odd.len() as u64;
            self.ready.extend(odd);
        }
        brought
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use futures_util::StreamExt;

    use super::*;
    use crate::key::Details;
    use crate::{ErrorKind, Outcome};

    /// A server as the tests describe it: what it answers at each position, and how often it was asked.
    struct Server<A> {
        answer: A,
        asked: Mutex<u64>,
    }

    #[async_trait::async_trait]
    impl<A: Fn(Position) -> Page + Send + Sync> FetchPage for &Server<A> {
        async fn fetch(&self, position: Position) -> Result<Page> {
            *self.asked.lock().unwrap() += 1;
            assert!(*self.asked.lock().unwrap() < 200, "the list does not end");
            Ok((self.answer)(position))
        }

        fn incomplete(&self, missing: Option<u64>) -> Error {
            let missing = missing.map_or("some".to_owned(), |missing| missing.to_string());
            Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, format!("{missing} missing"))
        }
    }

    fn rows(ids: impl Iterator<Item = u64>) -> Vec<Result<ApiKey>> {
        ids.map(|id| Ok(ApiKey::new(&"test".into(), id.to_string().parse().unwrap(), Details::default()))).collect()
    }

    fn odd() -> Result<ApiKey> {
        Err(Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, "odd row"))
    }

    /// The ids and errors that the stream yields, and how many pages were fetched.
    async fn list(answer: impl Fn(Position) -> Page + Send + Sync) -> (Vec<u64>, Vec<String>, u64) {
        let server = Server { answer, asked: Mutex::new(0) };
        let rows: Vec<_> = stream(&server).collect().await;
        let (keys, errors): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
        let ids = keys.into_iter().map(|key| key.unwrap().id().as_str().parse().unwrap()).collect();
        (ids, errors.into_iter().map(|error| error.unwrap_err().to_string()).collect(), *server.asked.lock().unwrap())
    }

    fn slice(count: u64, from: u64, size: u64) -> Vec<Result<ApiKey>> {
        rows(from.min(count)..(from + size).min(count))
    }

    #[tokio::test]
    async fn every_count_and_page_size_is_listed_in_full_by_offset() {
        for count in [0, 1, 19, 20, 21, 99, 100, 101, 200, 1234] {
            for size in [7, 20, 100] {
                for declared in [None, Some(size)] {
                    let page = |at: Position| Page {
                        rows: slice(count, at.offset, size),
                        total: Some(count),
                        page_size: declared,
                    };
                    let (ids, errors, _) = list(page).await;
                    assert_eq!((ids, errors), ((0..count).collect(), vec![]), "{count} keys, pages of {size}");
                }
            }
        }
    }

    #[tokio::test]
    async fn every_count_and_page_size_is_listed_in_full_by_page() {
        for count in [0, 1, 19, 20, 21, 99, 100, 101, 200, 1234] {
            for size in [7, 20, 100] {
                let page = |at: Position| Page {
                    rows: slice(count, (at.page - 1) * size, size),
                    total: None,
                    page_size: None,
                };
                let (ids, errors, _) = list(page).await;
                assert_eq!((ids, errors), ((0..count).collect(), vec![]), "{count} keys, pages of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_knows_no_pages_is_asked_twice() {
        for total in [None, Some(250)] {
            let (ids, errors, asked) = list(|_| Page { rows: rows(0..250), total, page_size: None }).await;
            assert_eq!((ids, errors, asked), ((0..250).collect(), vec![], 2));
        }
    }

    #[tokio::test]
    async fn an_empty_page_in_the_middle_is_passed_over() {
        let page = |at: Position| {
            let rows = if at.offset == 100 { vec![] } else { slice(350, at.offset, 100) };
            Page { rows, total: Some(250), page_size: Some(100) }
        };
        let (ids, errors, _) = list(page).await;
        assert_eq!((ids, errors), ((0..100).chain(200..350).collect(), vec![]));
    }

    #[tokio::test]
    async fn a_total_that_promises_too_much_is_told() {
        let page = |at: Position| Page { rows: slice(150, at.offset, 100), total: Some(1_000_000), page_size: None };
        let (ids, errors, asked) = list(page).await;
        assert_eq!((ids, errors), ((0..150).collect(), vec!["999850 missing".to_owned()]));
        assert_eq!(asked, 5);
    }

    #[tokio::test]
    async fn a_total_that_promises_too_little_hides_no_full_page() {
        for (size, declared) in [(100, None), (20, None), (20, Some(20)), (100, Some(100))] {
            let page = |at: Position| Page { rows: slice(250, at.offset, size), total: Some(1), page_size: declared };
            assert_eq!(list(page).await.0, (0..250).collect::<Vec<_>>(), "{size} {declared:?}");
        }
    }

    #[tokio::test]
    async fn repeated_keys_come_once_and_odd_rows_do_not_lose_the_others() {
        let page = |at: Position| {
            let mut rows = rows([1, 2, 2, 1].into_iter());
            rows.insert(2, odd());
            rows.extend(self::rows((at.page == 1).then_some(3).into_iter()));
            Page { rows, total: None, page_size: None }
        };
        assert_eq!(list(page).await, (vec![1, 2, 3], vec!["odd row".to_owned()], 2));
        let only_odd = |_: Position| Page { rows: vec![odd(), odd()], total: Some(2), page_size: None };
        assert_eq!(list(only_odd).await, (vec![], vec!["odd row".to_owned(), "odd row".to_owned()], 1));
    }
    #[tokio::test]
    async fn a_page_of_odd_rows_is_not_the_end() {
        for total in [None, Some(7)] {
            let page = |at: Position| {
                let rows = match at.page {
                    1 => rows(0..2),
                    2 => vec![odd(), odd()],
                    3 => rows(2..4),
                    4 => rows(4..5),
                    _ => vec![],
                };
                Page { rows, total, page_size: Some(2) }
            };
            let (ids, errors, _) = list(page).await;
            assert_eq!((ids, errors.len()), ((0..5).collect(), 2), "{total:?}");
        }
        let (ids, errors, asked) = list(|_| Page { rows: vec![odd()], total: None, page_size: None }).await;
        assert_eq!((ids, errors.last().map(String::as_str), asked), (vec![], Some("some missing"), 3));
    }
}
