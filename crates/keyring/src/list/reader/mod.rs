//! What to ask for next, and what the pages prove.
//!
//! A list that is cut by position shifts while it is read: a key that is deleted moves all later ones up, so that the
//! next page begins too late; a new one moves them down. Therefore every page is asked for with at least one row that
//! was there before. If that row, or another known one, is in the answer, nothing was left out. If none is, the reader
//! goes back until one is.
//!
//! What is remembered does not grow with the list: the ids of the first page and of the latest ones.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{ApiKey, KeyId, Page, PageRequest, Paging, Result};

/// How many keys to ask for at a time: the most that Spartera allows.
const PAGE_SIZE: u64 = 100;

/// How many pages in a row may bring no new key while there may be more.
const MAX_BARREN_PAGES: u32 = 3;

/// How many pages in a row may get no further before it is taken that this server's pages cannot be told to overlap.
const MAX_STALLS: u32 = 6;

/// How many pages are read before a list is taken for endless.
const MAX_PAGES: u64 = 100_000;

/// How many of the latest pages are remembered.
const REMEMBERED_PAGES: usize = 4;

/// What a page has led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is more, where it was foreseen.
    ContinueInOrder,
    /// There is more, elsewhere.
    ContinueElsewhere,
    /// That was all.
    Complete,
    /// There is no more, though there should be: so many keys, where that is known.
    Incomplete(Option<u64>),
}

pub(super) struct Reader {
    paging: Paging,
    search: Option<String>,
    /// The cursor of the next page.
    cursor: Option<String>,
    /// Up to where the list is read, in rows as it is now.
    end: u64,
    /// How far it has been read: more than `end` while the reader has gone back.
    reached: u64,
    /// How many rows before `end` the last one lies whose id is known; 0 where none is.
    overlap: u64,
    /// The most rows that a page of this server holds, as far as is known.
    page_size: u64,
    total: Option<u64>,
    pages: u64,
    /// Whether pages can be told to overlap.
    overlaps: bool,
    /// Whether they have been seen to.
    has_overlapped: bool,
    /// Whether it was given up to have them overlap, although this server could.
    is_doubtful: bool,
    /// How many pages in a row have got no further.
    stalls: u32,
    /// How many pages in a row have got further without bringing a key.
    barren: u32,
    /// How many different rows came so far, odd ones included.
    accounted: u64,
    /// How many rows an empty page should have had that was passed over.
    skipped: u64,
    first_page: HashSet<KeyId>,
    latest: VecDeque<HashSet<KeyId>>,
    cycle: Cycle,
}

impl Reader {
    pub(super) fn new(paging: Paging, search: Option<String>) -> Self {
        Self {
            paging,
            search,
            cursor: None,
            end: 0,
            reached: 0,
            overlap: 0,
            page_size: PAGE_SIZE,
            total: None,
            pages: 0,
            overlaps: paging != Paging::Cursor,
            has_overlapped: false,
            is_doubtful: false,
            stalls: 0,
            barren: 0,
            accounted: 0,
            skipped: 0,
            first_page: HashSet::new(),
            latest: VecDeque::new(),
            cycle: Cycle::default(),
        }
    }

    /// Up to where the list is read.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How long the list is, where pages can be asked for before those that come first have been seen.
    pub(super) fn predicted_total(&self) -> Option<u64> {
        let is_even = self.stalls == 0 && self.barren == 0 && self.pages > 0;
        self.total.filter(|_| is_even && self.paging != Paging::Cursor)
    }

    /// What to ask for when the list is read up to `end`.
    pub(super) fn request(&self, end: u64) -> PageRequest {
        // The ends that are foreseen lie at full pages. What takes up a whole page cannot come again beside something new.
        let overlap = if !self.overlaps || self.overlap >= self.page_size {
            0
        } else if end == self.end {
            self.overlap
        } else {
            1
        };
        // After the first page a row less than it had: a server that sends more does not listen to what it is asked.
        let most = if self.latest.len() == 1 && self.overlaps && end == self.end {
            self.page_size - 1
        } else {
            self.page_size
        };
        let (offset, limit) = match self.paging {
            Paging::Cursor => (end, PAGE_SIZE),
            Paging::Offset => (end - overlap, most.max(overlap + 1).min(self.page_size)),
            Paging::Number => numbered(end, overlap, most.max(2).min(self.page_size)),
        };
        PageRequest { offset, limit, cursor: self.cursor.clone(), search: self.search.clone() }
    }

