//! Decides which page to request next, and what the pages prove.
//!
//! A list that is read by position may shift while the reader reads it. A deleted key moves all later keys up, so the
//! next page starts too late; a new key moves them down. The reader therefore requests pages that overlap: each starts
//! with at least one row that the reader already knows. If a known row arrives, no row was missed. Otherwise the reader
//! reads again from further back until one arrives.
//!
//! Not every server allows this, so the reader has a [`Mode`]:
//!
//! | mode | the next page starts | what leads to another mode |
//! |---|---|---|
//! | `Cursor` | at the vendor's cursor | nothing |
//! | `Untested` | before the last known row | a repeated row: `Overlapping`. A page that is too long, pages of single rows, or a stall: `Disjoint` |
//! | `Overlapping` | before the last known row | a page that is too long: `Disjoint`. A stall: `Doubtful` |
//! | `Disjoint` | after the last row, or at the next page number | nothing |
//! | `Doubtful` | after the last row | nothing; the list ends in an error |
//!
//! The table's *stall* means that more than [`MAX_STALLS`] pages in a row lead no further. [`Mode::after`] holds all
//! transitions.
//!
//! The reader's memory does not grow with the list. It remembers the ids of the first page and of the latest pages.

mod cycle;
mod mode;
mod seen;

use std::collections::{HashSet, VecDeque};
use std::mem;

use self::cycle::Cycle;
use self::mode::{Evidence, Mode};
use self::seen::{Fingerprint, Fingerprints, SeenIds};
use crate::{ApiKey, Page, PageRequest, Paging, Result};

/// The number of keys to request at a time: the maximum that Spartera allows.
const PAGE_SIZE: u64 = 100;

/// After this many pages in a row without a new key, the list ends, even if there may be more pages.
const MAX_BARREN_PAGES: u32 = 3;

/// The number of pages in a row that may lead no further before the reader stops requesting overlapping pages.
const MAX_STALLS: u32 = 6;

/// The number of pages after which a list counts as endless.
const MAX_PAGES: u64 = 100_000;

/// The number of latest pages whose ids the reader remembers.
const REMEMBERED_PAGES: usize = 4;

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read on after this page. The pages that were requested concurrently can still be used.
    ContinueInOrder,
    /// Read on elsewhere. The pages that were requested concurrently cannot be used.
    ContinueElsewhere,
    /// The list is complete.
    Complete,
    /// The list ends, but keys are missing: this many, if known.
    Incomplete(Option<u64>),
}

pub(super) struct Reader {
    paging: Paging,
    mode: Mode,
    search: Option<String>,
    /// The cursor of the next page.
    cursor: Option<String>,
    /// The position up to which the list is read, in rows of the list as it is now.
    end: u64,
    /// The furthest position so far. It exceeds `end` while the reader reads again from further back.
    reached: u64,
    /// The distance from `end` back to the last row with a known id. 0 if there is no such row.
    overlap: u64,
    /// The maximum number of rows on one of this server's pages, as far as known.
    page_size: u64,
    total: Option<u64>,
    pages: u64,
    /// The number of pages in a row that led no further.
    stalls: u32,
    /// The number of pages in a row that led further but brought no key.
    barren: u32,
    /// The number of distinct rows so far, including malformed ones.
    accounted: u64,
    /// The number of rows that the skipped empty pages should have had.
    skipped: u64,
    fingerprints: Fingerprints,
    first_page: SeenIds,
    latest: VecDeque<SeenIds>,
    /// Two collections that are no longer in use. The next page uses their memory: new ones would lie elsewhere each
    /// time, and long pages need large ones.
    spare: (HashSet<Fingerprint>, SeenIds),
    cycle: Cycle,
}

impl Reader {
    pub(super) fn new(paging: Paging, search: Option<String>) -> Self {
        Self {
            paging,
            mode: Mode::new(paging),
            search,
            cursor: None,
            end: 0,
            reached: 0,
            overlap: 0,
            page_size: PAGE_SIZE,
            total: None,
            pages: 0,
            stalls: 0,
            barren: 0,
            accounted: 0,
            skipped: 0,
            fingerprints: Fingerprints::default(),
            first_page: SeenIds::default(),
            latest: VecDeque::new(),
            spare: Default::default(),
            cycle: Cycle::default(),
        }
    }

    /// Returns the position up to which the list is read.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Returns the length of the list if later pages can be requested before the earlier ones arrive.
    pub(super) fn predicted_total(&self) -> Option<u64> {
        let is_steady = self.stalls == 0 && self.barren == 0 && self.pages > 0;
        self.total.filter(|_| is_steady && self.mode != Mode::Cursor)
    }

