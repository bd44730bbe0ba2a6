//! Finished rotations are pruned, and nothing is forgotten that a later check needs.

use std::time::Duration;

use api_keyring::{Expiry, ManualClock, Memory, NewKey, Provider as _};
use api_keyring_rotation::{
    Journal, JournalError, Listing, MemoryJournal, MemorySink, PlannedExpiry, Prune, Record, RotateError, RotateKey,
    Rotator, State, find_orphans,
};
use chrono::TimeDelta;

use crate::journals::{LEASE, clock, open, record};

const DAY: Duration = Duration::from_secs(86_400);

/// A journal with rotations of all ages.
struct Aged<J> {
    journal: J,
    clock: ManualClock,
    provider: Memory,
}

impl<J: Journal + Clone + 'static> Aged<J> {
    fn rotator(&self, sink: &MemorySink) -> Rotator {
        Rotator::new(self.provider.clone(), sink.clone(), self.journal.clone()).clock(self.clock.clone())
    }

    async fn key(&self, name: &str) -> (RotateKey, MemorySink) {
        let key = self.provider.create(&NewKey::new(name).role("reader")).await.unwrap();
        let rotate = RotateKey::new(key.id().clone()).leaked().expiry(Expiry::In(TimeDelta::days(365)));
        (rotate, MemorySink::holding(key.secret().clone()))
    }

    async fn prune(&self, days: u32, prune: Prune) -> u64 {
        self.journal.prune(DAY * days, prune).await.unwrap().rotations
    }

    async fn listed(&self) -> Vec<Record> {
        self.journal.latest(99).await.unwrap()
    }
}

async fn check_prune<J: Journal + Clone + 'static>(journal: J, clock: ManualClock) {
    let provider = Memory::new().clock(clock.clone());
    let aged = Aged { journal, clock, provider };
    let (rotate, sink) = aged.key("done").await;
    let done = aged.rotator(&sink).rotate(&rotate).await.unwrap();
    let State::Done { key: new, .. } = done.state.clone() else { panic!("{done:?}") };
    let (aborted_key, sink) = aged.key("aborted").await;
    let plan = aged.rotator(&sink).plan(&aborted_key).await.unwrap();
    let aborted = aged.rotator(&sink).start(plan).await.unwrap();
    let aborted = aged.rotator(&sink).abort(&aborted.id, "changed my mind").await.unwrap();
    let (waiting, sink) = aged.key("waiting").await;
    let waiting = aged.rotator(&sink).rotate(&waiting.grace(DAY * 365)).await.unwrap();
    aged.clock.advance(DAY * 60);
    let (recent, sink) = aged.key("recent").await;
    let recent = aged.rotator(&sink).rotate(&recent).await.unwrap();
    aged.clock.advance(DAY * 40);

    // A dry run removes nothing.
    assert_eq!(aged.prune(90, Prune::Count).await, 2);
    assert_eq!(aged.listed().await.len(), 4);
    assert_eq!(aged.prune(101, Prune::Remove).await, 0);
    // Somebody may still be at work on a rotation that looks finished.
    let lease = aged.journal.take(&done.id, "a", LEASE).await.unwrap();
    assert_eq!(aged.prune(90, Prune::Count).await, 1);
    aged.journal.release(&lease).await.unwrap();
    assert_eq!(aged.prune(90, Prune::Remove).await, 2);
    assert_eq!(aged.prune(90, Prune::Remove).await, 0, "a rotation is pruned once");

    // The removed rotations are in no list, and nobody can work on them.
    assert_eq!(aged.listed().await, [recent.clone(), waiting.clone()]);
    let all = aged.journal.list(Listing::All, None, 1).await.unwrap();
    let all = aged.journal.list(Listing::All, all.next, 1).await.unwrap();
    assert_eq!((all.entries.len(), all.next), (1, None));
    assert_eq!(aged.journal.unfinished().await.unwrap(), std::slice::from_ref(&waiting));
    for gone in [&done, &aborted] {
        assert_eq!(aged.journal.load(&gone.id).await.unwrap(), None);
        assert!(aged.journal.history(&gone.id).await.unwrap().is_empty());
        let taken = aged.journal.take(&gone.id, "a", LEASE).await;
        assert!(matches!(taken, Err(JournalError::Missing(_))), "{taken:?}");
        let again = aged.journal.begin(gone).await;
        assert!(matches!(again, Err(JournalError::Changed | JournalError::Replaced(_))), "{again:?}");
    }

    // The journal still knows which key replaced which, what was asked for, and every mark.
    let mark = done.marks.last().unwrap();
    let known = aged.journal.find_by_mark(mark).await.unwrap().unwrap();
    assert_eq!((&known.id, &known.state, known.marks.last()), (&done.id, &done.state, Some(mark)));
    assert_eq!(known.plan.expiry, PlannedExpiry::AfterSeconds(365 * 86_400));
    assert!(find_orphans(&aged.provider, &aged.journal).await.unwrap().is_empty(), "the new key is in use");
    let mut again = done.clone();
    again.id = record().await.id;
    let refused = aged.journal.begin(&again).await;
    assert!(matches!(&refused, Err(JournalError::Replaced(by)) if *by == done.id), "{refused:?}");
    // The new key is rotated with the lifetime that was asked for, and the aborted one can be rotated again.
    let sink = MemorySink::new();
    let plan = aged.rotator(&sink).plan(&RotateKey::new(new).adopt_sink()).await.unwrap();
    assert_eq!(plan.expiry, PlannedExpiry::AfterSeconds(365 * 86_400));
    let sink = MemorySink::new();
    let rotated = aged.rotator(&sink).rotate(&aborted_key.adopt_sink()).await.unwrap();
    assert_eq!(rotated.state.name(), "done");
    let missing = aged.rotator(&sink).resume(&done.id).await;
    assert!(matches!(missing, Err(RotateError::Journal(JournalError::Missing(_)))), "{missing:?}");
}

#[tokio::test]
async fn rotations_in_memory_are_pruned() {
    let clock = clock();
    check_prune(MemoryJournal::new().clock(clock.clone()), clock).await;
}

#[tokio::test]
async fn rotations_in_a_file_are_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("journal"), clock());
    check_prune(open(&path).unwrap().clock(clock.clone()), clock).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    // No name, description or destination is left of a pruned rotation.
    let sql = "SELECT count(*), count(DISTINCT json_extract(kept, '$.plan.sinks')), max(length(kept)) FROM rotation \
               WHERE kept IS NOT NULL";
    let (pruned, sinks, length): (u64, u64, u64) =
        connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!((pruned, sinks), (2, 1));
    assert!(length < 1500, "{length} bytes");
    let orphaned =
        "SELECT count(*) FROM version WHERE rotation IN (SELECT number FROM rotation WHERE kept IS NOT NULL)";
    assert_eq!(connection.query_row(orphaned, (), |row| row.get::<_, u64>(0)).unwrap(), 0);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("journal"), clock());
    let journal = open(&path).unwrap().clock(clock.clone());
    let aged = Aged { journal, provider: Memory::new().clock(clock.clone()), clock };
    let (rotate, sink) = aged.key("done").await;
    let done = aged.rotator(&sink).rotate(&rotate).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TRIGGER version_is_not_changed; UPDATE version SET record = '{'").unwrap();
    aged.clock.advance(DAY * 100);
    let pruned = aged.journal.prune(DAY, Prune::Remove).await.unwrap();
    assert_eq!((pruned.rotations, pruned.unreadable), (0, 1));
    assert_eq!(aged.journal.versions(&done.id, 0, 99).await.unwrap().len() as u64, done.version + 1);
}