    /// Takes a page, and passes on the rows that did not come before.
    pub(super) fn accept(&mut self, request: &PageRequest, page: Page, emit: impl FnMut(Result<ApiKey>)) -> Verdict {
        self.pages += 1;
        self.total = page.total.or(self.total);
        if self.pages > MAX_PAGES || self.cycle.repeats(&page) {
            return Verdict::Incomplete(None);
        }
        let PageCounts { rows, known, is_all_malformed, is_first_again } = self.count(&page.keys);
        let is_checked = self.overlaps && request.offset < self.end;
        if is_checked && rows > request.limit {
            // It does not listen: its pages have a length of their own, or it has only one.
            self.overlaps = false;
            if !is_first_again || request.offset == 0 {
                self.end = self.own_page_end();
                return Verdict::ContinueElsewhere;
            }
        }
        if rows == 0 && self.overlaps && self.total.is_some_and(|total| total > request.offset) {
            // There should be rows: asked again as long as that makes sense.
            self.stall();
            return Verdict::ContinueElsewhere;
        }
        let goes_on = request.offset + rows > self.reached;
        let is_repeated = rows > 1 && known == rows && goes_on;
        if is_checked && self.overlaps && ((known == 0 && !is_all_malformed) || is_repeated) {
            return self.rewind();
        }
        self.has_overlapped |= is_checked && self.overlaps && known > 0;
        let was_first = self.latest.is_empty();
        let declared = page.page_size.map(|size| size.clamp(1, PAGE_SIZE));
        if was_first {
            self.page_size = declared.unwrap_or(if rows == 0 { PAGE_SIZE } else { rows.min(PAGE_SIZE) });
            self.overlaps &= self.page_size > 1;
        }
        let asked_again = self.end.saturating_sub(request.offset);
        // The odd rows of a page that came before came with it.
        let is_old = known > asked_again || is_first_again;
        let old_rows = if is_old { u64::MAX } else { self.reached.saturating_sub(request.offset) };
        let before = std::mem::take(&mut self.overlap);
        let new_rows = self.emit_new_rows(page.keys, old_rows, request.offset + rows > self.reached, emit);
        if rows == 0 && self.overlaps {
            self.overlap = before;
        }
        if self.paging == Paging::Cursor {
            self.barren = if new_rows == NewRows::Keys { 0 } else { self.barren + 1 };
            return self.follow_cursor(page.next);
        }
        self.advance(request, rows, new_rows);
        self.verdict(request, rows, declared.is_some() || !was_first, new_rows)
    }

    /// Notes how far a page has led.
    fn advance(&mut self, request: &PageRequest, rows: u64, new_rows: NewRows) {
        if rows == 0 {
            // Passed over as if it had been full.
            self.end = request.offset + request.limit;
            self.skipped += request.limit;
        } else {
            self.end = request.offset + rows;
        }
        let is_further = self.end > self.reached;
        if is_further || new_rows == NewRows::Keys {
            // Less than before, where keys have gone from among those that were read.
            self.reached = self.end;
            self.stalls = 0;
            self.barren = if new_rows == NewRows::Keys { 0 } else { self.barren + 1 };
        } else {
            self.stall();
        }
    }

    /// Whether that was all.
    fn verdict(&self, request: &PageRequest, rows: u64, knows_length: bool, new_rows: NewRows) -> Verdict {
        // A first page that is short may be all that this server's pages hold, so it alone proves nothing unless the
        // server says how long its pages are.
        let is_last = rows < request.limit.min(self.page_size) && knows_length;
        let is_barren = self.barren >= MAX_BARREN_PAGES;
        let is_behind = self.overlaps && self.end <= self.reached && self.stalls > 0 && !is_last;
        // What lies before a known row has been seen, whatever the total says.
        let found = if self.overlaps { self.accounted.max(self.end - self.skipped) } else { self.accounted };
        let ended = match (self.total, new_rows) {
            _ if is_behind => false,
            (None, NewRows::None) => true,
            (None, _) => is_barren || is_last,
            // There may be a next page even where the total says that this is the last.
            (Some(total), _) if found >= total => new_rows != NewRows::Keys || is_last,
            (Some(total), NewRows::None) => is_barren || self.end >= total,
            (Some(_), _) => is_barren,
        };
        match self.total {
            _ if !ended && self.end == request.offset + request.limit => Verdict::ContinueInOrder,
            _ if !ended => Verdict::ContinueElsewhere,
            Some(total) if found < total => Verdict::Incomplete(Some(total - found)),
            None if is_barren => Verdict::Incomplete(None),
            _ if self.is_doubtful => Verdict::Incomplete(None),
            _ => Verdict::Complete,
        }
    }

    /// No known row was found where one should be: reads again from further back.
    fn rewind(&mut self) -> Verdict {
        // Half a page more each time, and never beyond what is remembered.
        let back = self.page_size * u64::from(self.stalls + 1).min(6) / 2;
        self.end = self.reached.saturating_sub(back).max(1);
        self.overlap = 1;
        self.stall();
        Verdict::ContinueElsewhere
    }

    fn stall(&mut self) {
        self.stalls += 1;
        if self.overlaps && self.stalls > MAX_STALLS {
            self.overlaps = false;
            self.is_doubtful = self.has_overlapped;
            self.stalls = 0;
            self.end = self.own_page_end();
        }
    }

