//! Servers of every kind, and what is made of their pages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use fastrand::Rng;

use super::*;
use crate::model::key::Details;
use crate::{Error, ErrorKind, Outcome};

/// A server: its keys, and what it makes of a request.
#[derive(Clone)]
struct Server {
    paging: Paging,
    keys: Vec<u64>,
    /// How many rows a page has at most, whatever is asked for.
    cap: u64,
    /// Whether pages have `cap` rows even where fewer are asked for.
    ignores_limit: bool,
    /// Whether it sends everything, whatever is asked for.
    ignores_pages: bool,
    tells_total: bool,
    tells_size: bool,
    asked: u64,
}

impl Server {
    fn new(paging: Paging, count: u64) -> Self {
        Self {
            paging,
            keys: (0..count).collect(),
            cap: 100,
            ignores_limit: false,
            ignores_pages: false,
            tells_total: false,
            tells_size: false,
            asked: 0,
        }
    }

    fn answer(&mut self, request: &PageRequest) -> Page {
        self.asked += 1;
        let size = if self.ignores_limit { self.cap } else { request.limit.min(self.cap) };
        let start = match self.paging {
            Paging::Number => {
                assert_eq!(request.offset % request.limit, 0, "whole pages are counted: {request:?}");
                (request.number() - 1) * size
            }
            _ => request.offset,
        };
        let page = self.keys.iter().skip(start as usize).take(size as usize).copied();
        let rows = if self.ignores_pages { rows(self.keys.iter().copied()) } else { rows(page) };
        Page::new(rows)
            .with_total(self.tells_total.then_some(self.keys.len() as u64))
            .with_page_size(self.tells_size.then_some(size))
    }
}

fn rows(ids: impl Iterator<Item = u64>) -> Vec<Result<ApiKey>> {
    ids.map(|id| Ok(ApiKey::new(&"test".into(), id.to_string().parse().unwrap(), Details::default()))).collect()
}

fn odd() -> Result<ApiKey> {
    Err(Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, "odd row"))
}

/// What came of a list.
#[derive(Debug, Default, PartialEq)]
struct Read {
    ids: Vec<u64>,
    odd: usize,
    /// `Some` where the list ended in an error: how many keys are missing, where that is known.
    incomplete: Option<Option<u64>>,
    asked: u64,
}

/// Reads a list to its end, page after page.
fn read(paging: Paging, mut answer: impl FnMut(&PageRequest) -> Page) -> Read {
    let mut reader = Reader::new(paging, None);
    let mut read = Read::default();
    loop {
        read.asked += 1;
        assert!(read.asked < 2000, "the list does not end");
        let request = reader.request(reader.end());
        assert!((1..=100).contains(&request.limit), "{request:?}");
        let page = answer(&request);
        let taken = reader.accept(&request, page, |row| match row {
            Ok(key) => read.ids.push(key.id().as_str().parse().unwrap()),
            Err(_) => read.odd += 1,
        });
        assert!(reader.latest.len() <= REMEMBERED_PAGES, "what is remembered is bounded");
        match taken {
            Verdict::ContinueInOrder | Verdict::ContinueElsewhere => {}
            Verdict::Complete => return read,
            Verdict::Incomplete(missing) => {
                read.incomplete = Some(missing);
                return read;
            }
        }
    }
}

const STYLES: [Paging; 2] = [Paging::Offset, Paging::Number];

#[track_caller]
fn assert_whole(read: &Read, expected: impl Iterator<Item = u64>, context: &str) {
    let mut ids = read.ids.clone();
    ids.sort_unstable();
    let expected: Vec<_> = expected.collect();
    assert!(ids == expected, "{context}: {} of {} keys, {read:?}", ids.len(), expected.len());
    assert_eq!(read.incomplete, None, "{context}");
}

#[test]
fn every_count_and_page_size_is_listed_in_full() {
    for paging in STYLES {
        for count in [0, 1, 2, 3, 19, 20, 21, 99, 100, 101, 200, 1234] {
            for cap in [1, 2, 3, 7, 20, 100] {
                for told in 0..4 {
                    for ignores_limit in [false, true] {
                        if ignores_limit && paging == Paging::Offset {
                            continue;
                        }
                        let (tells_total, tells_size) = (told & 1 > 0, told & 2 > 0);
                        let whole = Server::new(paging, count);
                        let mut server = Server { cap, tells_total, tells_size, ignores_limit, ..whole };
                        let read = read(paging, |request| server.answer(request));
                        let context = format!("{paging:?} {count} in pages of {cap}, {told}, {ignores_limit}");
                        assert_whole(&read, 0..count, &context);
                        // More than there are pages, since pages overlap and the end has to be seen; a server that does
                        // not listen costs a few to find that out.
                        let least = count.div_ceil(cap).max(1);
                        let most = match cap {
                            _ if ignores_limit => least + 9,
                            0..=3 => 2 * least + 9,
                            4..=20 => least * 2 + 1,
                            _ => least * 7 / 6 + 3,
                        };
                        assert!(read.asked <= most, "{context}: {} requests, not {most}", read.asked);
                    }
                }
            }
        }
    }
}

