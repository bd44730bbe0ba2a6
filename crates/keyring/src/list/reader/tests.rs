//! Servers of every kind, and the lists that the reader makes of their pages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use fastrand::Rng;

use super::*;
use crate::model::key::Details;
use crate::{Error, ErrorKind, Outcome};

/// A server with its keys and its habits.
#[derive(Clone)]
struct Server {
    paging: Paging,
    keys: Vec<u64>,
    /// The maximum number of rows on a page, whatever the request says.
    cap: u64,
    /// Whether pages have `cap` rows even if the request asks for fewer.
    ignores_limit: bool,
    /// Whether every answer holds all keys.
    ignores_pages: bool,
    reports_total: bool,
    reports_size: bool,
    requests: u64,
}

impl Server {
    fn new(paging: Paging, count: u64) -> Self {
        Self {
            paging,
            keys: (0..count).collect(),
            cap: 100,
            ignores_limit: false,
            ignores_pages: false,
            reports_total: false,
            reports_size: false,
            requests: 0,
        }
    }

    fn answer(&mut self, request: &PageRequest) -> Page {
        self.requests += 1;
        let size = if self.ignores_limit { self.cap } else { request.limit.min(self.cap) };
        let start = match self.paging {
            Paging::Number => {
                assert_eq!(request.offset % request.limit, 0, "the server counts whole pages: {request:?}");
                (request.number() - 1) * size
            }
            _ => request.offset,
        };
        let page = self.keys.iter().skip(start as usize).take(size as usize).copied();
        let rows = if self.ignores_pages { rows(self.keys.iter().copied()) } else { rows(page) };
        Page::new(rows)
            .with_total(self.reports_total.then_some(self.keys.len() as u64))
            .with_page_size(self.reports_size.then_some(size))
    }
}

fn rows(ids: impl Iterator<Item = u64>) -> Vec<Result<ApiKey>> {
    ids.map(|id| Ok(ApiKey::new(&"test".into(), id.to_string().parse().unwrap(), Details::default()))).collect()
}

fn malformed() -> Result<ApiKey> {
    Err(Error::new(ErrorKind::UnexpectedAnswer, Outcome::Applied, "malformed row"))
}

/// The result of a list.
#[derive(Debug, Default, PartialEq)]
struct Read {
    ids: Vec<u64>,
    malformed: usize,
    /// `Some` if the list ended in an error, with the number of missing keys if known.
    incomplete: Option<Option<u64>>,
    requests: u64,
}

