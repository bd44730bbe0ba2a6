//! Journals: what every journal does, and what only one in a file does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use api_keyring::{Clock as _, ManualClock, Mark, Memory, NewKey, Provider};
use api_keyring_rotation::{
    Confirmation, Journal, JournalError, Listing, MAX_LEASE, MemoryJournal, MemorySink, Record, RotateKey, Rotator,
    SqliteJournal, State,
};
use chrono::{SubsecRound as _, TimeDelta, Utc};
use serde_json::json;

pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Returns a record of a new key. No journal holds it yet.
pub(crate) async fn record() -> Record {
    let provider = Memory::new();
    let old = provider.create(&NewKey::new("ci").role("reader").expires_in(TimeDelta::days(90))).await.unwrap();
    let rotator = Rotator::new(provider, MemorySink::new(), MemoryJournal::new());
    let plan = rotator.plan(&RotateKey::new(old.id().clone()).adopt_sink()).await.unwrap();
    let mut record = rotator.start(plan).await.unwrap();
    // Every in-memory provider begins with the same number, so the key needs another id.
    record.plan.old.id = format!("key-{}", record.id).parse().unwrap();
    record
}

/// Returns a record of another rotation of the same key.
pub(crate) async fn another(of: &Record) -> Record {
    let mut another = record().await;
    another.plan = of.plan.clone();
    another
}

pub(crate) fn next(record: &Record, state: State) -> Record {
    let mut next = record.clone();
    next.version += 1;
    next.state = state;
    next
}

pub(crate) fn done() -> State {
    State::Done { key: "key-new".parse().unwrap(), confirmed: Confirmation::SecretRefused }
}

pub(crate) fn aborted() -> State {
    State::Aborted { why: "changed my mind".to_owned() }
}

pub(crate) fn issued(key: &str, mark: &Mark) -> State {
    serde_json::from_value(json!({"name": "issued", "key": key, "mark": mark, "fingerprint": "0123"})).unwrap()
}

/// Checks the behaviour of a journal that reads this clock.
async fn check_journal(journal: &dyn Journal, clock: &ManualClock) {
    let first = record().await;
    let again = another(&first).await;
    let second = check_begin(journal, &first, &again).await;
    check_claims(journal, &second).await;
    let (planned, finished) = check_leases(journal, clock, &first).await;
    assert_eq!(journal.history(&first.id).await.unwrap(), [first.clone(), planned, finished]);
    assert_eq!(journal.unfinished().await.unwrap(), std::slice::from_ref(&second));
    check_replacement(journal, &first, &again).await;
    check_marks(journal, &second).await;
    check_reused_id(journal).await;
    check_late_rotators(journal).await;
    check_longest_lease(journal, clock).await;
    check_pages(journal).await;
}