    /// Where the last of the server's own pages ends that has been read whole.
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

    fn has_seen(&self, id: &KeyId) -> bool {
        self.first_page.contains(id) || self.latest.iter().any(|page| page.contains(id))
    }

    fn count(&self, rows: &[Result<ApiKey>]) -> PageCounts {
        let mut ids = HashSet::with_capacity(rows.len());
        let mut odd = 0;
        for row in rows {
            match row {
                Ok(key) => drop(ids.insert(key.id())),
                Err(_) => odd += 1,
            }
        }
        let known = ids.iter().filter(|id| self.has_seen(id)).count() as u64;
        let is_first_again =
            !ids.is_empty() && ids.len() == self.first_page.len() && ids.iter().all(|id| self.first_page.contains(*id));
        PageCounts { rows: ids.len() as u64 + odd, known, is_all_malformed: odd > 0 && ids.is_empty(), is_first_again }
    }

    /// Passes on the rows that did not come before. The first `old_rows` did, as far as they are odd.
    fn emit_new_rows(
        &mut self,
        rows: Vec<Result<ApiKey>>,
        old_rows: u64,
        is_further: bool,
        mut emit: impl FnMut(Result<ApiKey>),
    ) -> NewRows {
        let mut ids = HashSet::with_capacity(rows.len());
        let mut odd = Vec::new();
        let mut new_rows = NewRows::None;
        for (position, row) in (0..).zip(rows) {
            self.overlap += u64::from(self.overlap > 0);
            match row {
                Ok(key) => {
                    self.overlap = 1;
                    if ids.insert(key.id().clone()) && !self.has_seen(key.id()) {
                        new_rows = NewRows::Keys;
                        self.accounted += 1;
                        emit(Ok(key));
                    }
                }
                Err(error) if position >= old_rows => odd.push(error),
                Err(_) => {}
            }
        }
        if new_rows == NewRows::None && !odd.is_empty() {
            new_rows = NewRows::OnlyMalformed;
        }
        self.accounted += odd.len() as u64;
        odd.into_iter().map(Err).for_each(emit);
        self.remember(ids, is_further);
        new_rows
    }

    fn remember(&mut self, ids: HashSet<KeyId>, is_further: bool) {
        match self.latest.back_mut() {
            None => {
                self.first_page.clone_from(&ids);
                self.latest.push_back(ids);
            }
            // Reading again from further back is no reason to forget what lies ahead.
            Some(latest) if !is_further => latest.extend(ids),
            Some(_) => {
                self.latest.push_back(ids);
                if self.latest.len() > REMEMBERED_PAGES {
                    self.latest.pop_front();
                }
            }
        }
    }
}

/// What is on a page.
struct PageCounts {
    /// How many different rows there are.
    rows: u64,
    /// How many of their keys came before.
    known: u64,
    /// Whether there are rows, and no key among them.
    is_all_malformed: bool,
    /// Whether the keys are those of the first page.
    is_first_again: bool,
}

/// What a page brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewRows {
    /// Keys that did not come before.
    Keys,
    /// Rows, and no key among them.
    OnlyMalformed,
    /// Nothing, or what came before.
    None,
}

/// Where to begin, and how many rows to ask for, so that the row `overlap` before `end` comes again and the page begins
/// at a multiple of its length: the server counts in pages. Of the lengths up to `most`, the one that gets furthest. Where
/// none gets beyond `end`, nothing comes again.
fn numbered(end: u64, overlap: u64, most: u64) -> (u64, u64) {
    let furthest = |again: u64| {
        let lengths = most.div_ceil(2).max(1)..=most.max(1);
        let pages = lengths.map(|length| (again / length * length, length));
        pages.max_by_key(|(start, length)| start + length).unwrap_or((end, most.max(1)))
    };
    let (start, length) = furthest(end - overlap);
    if start + length > end { (start, length) } else { furthest(end) }
}

/// Notices that pages repeat themselves in a circle, however long, by comparing each with one that is replaced ever more
/// rarely (Brent).
#[derive(Default)]
struct Cycle {
    compared_with: u64,
    steps: u64,
    next_replacement: u64,
}

impl Cycle {
    /// Whether the page is the one that it is compared with. Pages without keys are no sign of anything.
    fn repeats(&mut self, page: &Page) -> bool {
        let mut hasher = DefaultHasher::new();
        let mut has_keys = false;
        for key in page.keys.iter().flatten() {
            key.id().hash(&mut hasher);
            has_keys = true;
        }
        let hash = hasher.finish();
        if !has_keys {
            return false;
        }
        self.steps += 1;
        // The first pages may well be repeated by going back.
        const LEAST: u64 = 16;
        let repeats = self.steps > LEAST && hash == self.compared_with;
        if self.steps >= self.next_replacement.max(LEAST) {
            self.compared_with = hash;
            self.next_replacement = self.steps * 2;
        }
        repeats
    }
}

#[cfg(test)]
mod tests;