/// Reads a list to its end, page by page.
fn read(paging: Paging, mut answer: impl FnMut(&PageRequest) -> Page) -> Read {
    let mut reader = Reader::new(paging, None);
    let mut read = Read::default();
    loop {
        read.requests += 1;
        assert!(read.requests < 2000, "the list does not end");
        let request = reader.request(reader.end());
        assert!((1..=100).contains(&request.limit), "{request:?}");
        let page = answer(&request);
        let taken = reader.accept(&request, page, |row| match row {
            Ok(key) => read.ids.push(key.id().as_str().parse().unwrap()),
            Err(_) => read.malformed += 1,
        });
        assert!(reader.latest.len() <= REMEMBERED_PAGES, "the reader's memory is bounded");
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
fn a_list_is_complete_for_every_count_and_page_size() {
    for paging in STYLES {
        for count in [0, 1, 2, 3, 19, 20, 21, 99, 100, 101, 200, 1234] {
            for cap in [1, 2, 3, 7, 20, 100, 101, 150, 250, 1000] {
                for reported in 0..4 {
                    for ignores_limit in [false, true] {
                        if ignores_limit && paging == Paging::Offset && cap < 100 {
                            continue;
                        }
                        let (reports_total, reports_size) = (reported & 1 > 0, reported & 2 > 0);
                        let whole = Server::new(paging, count);
                        let mut server = Server { cap, reports_total, reports_size, ignores_limit, ..whole };
                        let read = read(paging, |request| server.answer(request));
                        let context = format!("{paging:?} {count} in pages of {cap}, {reported}, {ignores_limit}");
                        assert_whole(&read, 0..count, &context);
                        // There are more requests than pages, because pages overlap and the reader must see the end. It
                        // takes a few more to notice that a server ignores the limit.
                        let length = if ignores_limit { cap } else { cap.min(100) };
                        let least = count.div_ceil(length).max(1);
                        let most = match cap {
                            _ if ignores_limit => least + 9,
                            0..=3 => 2 * least + 9,
                            4..=20 => least * 2 + 1,
                            _ => least * 7 / 6 + 3,
                        };
                        assert!(read.requests <= most, "{context}: {} requests, not {most}", read.requests);
                    }
                }
            }
        }
    }
}

/// The server chooses the length of its pages, and one of them has a few rows more or fewer, or each twice.
#[test]
fn a_page_of_another_length_hides_no_key_of_a_server_that_chooses_the_length() {
    #[derive(Clone, Copy, Debug)]
    enum Odd {
        /// The page lacks its last rows, and no other page has them.
        Short(u64),
        /// The page also has the first rows of the next page.
        Long(u64),
        Doubled,
    }
    for (length, odd_pages) in [(20, 1..=1), (99, 1..=1), (100, 1..=1), (101, 1..=5), (150, 1..=5), (250, 1..=5)] {
        for odd_page in odd_pages {
            for odd in [Odd::Short(1), Odd::Short(7), Odd::Long(1), Odd::Long(19), Odd::Doubled] {
                if length < 100 && matches!(odd, Odd::Long(_)) {
                    // The pages after it are shorter than the first one, and a short page is the last one.
                    continue;
                }
                for reports_total in [false, true] {
                    for count in [length * 2, length * 6 - 3, length * 12] {
                        let lost = |id: u64| match odd {
                            Odd::Short(rows) => id / length + 1 == odd_page && id % length >= length - rows,
                            _ => false,
                        };
                        let expected: Vec<_> = (0..count).filter(|id| !lost(*id)).collect();
                        let read = read(Paging::Number, |request| {
                            let number = request.number();
                            let (start, end) = ((number - 1) * length, number * length);
                            let end = match odd {
                                Odd::Long(rows) if number == odd_page => end + rows,
                                _ => end,
                            };
                            let page = (start..end.min(count)).filter(|id| !lost(*id));
                            let times = if matches!(odd, Odd::Doubled) && number == odd_page { 2 } else { 1 };
                            let page = Page::new(rows(page.flat_map(|id| std::iter::repeat_n(id, times))));
                            page.with_total(reports_total.then_some(expected.len() as u64))
                        });
                        let context = format!("{odd:?} page {odd_page} of {count} keys in pages of {length}");
                        assert_whole(&read, expected.iter().copied(), &format!("{context}, {reports_total}"));
                        let unique: BTreeSet<_> = read.ids.iter().collect();
                        assert_eq!(unique.len(), read.ids.len(), "{context}");
                    }
                }
            }
        }
    }
}

/// The server honours the limit, but answers some requests with a few rows more.
#[test]
fn a_few_pages_that_are_too_long_hide_no_key() {
    for paging in STYLES {
        for long in [&[1][..], &[2], &[2, 3], &[2, 5], &[1, 2, 3, 4, 5, 6]] {
            for reports_total in [false, true] {
                for count in [105, 250, 997, 1000] {
                    let mut server = Server { reports_total, ..Server::new(paging, count) };
                    let read = read(paging, |request| {
                        let mut page = server.answer(request);
                        if long.contains(&server.requests) {
                            let next = request.offset + request.limit;
                            page.keys.extend(rows((next..next + 5).filter(|id| *id < count)));
                        }
                        page
                    });
                    assert_whole(&read, 0..count, &format!("{paging:?} {long:?} {count} {reports_total}"));
                }
            }
        }
    }
}

#[test]
fn ten_thousand_keys_take_few_more_requests_than_pages() {
    for paging in STYLES {
        let mut server = Server { reports_total: true, reports_size: true, ..Server::new(paging, 10_000) };
        let read = read(paging, |request| server.answer(request));
        assert_whole(&read, 0..10_000, &format!("{paging:?}"));
        assert!(read.requests <= if paging == Paging::Offset { 103 } else { 116 }, "{paging:?}: {}", read.requests);
    }
}

#[test]
fn a_server_without_pages_gets_two_requests() {
    for paging in STYLES {
        for count in [3, 60, 100, 250, 10_000] {
            for reports_total in [false, true] {
                let mut server = Server { ignores_pages: true, reports_total, ..Server::new(paging, count) };
                let read = read(paging, |request| server.answer(request));
                assert_whole(&read, 0..count, &format!("{paging:?} {count}"));
                assert!(read.requests <= 2, "{paging:?} {count}: {}", read.requests);
            }
        }
    }
}

#[test]
fn the_reader_recovers_from_one_repeated_empty_or_doubled_page() {
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
            for reports_total in [false, true] {
                for count in [100, 101, 350, 1000] {
                    for spoiled in 1..6 {
                        if name == "empty" && spoiled == 1 && !reports_total {
                            // Without a total, nothing shows that there is more.
                            continue;
                        }
                        let mut server =
                            Server { reports_total, reports_size: reports_total, ..Server::new(paging, count) };
                        let read = read(paging, |request| {
                            let page = server.answer(request);
                            if server.requests == spoiled { spoil(&mut server, request.limit, page) } else { page }
                        });
                        assert_whole(&read, 0..count, &format!("{name} {paging:?} {count} {reports_total} {spoiled}"));
                    }
                }
            }
        }
    }
}

