//! How the reader makes sure that it misses no row, and what changes that.

use crate::Paging;

/// How the reader makes sure that it misses no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The vendor returns cursors, and the reader follows them.
    Cursor,
    /// The reader requests pages that overlap, but has not seen two pages overlap yet.
    Untested,
    /// The reader requests pages that overlap, and has seen two pages overlap.
    Overlapping,
    /// The server cannot repeat a row, so each page starts where the one before ended, or has the next number.
    Disjoint,
    /// Pages overlapped earlier but no longer do. The reader reads on without overlap, and the list ends in an error.
    Doubtful,
}

/// What a page shows about the server's paging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A page repeats a known row where it should.
    RepeatedRow,
    /// A page is longer than requested, so the server chooses its own page length or has only one page.
    TooLong,
    /// The server's pages hold one row each, so a repeated row would leave no space for a new one.
    SingleRows,
    /// Too many pages in a row lead no further.
    Stalled,
}

impl Mode {
    pub(super) fn new(paging: Paging) -> Self {
        if paging == Paging::Cursor { Self::Cursor } else { Self::Untested }
    }

    /// Returns the mode after some evidence. These are all transitions that exist.
    pub(super) fn after(self, evidence: Evidence) -> Self {
        match (self, evidence) {
            (Self::Untested, Evidence::RepeatedRow) => Self::Overlapping,
            (Self::Untested | Self::Overlapping, Evidence::TooLong | Evidence::SingleRows) => Self::Disjoint,
            (Self::Untested, Evidence::Stalled) => Self::Disjoint,
            (Self::Overlapping, Evidence::Stalled) => Self::Doubtful,
            (mode, _) => mode,
        }
    }

    /// Returns whether the reader requests pages that overlap.
    pub(super) fn overlaps(self) -> bool {
        matches!(self, Self::Untested | Self::Overlapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_evidence_leads_to_another_mode() {
        let modes = [Mode::Cursor, Mode::Untested, Mode::Overlapping, Mode::Disjoint, Mode::Doubtful];
        let evidence = [Evidence::RepeatedRow, Evidence::TooLong, Evidence::SingleRows, Evidence::Stalled];
        for mode in modes {
            let expected = match mode {
                Mode::Untested => [Mode::Overlapping, Mode::Disjoint, Mode::Disjoint, Mode::Disjoint],
                Mode::Overlapping => [Mode::Overlapping, Mode::Disjoint, Mode::Disjoint, Mode::Doubtful],
                last => [last; 4],
            };
            assert_eq!(evidence.map(|evidence| mode.after(evidence)), expected, "{mode:?}");
        }
    }
}