#[test]
fn ten_thousand_keys_cost_few_requests_more_than_there_are_pages() {
    for paging in STYLES {
        let mut server = Server { tells_total: true, tells_size: true, ..Server::new(paging, 10_000) };
        let read = read(paging, |request| server.answer(request));
        assert_whole(&read, 0..10_000, &format!("{paging:?}"));
        assert!(read.asked <= if paging == Paging::Offset { 103 } else { 116 }, "{paging:?}: {}", read.asked);
    }
}

#[test]
fn a_server_that_knows_no_pages_is_asked_twice() {
    for paging in STYLES {
        for count in [3, 60, 100, 250, 10_000] {
            for tells_total in [false, true] {
                let mut server = Server { ignores_pages: true, tells_total, ..Server::new(paging, count) };
                let read = read(paging, |request| server.answer(request));
                assert_whole(&read, 0..count, &format!("{paging:?} {count}"));
                assert!(read.asked <= 2, "{paging:?} {count}: {}", read.asked);
            }
        }
    }
}

#[test]
fn one_page_that_is_repeated_empty_or_doubled_is_made_good() {
    type Spoil = fn(&mut Server, u64, Page) -> Page;
    let repeated: Spoil =
        |server, limit, page| Page { keys: rows(server.keys.iter().take(limit as usize).copied()), ..page };
    let empty: Spoil = |_, _, page| Page { keys: Vec::new(), ..page };
    let doubled: Spoil = |_, _, page| {
        let ids: Vec<u64> = page.keys.iter().flatten().map(|key| key.id().as_str().parse().unwrap()).collect();
        Page { keys: rows(ids.into_iter().flat_map(|id| [id, id])), ..page }
    };
    for (spoil, name) in [(repeated, "repeated"), (empty, "empty"), (doubled, "doubled")] {
        for paging in STYLES {
            for tells_total in [false, true] {
                for count in [100, 101, 350, 1000] {
                    for spoilt in 1..6 {
                        if name == "empty" && spoilt == 1 && !tells_total {
                            // Nothing tells that there is more.
                            continue;
                        }
                        let mut server = Server { tells_total, tells_size: tells_total, ..Server::new(paging, count) };
                        let read = read(paging, |request| {
                            let page = server.answer(request);
                            if server.asked == spoilt { spoil(&mut server, request.limit, page) } else { page }
                        });
                        assert_whole(&read, 0..count, &format!("{name} {paging:?} {count} {tells_total} {spoilt}"));
                    }
                }
            }
        }
    }
}

/// Between any two pages keys are deleted and created, anywhere.
#[test]
fn a_key_that_is_there_throughout_is_listed_once_whatever_comes_and_goes() {
    let mut rng = Rng::with_seed(7);
    for round in 0..400 {
        let paging = STYLES[round % 2];
        let count = rng.u64(0..600);
        let tells_total = rng.bool();
        let mut server = Server { tells_total, tells_size: tells_total, ..Server::new(paging, count) };
        let mut throughout: BTreeSet<u64> = server.keys.iter().copied().collect();
        let mut next = 10_000;
        let most = rng.usize(1..40);
        let newest_first = rng.bool();
        let read = read(paging, |request| {
            if server.asked > 0 && server.asked < 12 {
                for _ in 0..rng.usize(0..most) {
                    if rng.bool() && !server.keys.is_empty() {
                        let gone = server.keys.remove(rng.usize(..server.keys.len()));
                        throughout.remove(&gone);
                    } else if newest_first {
                        server.keys.insert(0, next);
                    } else {
                        server.keys.push(next);
                    }
                    next += 1;
                }
            }
            server.answer(request)
        });
        let unique: BTreeSet<_> = read.ids.iter().copied().collect();
        let context = format!("round {round}: {paging:?} {count} {tells_total} {newest_first} {most}");
        assert_eq!(unique.len(), read.ids.len(), "{context}: a key came twice");
        let lost: Vec<_> = throughout.difference(&unique).collect();
        assert!(lost.is_empty() || read.incomplete.is_some(), "{context}: {lost:?} were lost, and it was not told");
        assert!(lost.is_empty(), "{context}: {lost:?} were lost");
    }
}