/// Keys are created and deleted anywhere between any two pages.
#[test]
fn a_key_that_exists_throughout_is_listed_once_while_others_change() {
    let mut rng = Rng::with_seed(7);
    for round in 0..400 {
        let paging = STYLES[round % 2];
        let count = rng.u64(0..600);
        let reports_total = rng.bool();
        let mut server = Server { reports_total, reports_size: reports_total, ..Server::new(paging, count) };
        let mut throughout: BTreeSet<u64> = server.keys.iter().copied().collect();
        let mut next = 10_000;
        let most = rng.usize(1..40);
        let newest_first = rng.bool();
        let read = read(paging, |request| {
            if server.requests > 0 && server.requests < 12 {
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
        let context = format!("round {round}: {paging:?} {count} {reports_total} {newest_first} {most}");
        assert_eq!(unique.len(), read.ids.len(), "{context}: the list holds a key twice");
        let lost: Vec<_> = throughout.difference(&unique).collect();
        assert!(lost.is_empty() || read.incomplete.is_some(), "{context}: {lost:?} are missing without an error");
        assert!(lost.is_empty(), "{context}: {lost:?} are missing");
    }
}

#[test]
fn a_total_that_is_too_high_is_reported_and_one_that_is_too_low_hides_nothing() {
    for paging in STYLES {
        let mut server = Server::new(paging, 150);
        let read = read(paging, |request| server.answer(request).with_total(Some(1_000_000)));
        assert_eq!((read.ids.len(), read.incomplete), (150, Some(Some(999_850))), "{paging:?}");
        assert!(read.requests < 20, "{paging:?}: {}", read.requests);

        for (cap, reports_size) in [(100, false), (20, false), (20, true), (100, true)] {
            let mut server = Server { cap, reports_size, ..Server::new(paging, 250) };
            let read = self::read(paging, |request| server.answer(request).with_total(Some(1)));
            assert_whole(&read, 0..250, &format!("{paging:?} {cap} {reports_size}"));
        }
    }
}

#[test]
fn a_page_that_stays_empty_is_skipped_and_reported() {
    for paging in STYLES {
        let mut server = Server { reports_total: true, reports_size: true, ..Server::new(paging, 350) };
        let read = read(paging, |request| {
            let page = server.answer(request);
            let is_hit = request.offset < 200 && request.offset + request.limit > 101;
            if is_hit { Page { keys: Vec::new(), ..page } } else { page }
        });
        assert!(read.ids.len() >= 150, "{paging:?}: the keys after it are listed: {read:?}");
        assert!(read.incomplete.is_some(), "{paging:?}: {read:?}");
    }
}

#[test]
fn a_malformed_row_is_reported_once_and_hides_no_other() {
    for paging in STYLES {
        for count in [1, 3, 99, 100, 101, 199, 250] {
            for at in [0, 1, 50, 98, 99, 100, 150, 197, 198, 199] {
                for reports in [false, true] {
                    let mut server =
                        Server { reports_total: reports, reports_size: reports, ..Server::new(paging, count) };
                    let read = read(paging, |request| {
                        let mut page = server.answer(request);
                        if let Some(row) = page
                            .keys
                            .iter_mut()
                            .find(|row| row.as_ref().is_ok_and(|key| key.id().as_str() == at.to_string()))
                        {
                            *row = malformed();
                        }
                        page
                    });
                    let context = format!("{paging:?} {count} malformed at {at}, {reports}");
                    assert_whole(&read, (0..count).filter(|id| *id != at), &context);
                    assert_eq!(read.malformed, usize::from(at < count), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_page_of_malformed_rows_does_not_end_the_list_but_endless_ones_do() {
    for paging in STYLES {
        for reports in [false, true] {
            let mut server = Server { reports_total: reports, reports_size: reports, ..Server::new(paging, 350) };
            let read = read(paging, |request| {
                let page = server.answer(request);
                let is_malformed = server.requests == 2;
                let keys = page.keys.into_iter().map(|row| if is_malformed { malformed() } else { row }).collect();
                Page { keys, ..Page::new(Vec::new()).with_total(page.total).with_page_size(page.page_size) }
            });
            assert!(
                read.ids.len() >= 250 && read.malformed >= 98,
                "{paging:?} {reports}: {} {}",
                read.ids.len(),
                read.malformed
            );
        }
        let read = read(paging, |request| Page::new((0..request.limit).map(|_| malformed()).collect()));
        assert_eq!(read.incomplete, Some(None), "{paging:?}");
    }
}

/// The first pages overlap. From then on, the server has other keys under each position whenever it is asked.
#[test]
fn a_list_whose_pages_stop_overlapping_is_incomplete() {
    for paging in STYLES {
        let mut server = Server::new(paging, 1000);
        let read = read(paging, |request| {
            if server.requests < 3 {
                return server.answer(request);
            }
            server.requests += 1;
            let start = server.requests * 1000;
            let rows_left = 1000_u64.saturating_sub(request.offset).min(request.limit);
            Page::new(rows(start..start + rows_left))
        });
        assert!(read.ids.len() > 200, "{paging:?}: {}", read.ids.len());
        assert_eq!(read.incomplete, Some(None), "{paging:?}: {} requests", read.requests);
    }
}

#[test]
fn pages_that_repeat_in_a_cycle_end() {
    for paging in STYLES {
        for length in [2, 5, 9, 30] {
            let mut requests = 0;
            let read = read(paging, |request| {
                requests += 1;
                let start = requests % length * 1000;
                Page::new(rows(start..start + request.limit))
            });
            assert!(read.requests < 300, "{paging:?} {length}: {}", read.requests);
        }
    }
}

#[test]
fn cursors_are_followed_to_their_end_but_not_in_cycles() {
    let page = |request: &PageRequest| {
        let start: u64 = request.cursor.as_deref().map_or(0, |cursor| cursor.parse().unwrap());
        Page::new(rows(start..(start + 100).min(250))).with_next((start < 200).then(|| (start + 100).to_string()))
    };
    let whole = read(Paging::Cursor, page);
    assert_whole(&whole, 0..250, "cursors");
    assert_eq!(whole.requests, 3);
    let stuck = read(Paging::Cursor, |request| page(request).with_next(Some("100".to_owned())));
    assert_eq!(stuck.incomplete, Some(None));
    assert_eq!((stuck.ids.len(), stuck.requests), (200, 2));
    let mut requests = 0;
    let circle = read(Paging::Cursor, |_| {
        requests += 1;
        Page::new(rows(0..100)).with_next(Some((requests % 3).to_string()))
    });
    assert_eq!((circle.ids.len(), circle.incomplete), (100, Some(None)));
    assert!(circle.requests <= 5, "{}", circle.requests);
}