/// Begins a rotation, and checks that no other one can rotate the same key. Returns a second rotation, of another key.
async fn check_begin(journal: &dyn Journal, first: &Record, again: &Record) -> Record {
    let id = &first.id;
    assert_eq!(journal.load(id).await.unwrap(), None);
    assert!(matches!(journal.take(id, "a", LEASE).await, Err(JournalError::Missing(missing)) if missing == *id));
    journal.begin(first).await.unwrap();
    assert_eq!(journal.load(id).await.unwrap().as_ref(), Some(first));

    assert!(matches!(journal.begin(again).await, Err(JournalError::UnderWay(other)) if other == *id));
    assert!(matches!(journal.begin(first).await, Err(JournalError::Changed)), "a rotation begins once");
    let second = record().await;
    journal.begin(&second).await.unwrap();
    assert_eq!(journal.unfinished().await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(journal.latest(1).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(journal.latest(9).await.unwrap(), [second.clone(), first.clone()]);
    second
}

/// Checks that no other rotation can use the sinks and the issued key of an unfinished one.
async fn check_claims(journal: &dyn Journal, second: &Record) {
    let mut third = record().await;
    third.plan.sinks.push(second.plan.sinks[0].clone());
    match journal.begin(&third).await {
        Err(JournalError::SinkInUse { sink, by }) => {
            assert_eq!((sink, by), (second.plan.sinks[0].clone(), second.id.clone()))
        }
        other => panic!("{other:?}"),
    }
    let mut third = record().await;
    let lease = journal.take(&third.id, "a", LEASE).await;
    assert!(matches!(lease, Err(JournalError::Missing(_))), "a rotation that was refused must not exist");
    journal.begin(&third).await.unwrap();
    let lease = journal.take(&third.id, "a", LEASE).await.unwrap();
    let mark = Mark::random();
    let mut issued = next(&third, issued("key-issued", &mark));
    issued.marks.push(mark.clone());
    journal.save(&lease, &issued).await.unwrap();
    let mut of_issued = record().await;
    of_issued.plan.old.id = "key-issued".parse().unwrap();
    assert!(matches!(journal.begin(&of_issued).await, Err(JournalError::UnderWay(other)) if other == third.id));
    third = next(&issued, aborted());
    journal.save(&lease, &third).await.unwrap();
    journal.release(&lease).await.unwrap();
    of_issued.plan.sinks = third.plan.sinks.clone();
    journal.begin(&of_issued).await.unwrap();
    // The third rotation is finished, and this one has its sink. A rotator that was held up cannot continue the third.
    let lease = journal.take(&third.id, "a", LEASE).await;
    let lease = lease.unwrap_or_else(|error| panic!("{error:?}"));
    let late = journal.save(&lease, &next(&third, self::issued("key-late", &mark))).await;
    assert!(matches!(&late, Err(JournalError::SinkInUse { by, .. }) if *by == of_issued.id), "{late:?}");
    let lease = journal.take(&of_issued.id, "a", LEASE).await.unwrap();
    journal.save(&lease, &next(&of_issued, aborted())).await.unwrap();
}

/// Checks that only the holder of the latest lease can write, and only the next version. Returns the versions that it
/// wrote.
async fn check_leases(journal: &dyn Journal, clock: &ManualClock, first: &Record) -> (Record, Record) {
    let id = &first.id;
    // A lease keeps others out until it ends, and each write restarts it.
    let lease = journal.take(id, "a", LEASE).await.unwrap();
    clock.advance(LEASE / 2);
    let planned = next(first, State::Planned);
    journal.save(&lease, &planned).await.unwrap();
    clock.advance(LEASE - Duration::from_secs(1));
    match journal.take(id, "b", LEASE).await {
        Err(JournalError::Held { by, until }) => {
            assert_eq!((&*by, until), ("a", clock.now() + TimeDelta::seconds(1)), "the write extends the lease");
        }
        other => panic!("{other:?}"),
    }
    journal.renew(&lease).await.unwrap();
    clock.advance(LEASE - Duration::from_secs(1));
    match journal.take(id, "b", LEASE).await {
        Err(JournalError::Held { by, until }) => {
            assert_eq!((&*by, until), ("a", clock.now() + TimeDelta::seconds(1)));
        }
        other => panic!("{other:?}"),
    }
    // A write must follow directly on the version that was read.
    assert!(matches!(journal.save(&lease, &planned).await, Err(JournalError::Changed)));
    let mut later = next(&planned, State::Planned);
    later.version += 1;
    assert!(matches!(journal.save(&lease, &later).await, Err(JournalError::Changed)));

    // The lease ends, and another holder takes it. From then on only that holder can write.
    clock.advance(Duration::from_secs(1));
    let newer = journal.take(id, "b", LEASE).await.unwrap();
    assert!(newer.token > lease.token && newer.is_takeover && !lease.is_takeover);
    let finished = next(&planned, aborted());
    assert!(matches!(journal.save(&lease, &finished).await, Err(JournalError::LeaseLost)));
    assert!(matches!(journal.renew(&lease).await, Err(JournalError::LeaseLost)));
    journal.release(&lease).await.unwrap();
    assert!(matches!(journal.take(id, "c", LEASE).await, Err(JournalError::Held { by, .. }) if by == "b"));
    journal.save(&newer, &finished).await.unwrap();
    journal.release(&newer).await.unwrap();
    let late = journal.save(&newer, &next(&finished, aborted())).await;
    assert!(matches!(late, Err(JournalError::LeaseLost)), "a released lease allows no write: {late:?}");
    assert!(matches!(journal.renew(&newer).await, Err(JournalError::LeaseLost)), "a released lease stays released");
    let released = journal.take(id, "c", LEASE).await.unwrap();
    assert!(matches!(journal.renew(&newer).await, Err(JournalError::LeaseLost)));
    journal.release(&released).await.unwrap();
    (planned, finished)
}

/// Checks that a key can be rotated again after an abort, but not after another key has replaced it.
async fn check_replacement(journal: &dyn Journal, first: &Record, again: &Record) {
    journal.begin(again).await.unwrap();
    let lease = journal.take(&again.id, "a", LEASE).await.unwrap();
    journal.save(&lease, &next(again, done())).await.unwrap();
    let third = another(first).await;
    assert!(matches!(journal.begin(&third).await, Err(JournalError::Replaced(other)) if other == again.id));
    assert!(journal.history(&third.id).await.unwrap().is_empty());
}

/// Checks that a mark always leads to its rotation, and that a key that only got a new secret can be rotated again.
async fn check_marks(journal: &dyn Journal, second: &Record) {
    let mark = Mark::random();
    let lease = journal.take(&second.id, "a", LEASE).await.unwrap();
    let mut issuing = next(second, State::Issuing { mark: mark.clone() });
    issuing.marks.push(mark.clone());
    journal.save(&lease, &issuing).await.unwrap();
    let key = second.plan.old.id.clone();
    let mut same = next(&issuing, State::Done { key, confirmed: Confirmation::SecretRefused });
    same.marks.clear();
    journal.save(&lease, &same).await.unwrap();
    assert_eq!(journal.find_by_mark(&mark).await.unwrap(), Some(same));
    assert_eq!(journal.find_by_mark(&Mark::random()).await.unwrap(), None);
    journal.begin(&another(second).await).await.unwrap();
    let once_more = another(second).await;
    assert!(matches!(journal.begin(&once_more).await, Err(JournalError::UnderWay(_))));
}

/// Checks that a key with a reused id can be rotated, and that the same key cannot.
async fn check_reused_id(journal: &dyn Journal) {
    let mut first = record().await;
    first.plan.old.created_at = Some("2026-01-01T00:00:00Z".to_owned());
    journal.begin(&first).await.unwrap();
    let with_created = async |created: Option<&str>| {
        let mut other = another(&first).await;
        other.plan.old.created_at = created.map(str::to_owned);
        other.plan.sinks = vec![other.id.to_string()];
        other
    };
    // The owner deletes the key, and its id goes to another one while the rotation is unfinished.
    let reused = with_created(Some("2026-02-01T00:00:00Z")).await;
    journal.begin(&reused).await.unwrap();
    for under_way in [Some("2026-01-01 00:00:00+00:00"), Some("2026-02-01T00:00:00Z"), None] {
        let same = with_created(under_way).await;
        let refused = journal.begin(&same).await;
        assert!(matches!(refused, Err(JournalError::UnderWay(_))), "{under_way:?}: {refused:?}");
    }
    for unfinished in [&first, &reused] {
        let lease = journal.take(&unfinished.id, "a", LEASE).await.unwrap();
        journal.save(&lease, &next(unfinished, done())).await.unwrap();
    }
    for replaced in [Some("2026-01-01 00:00:00+00:00"), Some("2026-02-01T00:00:00Z"), None] {
        let refused = journal.begin(&with_created(replaced).await).await;
        assert!(matches!(refused, Err(JournalError::Replaced(_))), "{replaced:?}: {refused:?}");
    }
    journal.begin(&with_created(Some("2026-03-01T00:00:00Z")).await).await.unwrap();
}

/// Checks that a rotator that was held up cannot reopen a rotation whose key belongs to another one by now.
async fn check_late_rotators(journal: &dyn Journal) {
    let first = record().await;
    journal.begin(&first).await.unwrap();
    let lease = journal.take(&first.id, "a", LEASE).await.unwrap();
    let stranger = record().await;
    assert!(matches!(journal.save(&lease, &next(&stranger, aborted())).await, Err(JournalError::Changed)));
    let undone = next(&first, aborted());
    journal.save(&lease, &undone).await.unwrap();

    let second = another(&first).await;
    journal.begin(&second).await.unwrap();
    let mark = Mark::random();
    let mut reopened = next(&undone, issued("key-late", &mark));
    reopened.marks.push(mark);
    let planned = next(&undone, State::Planned);
    for late in [&reopened, &planned] {
        let late = journal.save(&lease, late).await;
        assert!(matches!(&late, Err(JournalError::UnderWay(by)) if *by == second.id), "{late:?}");
    }
    let of_second = journal.take(&second.id, "a", LEASE).await.unwrap();
    journal.save(&of_second, &next(&second, done())).await.unwrap();
    let planned = next(&undone, State::Planned);
    for late in [&reopened, &planned] {
        let late = journal.save(&lease, late).await;
        assert!(matches!(&late, Err(JournalError::Replaced(by)) if *by == second.id), "{late:?}");
    }
    assert_eq!(journal.load(&first.id).await.unwrap(), Some(undone));
}

/// Checks that no lease lasts longer than a day.
async fn check_longest_lease(journal: &dyn Journal, clock: &ManualClock) {
    let first = record().await;
    journal.begin(&first).await.unwrap();
    let lease = journal.take(&first.id, "a", MAX_LEASE * 30).await.unwrap();
    assert_eq!(lease.time, MAX_LEASE);
    let ends = async |what: &str| match journal.take(&first.id, "b", LEASE).await {
        Err(JournalError::Held { until, .. }) => assert_eq!(until, clock.now() + TimeDelta::days(1), "{what}"),
        other => panic!("{what}: {other:?}"),
    };
    ends("take").await;
    clock.advance(LEASE);
    journal.renew(&lease).await.unwrap();
    ends("renew").await;
    clock.advance(LEASE);
    journal.save(&lease, &next(&first, aborted())).await.unwrap();
    ends("save").await;
    clock.advance(MAX_LEASE);
    let last = journal.take(&first.id, "b", LEASE).await.unwrap();
    journal.release(&last).await.unwrap();
}

/// Checks that pages make up the whole list, and the whole history of a rotation.
async fn check_pages(journal: &dyn Journal) {
    for listing in [Listing::Unfinished, Listing::All] {
        let whole = journal.list(listing, None, usize::MAX).await.unwrap();
        assert!(whole.next.is_none() && whole.entries.len() > 1, "{whole:?}");
        for limit in [1, 2, 3, whole.entries.len()] {
            let (mut entries, mut after) = (Vec::new(), None);
            loop {
                let page = journal.list(listing, after, limit).await.unwrap();
                assert!(page.entries.len() <= limit);
                entries.extend(page.entries);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(entries, whole.entries, "{listing:?}, {limit} at a time");
        }
    }
    let latest = journal.latest(1).await.unwrap().remove(0);
    let lease = journal.take(&latest.id, "a", LEASE).await.unwrap();
    let mut versions = journal.history(&latest.id).await.unwrap();
    for _ in 0..5 {
        versions.push(next(versions.last().unwrap(), aborted()));
        journal.save(&lease, versions.last().unwrap()).await.unwrap();
    }
    let page = async |from, limit| {
        let page = journal.versions(&latest.id, from, limit).await.unwrap();
        page.into_iter().map(|version| version.readable().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(page(0, usize::MAX).await, versions);
    assert_eq!(page(2, 3).await, versions[2..5]);
    assert_eq!(page(versions.len() as u64, 3).await, []);
    assert_eq!(journal.history(&latest.id).await.unwrap(), versions);
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Utc::now().trunc_subsecs(3))
}

pub(crate) fn open(path: &Path) -> Result<SqliteJournal, String> {
    SqliteJournal::open(path).map_err(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    })
}

#[tokio::test]
async fn memory_behaves_like_a_journal() {
    let clock = clock();
    check_journal(&MemoryJournal::new().clock(clock.clone()), &clock).await;
}

#[tokio::test]
async fn a_file_behaves_like_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let clock = clock();
    check_journal(&open(&path).unwrap().clock(clock.clone()), &clock).await;
    // Another process reads the same records.
    let journal = open(&path).unwrap();
    assert_eq!((journal.unfinished().await.unwrap().len(), journal.latest(99).await.unwrap().len()), (2, 12));
    #[cfg(unix)]
    for entry in fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn recorded_versions_cannot_be_changed_or_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    open(&path).unwrap().begin(&record().await).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    for sql in ["UPDATE version SET state = 'done'", "DELETE FROM version"] {
        let refused = connection.execute(sql, ()).unwrap_err();
        assert!(refused.to_string().contains("what was written is not"), "{refused}");
    }
    // People can read the file as well.
    let sql =
        "SELECT rotation.state, json_extract(record, '$.plan.name') FROM rotation JOIN version ON rotation = number";
    let read = connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(read, ("planned".to_owned(), "ci".to_owned()));
}

#[tokio::test]
async fn a_file_that_is_not_a_journal_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let text = "not a database, and long enough to be read as one: ".repeat(20);
    fs::write(&path, &text).unwrap();
    assert!(open(&path).unwrap_err().contains("not a database"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let newer = folder.path().join("newer");
    drop(open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(open(&newer).unwrap_err().contains("a newer version"));
    let others = folder.path().join("others");
    rusqlite::Connection::open(&others).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = fs::read(&others).unwrap();
    assert!(open(&others).unwrap_err().contains("another program's"));
    assert_eq!(fs::read(&others).unwrap(), before);
    assert!(open(&folder.path().join("missing/journal")).unwrap_err().contains("missing/journal cannot be used"));
    assert!(open(folder.path()).is_err());
}

#[test]
fn of_many_processes_at_once_only_one_rotates_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let record = runtime().block_on(record());
    let begin = |_| {
        let (path, record) = (&path, &record);
        move || {
            let journal = open(path).unwrap();
            runtime().block_on(async {
                let mut ours = record.clone();
                ours.id = another(record).await.id;
                match journal.begin(&ours).await {
                    Ok(()) => true,
                    Err(JournalError::UnderWay(_)) => false,
                    Err(error) => panic!("{error:?}"),
                }
            })
        }
    };
    let begun = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(begin(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|begun| *begun).count()
    });
    assert_eq!(begun, 1);
}

#[cfg(unix)]
mod guard {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::path::{Path, PathBuf};

    use super::open;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Returns a folder with a closed journal.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(open(&path).unwrap());
        (folder, path)
    }

    fn is_root(folder: &Path) -> bool {
        fs::metadata(folder).unwrap().uid() == 0
    }

    fn refused(path: &Path, expected: &[&str]) {
        let refused = open(path).map(drop).unwrap_err();
        for text in expected.iter().chain(&["--journal"]) {
            assert!(refused.contains(text), "{text}: {refused}");
        }
    }

    #[test]
    fn files_that_others_can_write_are_refused() {
        let (folder, path) = folder();
        for mode in [0o620, 0o602, 0o666] {
            set_mode(&path, mode);
            refused(&path, &[path.to_str().unwrap(), "can be written by other users", "chmod go-w"]);
        }
        set_mode(&path, 0o644);
        open(&path).unwrap();
        for ending in ["-wal", "-shm", "-journal"] {
            let companion = folder.path().join(format!("journal{ending}"));
            fs::write(&companion, "").unwrap();
            set_mode(&companion, 0o606);
            refused(&path, &[companion.to_str().unwrap(), "can be written by other users"]);
            fs::remove_file(companion).unwrap();
        }
    }

    #[test]
    fn folders_that_others_can_write_are_refused() {
        let (folder, path) = folder();
        for mode in [0o770, 0o702, 0o777, 0o1777] {
            set_mode(folder.path(), mode);
            refused(&path, &["can be written by other users", "chmod go-w"]);
            // Nothing is created there, either.
            refused(&folder.path().join("new"), &["can be written by other users"]);
            assert!(!folder.path().join("new").exists());
        }
    }

    #[test]
    fn files_that_others_can_read_become_private() {
        let (_folder, path) = folder();
        set_mode(&path, 0o644);
        open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_of_other_users_are_refused() {
        let (folder, path) = folder();
        if !is_root(folder.path()) {
            println!("not run: only root can give a file to another user");
            return;
        }
        let other = Some(12345);
        chown(&path, other, None).unwrap();
        refused(&path, &[path.to_str().unwrap(), "belongs to another user (id 12345)", "chown"]);
        chown(&path, Some(0), None).unwrap();
        for ending in ["-wal", "-shm", "-journal"] {
            let companion = folder.path().join(format!("journal{ending}"));
            fs::write(&companion, "").unwrap();
            chown(&companion, other, None).unwrap();
            refused(&path, &[companion.to_str().unwrap(), "belongs to another user"]);
            fs::remove_file(companion).unwrap();
        }
        chown(folder.path(), other, None).unwrap();
        refused(&path, &["belongs to another user (id 12345)"]);
    }

    #[test]
    fn links_are_followed_only_through_folders_that_can_be_trusted() {
        let (folder, path) = folder();
        let link_folder = tempfile::tempdir().unwrap();
        let link = link_folder.path().join("link");
        symlink(&path, &link).unwrap();
        open(&link).unwrap();
        for mode in [0o777, 0o1777] {
            set_mode(link_folder.path(), mode);
            refused(&link, &["can be written by other users"]);
        }
        set_mode(link_folder.path(), 0o700);
        if is_root(folder.path()) {
            std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
            refused(&link, &["belongs to another user"]);
        }
        // A link in the place of a companion is never followed.
        let target = folder.path().join("target");
        fs::write(&target, "kept").unwrap();
        symlink(&target, folder.path().join("journal-wal")).unwrap();
        refused(&path, &["journal-wal is not a regular file"]);
        assert_eq!(fs::read_to_string(target).unwrap(), "kept");
        // A chain of links that leads nowhere ends.
        let endless = folder.path().join("endless");
        symlink("endless", &endless).unwrap();
        refused(&endless, &["too many symbolic links"]);
    }

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let (folder, _) = folder();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        if made.is_ok_and(|status| status.success()) {
            refused(&fifo, &["is not a regular file"]);
        }
    }
}

#[tokio::test]
async fn a_journal_that_is_only_read_shows_what_others_write_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    assert!(matches!(SqliteJournal::open_read_only(&path), Err(JournalError::Unavailable(_))));
    let (journal, first, second) = (open(&path).unwrap(), record().await, record().await);
    journal.begin(&first).await.unwrap();
    let reader = SqliteJournal::open_read_only(&path).unwrap();
    assert_eq!(reader.unfinished().await.unwrap(), std::slice::from_ref(&first));
    journal.begin(&second).await.unwrap();
    assert_eq!(reader.unfinished().await.unwrap(), [first.clone(), second]);
    let refused = [reader.begin(&record().await).await, reader.take(&first.id, "h", LEASE).await.map(drop)];
    assert!(refused.iter().all(|refused| matches!(refused, Err(JournalError::Unavailable(_)))), "{refused:?}");
    assert_eq!(journal.take(&first.id, "holder", LEASE).await.unwrap().token, 1);
}

#[tokio::test]
async fn many_rotators_make_room_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journals: Vec<_> = (0..4).map(|_| open(&path).unwrap()).collect();
    let made = journals.iter().cycle().take(32).map(|journal| journal.make_room());
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    let left: u64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'room'", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