    /// Returns the request that follows once the list is read up to `end`.
    pub(super) fn request(&self, end: u64) -> PageRequest {
        // A predicted end assumes full pages, so its last row will be known: one row suffices. If the last known row is
        // a whole page back, a page that repeats it has no space for a new row.
        let overlap = if !self.mode.overlaps() || self.overlap >= self.page_size {
            0
        } else if end == self.end {
            self.overlap
        } else {
            1
        };
        // Request one row less than the first page had. A server that sends more ignores the limit.
        let most = if self.latest.len() == 1 && self.mode.overlaps() && end == self.end {
            self.page_size - 1
        } else {
            self.page_size
        };
        let (offset, limit) = match self.paging {
            Paging::Cursor => (end, PAGE_SIZE),
            Paging::Offset => (end - overlap, most.max(overlap + 1).min(self.page_size)),
            Paging::Number if self.counts_pages() => (end.div_ceil(self.page_size) * self.page_size, self.page_size),
            Paging::Number => numbered(end, overlap, most.max(2).min(self.page_size)),
        };
        PageRequest { offset, limit, cursor: self.cursor.clone(), search: self.search.clone() }
    }

    /// Returns whether the list may end before this request, which a service may answer with *not found* instead of an
    /// empty page. The first page must exist, and so must the page that a cursor identifies.
    pub(super) fn may_end_before(&self, request: &PageRequest) -> bool {
        self.pages > 0 && request.offset > 0 && self.mode != Mode::Cursor
    }

    /// Accepts a page, and emits the rows that no earlier page had.
    pub(super) fn accept(&mut self, request: &PageRequest, page: Page, emit: impl FnMut(Result<ApiKey>)) -> Verdict {
        self.pages += 1;
        self.total = page.total.or(self.total);
        if self.pages > MAX_PAGES || self.cycle.closes_with(&page) {
            return Verdict::Incomplete(None);
        }
        let counts = self.count(&page.keys);
        if self.discards(request, &counts) {
            self.spare.0 = counts.ids;
            return Verdict::ContinueElsewhere;
        }
        if self.must_repeat_a_row(request) && counts.known > 0 {
            self.mode = self.mode.after(Evidence::RepeatedRow);
        }
        let rows = counts.rows;
        self.learn_page_size(request, page.page_size, rows);
        let new_rows = self.emit_new_rows(request, page.keys, counts, emit);
        if self.mode == Mode::Cursor {
            self.barren = if new_rows == NewRows::Keys { 0 } else { self.barren + 1 };
            return self.follow_cursor(page.next);
        }
        self.advance(request, rows, new_rows);
        self.verdict(request, rows, new_rows)
    }

    /// Discards a page that does not fit, and moves to the position to read next. Returns `false` if the page fits.
    fn discards(&mut self, request: &PageRequest, counts: &PageCounts) -> bool {
        if self.must_repeat_a_row(request) && counts.rows > request.limit {
            self.mode = self.mode.after(Evidence::TooLong);
            if !counts.is_first_again || request.offset == 0 {
                self.end = self.own_page_end();
                return true;
            }
        }
        if counts.rows == 0 && self.mode.overlaps() && self.total.is_some_and(|total| total > request.offset) {
            // The total promises rows here, so request them again.
            self.stall();
            return true;
        }
        if !self.must_repeat_a_row(request) {
            return false;
        }
        let lacks_known_row = counts.known == 0 && !counts.is_all_malformed;
        let is_repetition =
            counts.rows > 1 && counts.known == counts.rows && self.reach(request, counts) == Reach::Further;
        if lacks_known_row || is_repetition {
            self.rewind();
        }
        lacks_known_row || is_repetition
    }

    /// Returns whether the reader counts pages instead of rows, because the server chooses the length of its pages and
    /// numbers them.
    fn counts_pages(&self) -> bool {
        self.paging == Paging::Number && self.mode == Mode::Disjoint
    }

    /// Returns whether the page starts before the end of the rows read so far, so that it must repeat a row.
    fn must_repeat_a_row(&self, request: &PageRequest) -> bool {
        self.mode.overlaps() && request.offset < self.end
    }

    /// Learns the server's page size from the first page.
    fn learn_page_size(&mut self, request: &PageRequest, declared: Option<u64>, rows: u64) {
        if self.latest.is_empty() {
            let observed = if rows == 0 { PAGE_SIZE } else { rows.min(PAGE_SIZE) };
            self.page_size = declared.map_or(observed, |size| size.clamp(1, PAGE_SIZE));
            if rows > request.limit && self.paging == Paging::Number {
                // The server ignores the limit, so it counts in pages of its own length.
                self.mode = self.mode.after(Evidence::TooLong);
            } else if self.page_size == 1 {
                self.mode = self.mode.after(Evidence::SingleRows);
            }
        }
    }