#[test]
fn a_total_that_promises_too_much_is_told_and_one_that_promises_too_little_hides_nothing() {
    for paging in STYLES {
        let mut server = Server::new(paging, 150);
        let read = read(paging, |request| server.answer(request).with_total(Some(1_000_000)));
        assert_eq!((read.ids.len(), read.incomplete), (150, Some(Some(999_850))), "{paging:?}");
        assert!(read.asked < 20, "{paging:?}: {}", read.asked);

        for (cap, tells_size) in [(100, false), (20, false), (20, true), (100, true)] {
            let mut server = Server { cap, tells_size, ..Server::new(paging, 250) };
            let read = self::read(paging, |request| server.answer(request).with_total(Some(1)));
            assert_whole(&read, 0..250, &format!("{paging:?} {cap} {tells_size}"));
        }
    }
}

#[test]
fn an_empty_page_that_stays_empty_is_passed_over_and_told() {
    for paging in STYLES {
        let mut server = Server { tells_total: true, tells_size: true, ..Server::new(paging, 350) };
        let read = read(paging, |request| {
            let page = server.answer(request);
            let is_hit = request.offset < 200 && request.offset + request.limit > 101;
            if is_hit { Page { keys: Vec::new(), ..page } } else { page }
        });
        assert!(read.ids.len() >= 150, "{paging:?}: what comes after it is listed: {read:?}");
        assert!(read.incomplete.is_some(), "{paging:?}: {read:?}");
    }
}

#[test]
fn odd_rows_are_told_once_each_and_hide_no_other() {
    for paging in STYLES {
        for count in [1, 3, 99, 100, 101, 199, 250] {
            for at in [0, 1, 50, 98, 99, 100, 150, 197, 198, 199] {
                for tells in [false, true] {
                    let mut server = Server { tells_total: tells, tells_size: tells, ..Server::new(paging, count) };
                    let read = read(paging, |request| {
                        let mut page = server.answer(request);
                        if let Some(row) = page
                            .keys
                            .iter_mut()
                            .find(|row| row.as_ref().is_ok_and(|key| key.id().as_str() == at.to_string()))
                        {
                            *row = odd();
                        }
                        page
                    });
                    let context = format!("{paging:?} {count} odd at {at}, {tells}");
                    assert_whole(&read, (0..count).filter(|id| *id != at), &context);
                    assert_eq!(read.odd, usize::from(at < count), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_page_of_odd_rows_is_not_the_end_and_no_end_of_them_is_one() {
    for paging in STYLES {
        for tells in [false, true] {
            let mut server = Server { tells_total: tells, tells_size: tells, ..Server::new(paging, 350) };
            let read = read(paging, |request| {
                let page = server.answer(request);
                let is_odd = server.asked == 2;
                let keys = page.keys.into_iter().map(|row| if is_odd { odd() } else { row }).collect();
                Page { keys, ..Page::new(Vec::new()).with_total(page.total).with_page_size(page.page_size) }
            });
            assert!(read.ids.len() >= 250 && read.odd >= 98, "{paging:?} {tells}: {} {}", read.ids.len(), read.odd);
        }
        let read = read(paging, |request| Page::new((0..request.limit).map(|_| odd()).collect()));
        assert_eq!(read.incomplete, Some(None), "{paging:?}");
    }
}

#[test]
fn pages_that_go_round_in_a_circle_end() {
    for paging in STYLES {
        for length in [2, 5, 9, 30] {
            let mut asked = 0;
            let read = read(paging, |request| {
                asked += 1;
                let start = asked % length * 1000;
                Page::new(rows(start..start + request.limit))
            });
            assert!(read.asked < 300, "{paging:?} {length}: {}", read.asked);
        }
    }
}

#[test]
fn cursors_are_followed_to_their_end_and_not_in_circles() {
    let page = |request: &PageRequest| {
        let start: u64 = request.cursor.as_deref().map_or(0, |cursor| cursor.parse().unwrap());
        Page::new(rows(start..(start + 100).min(250))).with_next((start < 200).then(|| (start + 100).to_string()))
    };
    let whole = read(Paging::Cursor, page);
    assert_whole(&whole, 0..250, "cursors");
    assert_eq!(whole.asked, 3);
    let stuck = read(Paging::Cursor, |request| page(request).with_next(Some("100".to_owned())));
    assert_eq!(stuck.incomplete, Some(None));
    assert_eq!(stuck.ids.len(), 200);
    let mut asked = 0;
    let circle = read(Paging::Cursor, |_| {
        asked += 1;
        Page::new(rows(0..100)).with_next(Some((asked % 3).to_string()))
    });
    assert_eq!((circle.ids.len(), circle.incomplete), (100, Some(None)));
}
