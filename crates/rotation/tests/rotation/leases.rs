//! Leases in a file: a process that is gone keeps nobody out, and a lease that cannot be read keeps others out.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{Clock, ManualClock, Sleep};
use api_keyring_rotation::{
    Journal as _, JournalError, Lease, MAX_LEASE, MemoryJournal, Record, RotationId, Rotator, SqliteJournal,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::journals::{LEASE, clock, open, record};

/// A journal with a rotation that this process holds.
struct HeldRotation {
    folder: tempfile::TempDir,
    journal: SqliteJournal,
    clock: ManualClock,
    record: Record,
    lease: Lease,
}

impl HeldRotation {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let journal = open(&folder.path().join("journal")).unwrap().clock(clock.clone());
        let record = record().await;
        journal.begin(&record).await.unwrap();
        let lease = journal.take(&record.id, "a", LEASE).await.unwrap();
        Self { folder, journal, clock, record, lease }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("journal")
    }

    fn set(&self, column: &str, value: impl rusqlite::ToSql) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute(&format!("UPDATE rotation SET {column} = ?"), [value]).unwrap();
    }

    async fn take(&self) -> Result<Lease, JournalError> {
        self.journal.take(&self.record.id, "b", LEASE).await
    }

    async fn held_until(&self) -> DateTime<Utc> {
        match self.take().await {
            Err(JournalError::Held { by, until }) if by == "a" => until,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lease_whose_end_is_unreadable_or_too_late_keeps_others_out_for_a_day() {
    for end in [Some("never"), None, Some("9999-01-01T00:00:00.000Z")] {
        let held = HeldRotation::new().await;
        held.set("held_until", end);
        let until = held.clock.now() + TimeDelta::from_std(MAX_LEASE).unwrap();
        assert_eq!(held.held_until().await, until, "{end:?}");
        // It is measured from the first look.
        held.clock.advance(MAX_LEASE - Duration::from_secs(1));
        assert_eq!(held.held_until().await, until, "{end:?}");
        held.clock.advance(Duration::from_secs(1));
        assert!(held.take().await.unwrap().is_takeover);
        assert!(matches!(held.journal.renew(&held.lease).await, Err(JournalError::LeaseLost)));
    }
    // The holder is still the holder.
    let held = HeldRotation::new().await;
    held.set("held_until", "never");
    held.held_until().await;
    held.journal.renew(&held.lease).await.unwrap();
    assert_eq!(held.held_until().await, held.clock.now() + TimeDelta::seconds(60));
}

/// Returns what the journal knows of the holder's process.
fn process(path: &Path) -> Option<Value> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let text: Option<String> = connection.query_row("SELECT process FROM rotation", (), |row| row.get(0)).unwrap();
    text.map(|text| serde_json::from_str(&text).unwrap())
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_process_that_is_gone_from_this_machine_frees_its_lease_at_once() {
    let mut child = Command::new("true").spawn().unwrap();
    let gone = child.id();
    child.wait().unwrap();
    let ours = std::process::id();
    // What is changed of the holder's identity, and whether its lease ends at once.
    let cases = [
        (json!({}), false, "this process is alive"),
        (json!({"pid": gone}), true, "it is gone"),
        (json!({"started": 1}), true, "another process has its number"),
        (json!({"pid": gone, "boot": "another"}), false, "it runs on another machine, or ran before a restart"),
        (json!({"started": 1, "boot": "another"}), false, "it runs on another machine, with our number"),
        (json!({"pid": gone, "namespace": "pid:[1]"}), false, "it runs in another container"),
        (json!({"pid": u32::MAX}), false, "no process can have this number"),
        (json!({"pid": "?"}), false, "its identity is unreadable"),
    ];
    for (change, is_free, what) in cases {
        let held = HeldRotation::new().await;
        let mut holder = process(&held.path()).unwrap();
        assert_eq!(holder["pid"], ours);
        holder.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        held.set("process", holder.to_string());
        match held.take().await {
            Ok(lease) => assert!(is_free && lease.is_takeover, "{what}"),
            Err(JournalError::Held { by, .. }) => assert!(!is_free && by == "a", "{what}"),
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    // Without an identity, as earlier versions left it, the lease ends by itself.
    let held = HeldRotation::new().await;
    held.set("process", None::<String>);
    held.held_until().await;
    held.clock.advance(LEASE);
    held.take().await.unwrap();
    // A lease that was given back names nobody.
    held.journal.release(&held.take_again().await).await.unwrap();
    assert_eq!(process(&held.path()), None);
}

impl HeldRotation {
    async fn take_again(&self) -> Lease {
        self.clock.advance(LEASE);
        self.take().await.unwrap()
    }
}

/// A clock that tries to take a rotation's lease during each wait.
#[derive(Clone, Debug)]
struct Greedy {
    clock: ManualClock,
    journal: MemoryJournal,
    rotation: RotationId,
    tries: Arc<Mutex<Vec<bool>>>,
}

impl Clock for Greedy {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let this = self.clone();
        Box::pin(async move {
            this.clock.sleep(time).await;
            let taken = this.journal.take(&this.rotation, "another", LEASE).await;
            this.tries.lock().unwrap().push(taken.is_ok());
        })
    }
}

#[tokio::test]
async fn a_holder_whose_name_is_no_text_keeps_others_out_only_as_long_as_any() {
    let held = HeldRotation::new().await;
    let connection = rusqlite::Connection::open(held.path()).unwrap();
    connection.execute("UPDATE rotation SET holder = CAST(X'fffe' AS TEXT)", ()).unwrap();
    assert!(matches!(held.take().await, Err(JournalError::Held { .. })));
    held.clock.advance(LEASE + Duration::from_secs(1));
    held.take().await.unwrap();
}

#[tokio::test]
async fn a_rotation_keeps_its_lease_while_it_waits() {
    let fixture = Fixture::new().await;
    let plan = fixture.rotator.plan(&fixture.rotate()).await.unwrap();
    let rotation = fixture.rotator.start(plan).await.unwrap().id;
    let (clock, journal) = (fixture.clock.clone(), fixture.journal.clone());
    let greedy = Greedy { clock, journal, rotation: rotation.clone(), tries: Arc::default() };
    let rotator = Rotator::new(fixture.provider.clone(), fixture.sink.clone(), fixture.journal.clone());
    let rotator = rotator.clock(greedy.clone()).lease(LEASE).patience(Duration::from_secs(7200));
    let done = rotator.resume(&rotation).await.unwrap();
    assert_eq!(done.state.name(), "done");
    let tries = greedy.tries.lock().unwrap().clone();
    // The grace of an hour is longer than many leases.
    assert!(
        tries.len() > 60 && tries.iter().all(|taken| !taken),
        "{} of {}",
        tries.iter().filter(|t| **t).count(),
        tries.len()
    );
}