    /// Moves on after a page.
    fn advance(&mut self, request: &PageRequest, rows: u64, new_rows: NewRows) {
        if rows == 0 {
            // Skip the empty page as if it had been full.
            self.end = request.offset + request.limit;
            self.skipped += request.limit;
        } else if self.counts_pages() {
            // The next page has the next number, however many rows this one holds.
            self.end = request.offset + self.page_size;
        } else {
            self.end = request.offset + rows;
        }
        if self.end > self.reached || new_rows == NewRows::Keys {
            // The position may also decrease, if keys that were already read have been deleted.
            self.reached = self.end;
            self.stalls = 0;
            self.barren = if new_rows == NewRows::Keys { 0 } else { self.barren + 1 };
        } else {
            self.stall();
        }
    }

    /// Decides whether the list ends here.
    fn verdict(&self, request: &PageRequest, rows: u64, new_rows: NewRows) -> Verdict {
        // A short first page may already be a full page of this server. Unless the server declares its page length, the
        // first page has the length of a page. If the server chooses the length, no short page proves anything.
        let is_last = rows < request.limit.min(self.page_size) && !self.counts_pages();
        let is_barren = self.barren >= MAX_BARREN_PAGES;
        let is_behind = self.mode.overlaps() && self.end <= self.reached && self.stalls > 0 && !is_last;
        // With overlap, every row before a known row has arrived, whatever the total says.
        let found = if self.mode.overlaps() { self.accounted.max(self.end - self.skipped) } else { self.accounted };
        let ended = match (self.total, new_rows) {
            _ if is_behind => false,
            (None, NewRows::None) => true,
            (None, _) => is_barren || is_last,
            // There may be another page even if the total says that this is the last one.
            (Some(total), _) if found >= total => new_rows != NewRows::Keys || is_last,
            (Some(total), NewRows::None) => is_barren || self.end >= total,
            (Some(_), _) => is_barren,
        };
        match self.total {
            _ if !ended && self.end == request.offset + request.limit => Verdict::ContinueInOrder,
            _ if !ended => Verdict::ContinueElsewhere,
            Some(total) if found < total => Verdict::Incomplete(Some(total - found)),
            None if is_barren => Verdict::Incomplete(None),
            _ if self.mode == Mode::Doubtful => Verdict::Incomplete(None),
            _ => Verdict::Complete,
        }
    }

    /// Moves back, because the page lacked the known row that it should have repeated.
    fn rewind(&mut self) {
        // Go back half a page more each time, but stay within the remembered pages.
        let back = self.page_size * u64::from(self.stalls + 1).min(6) / 2;
        self.end = self.reached.saturating_sub(back).max(1);
        self.overlap = 1;
        self.stall();
    }

    fn stall(&mut self) {
        self.stalls += 1;
        if self.mode.overlaps() && self.stalls > MAX_STALLS {
            self.mode = self.mode.after(Evidence::Stalled);
            self.stalls = 0;
            self.end = self.own_page_end();
        }
    }

    /// Returns the end of the last complete page, by the server's own division into pages.
    fn own_page_end(&self) -> u64 {
        match self.paging {
            Paging::Number => self.reached / self.page_size * self.page_size,
            _ => self.reached,
        }
    }

    fn follow_cursor(&mut self, next: Option<String>) -> Verdict {
        match next {
            None => Verdict::Complete,
            Some(next) if self.cursor.as_ref() == Some(&next) || self.barren >= MAX_BARREN_PAGES => {
                Verdict::Incomplete(None)
            }
            Some(next) => {
                self.cursor = Some(next);
                Verdict::ContinueInOrder
            }
        }
    }

    /// Returns whether a page leads beyond the rows read so far.
    fn reach(&self, request: &PageRequest, counts: &PageCounts) -> Reach {
        if request.offset + counts.rows > self.reached { Reach::Further } else { Reach::NoFurther }
    }

    fn has_seen(&self, id: Fingerprint) -> bool {
        self.first_page.contains(id) || self.latest.iter().any(|page| page.contains(id))
    }

    fn count(&mut self, rows: &[Result<ApiKey>]) -> PageCounts {
        let mut ids = mem::take(&mut self.spare.0);
        ids.clear();
        ids.reserve(rows.len());
        let (mut known, mut malformed) = (0, 0);
        let mut is_new = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(key) = row else {
                malformed += 1;
                is_new.push(false);
                continue;
            };
            let id = self.fingerprints.of(key.id());
            let (is_first, has_seen) = (ids.insert(id), self.has_seen(id));
            known += u64::from(is_first && has_seen);
            is_new.push(is_first && !has_seen);
        }
        PageCounts {
            rows: ids.len() as u64 + malformed,
            known,
            is_all_malformed: malformed > 0 && ids.is_empty(),
            is_first_again: !ids.is_empty()
                && ids.len() == self.first_page.len()
                && ids.iter().all(|id| self.first_page.contains(*id)),
            is_new,
            ids,
        }
    }

    /// Emits the rows that no earlier page had, and remembers the page.
    fn emit_new_rows(
        &mut self,
        request: &PageRequest,
        rows: Vec<Result<ApiKey>>,
        counts: PageCounts,
        mut emit: impl FnMut(Result<ApiKey>),
    ) -> NewRows {
        let (reach, old_rows) = (self.reach(request, &counts), self.old_rows(request, &counts));
        let previous_overlap = mem::take(&mut self.overlap);
        let mut malformed = Vec::new();
        let mut new_rows = NewRows::None;
        for ((position, row), is_new) in (0..).zip(rows).zip(counts.is_new) {
            self.overlap += u64::from(self.overlap > 0);
            match row {
                Ok(key) => {
                    self.overlap = 1;
                    if is_new {
                        new_rows = NewRows::Keys;
                        self.accounted += 1;
                        emit(Ok(key));
                    }
                }
                Err(error) if position >= old_rows => malformed.push(error),
                Err(_) => {}
            }
        }
        if new_rows == NewRows::None && !malformed.is_empty() {
            new_rows = NewRows::OnlyMalformed;
        }
        self.accounted += malformed.len() as u64;
        malformed.into_iter().map(Err).for_each(emit);
        self.remember(counts.ids, reach);
        if counts.rows == 0 && self.mode.overlaps() {
            self.overlap = previous_overlap;
        }
        new_rows
    }

    /// Returns how many rows at the start of a page earlier pages had. The reader does not report a malformed row among
    /// them again.
    fn old_rows(&self, request: &PageRequest, counts: &PageCounts) -> u64 {
        let requested_again = self.end.saturating_sub(request.offset);
        // If a page has more known rows than the reader requested again, all of it is old, including its malformed
        // rows.
        let is_old = counts.known > requested_again || counts.is_first_again;
        if is_old { u64::MAX } else { self.reached.saturating_sub(request.offset) }
    }

    fn remember(&mut self, mut ids: HashSet<Fingerprint>, reach: Reach) {
        match self.latest.back_mut() {
            // A page that was read again from further back must not displace the pages ahead of it.
            Some(latest) if reach == Reach::NoFurther => latest.add(ids.drain()),
            latest => {
                let is_first = latest.is_none();
                let mut page = mem::take(&mut self.spare.1);
                page.replace(ids.drain());
                if is_first {
                    self.first_page.clone_from(&page);
                }
                self.latest.push_back(page);
                if self.latest.len() > REMEMBERED_PAGES {
                    self.spare.1 = self.latest.pop_front().unwrap_or_default();
                }
            }
        }
        self.spare.0 = ids;
    }
}

/// The rows of a page.
struct PageCounts {
    /// The number of distinct rows.
    rows: u64,
    /// The number of keys that earlier pages had.
    known: u64,
    /// Whether there are rows, but all of them are malformed.
    is_all_malformed: bool,
    /// Whether the keys are those of the first page.
    is_first_again: bool,
    /// Whether each row, in order, holds a key that neither this page nor an earlier one had before.
    is_new: Vec<bool>,
    /// The ids of the keys.
    ids: HashSet<Fingerprint>,
}

/// Whether a page leads beyond the rows read so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Further,
    NoFurther,
}

/// The rows of a page that no earlier page had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewRows {
    /// At least one key.
    Keys,
    /// Only malformed rows.
    OnlyMalformed,
    /// No new row.
    None,
}

/// Returns the start and the length of a page for a server that counts whole pages.
///
/// The start is a multiple of the length, and the page repeats the row that lies `overlap` rows before `end`. Among the
/// lengths up to `most`, this chooses the one that leads furthest. If no such page leads beyond `end`, the page repeats
/// no row.
fn numbered(end: u64, overlap: u64, most: u64) -> (u64, u64) {
    let furthest = |again: u64| {
        let lengths = most.div_ceil(2).max(1)..=most.max(1);
        let pages = lengths.map(|length| (again / length * length, length));
        pages.max_by_key(|(start, length)| start + length).unwrap_or((end, most.max(1)))
    };
    let (start, length) = furthest(end - overlap);
    if start + length > end { (start, length) } else { furthest(end) }
}

#[cfg(test)]
mod tests;
