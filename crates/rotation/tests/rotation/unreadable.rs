//! Records that cannot be read: each is listed as one, keeps its keys and sinks, and blocks nothing else.

use std::path::PathBuf;
use std::time::Duration;

use api_keyring::{ManualClock, Mark, Memory, NewKey, Provider as _, ProviderExt as _};
use api_keyring_rotation::{
    Fleet, FleetKey, Journal as _, JournalEntry, JournalError, KeyResult, Listing, MemorySink, Record, RotateError,
    RotateKey, Rotator, Sink as _, SqliteJournal, State, UnreadableRecord, find_orphans,
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::journals::{LEASE, clock, done, next, open, record};

/// A key in memory, and a rotator whose journal is in a file.
struct Fixture {
    folder: tempfile::TempDir,
    clock: ManualClock,
    provider: Memory,
    journal: SqliteJournal,
}

impl Fixture {
    fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let journal = open(&folder.path().join("journal")).unwrap().clock(clock.clone());
        let provider = Memory::new().clock(clock.clone());
        Self { folder, clock, provider, journal }
    }

    /// Creates a key whose secret is in a sink of its own.
    async fn key(&self, name: &str) -> (RotateKey, MemorySink) {
        let key = self.provider.create(&NewKey::new(name).role("reader")).await.unwrap();
        (RotateKey::new(key.id().clone()), MemorySink::holding(key.secret().clone()))
    }

    fn rotator(&self, sink: &MemorySink) -> Rotator {
        Rotator::new(self.provider.clone(), sink.clone(), self.journal.clone()).clock(self.clock.clone())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute_batch("DROP TRIGGER IF EXISTS version_is_not_changed").unwrap();
        assert!(connection.execute(sql, parameters).unwrap() > 0, "{sql}");
    }

    /// Changes the latest version of a rotation, as somebody with an editor would.
    fn edit(&self, record: &Record, edit: impl FnOnce(&mut Value)) {
        let mut changed = serde_json::to_value(record).unwrap();
        edit(&mut changed);
        self.write(record, &changed.to_string());
    }

    fn write(&self, record: &Record, text: &str) {
        let sql =
            "UPDATE version SET record = ? WHERE version = ? AND rotation = (SELECT number FROM rotation WHERE id = ?)";
        self.execute(sql, (text, record.version, record.id.as_str()));
    }

    async fn unreadable(&self, listing: Listing) -> Vec<UnreadableRecord> {
        let page = self.journal.list(listing, None, 100).await.unwrap();
        let unreadable = page.entries.into_iter().filter_map(|entry| match entry {
            JournalEntry::Unreadable(record) => Some(*record),
            _ => None,
        });
        unreadable.collect()
    }
}

/// What makes a record unreadable: its name, the change, and what the journal says of it.
type Damage = (&'static str, fn(&mut Value), &'static str);

/// Ways to make a record unreadable.
fn damages() -> Vec<Damage> {
    vec![
        ("a state of a newer version", |record| record["state"]["name"] = json!("quantum"), "unknown variant"),
        (
            "a newer format",
            |record| record["format"] = json!(3),
            "a newer version of this program wrote it, in format 3",
        ),
        ("no object", |record| *record = json!("?"), "invalid type"),
        ("a missing field", |record| drop(record.as_object_mut().unwrap().remove("plan")), "missing field `plan`"),
        ("another program", |record| record["plan"]["sinks"] = json!(["command:/tmp/evil"]), "its plan is not the one"),
        ("another key", |record| record["plan"]["old"]["id"] = json!("key-of-the-boss"), "of another key"),
        ("another id", |record| record["id"] = json!("r-0123456789abcdef"), "of another rotation"),
        ("another version", |record| record["version"] = json!(77), "its version"),
        ("another state", |record| record["state"] = json!({"name": "planned"}), "its state"),
        ("another mark", |record| record["marks"][0] = json!("0123456789abcdef"), "a mark that is not one of its own"),
        (
            "another reserved mark",
            |record| record["reserved"] = json!("0123456789abcdef"),
            "a mark that was recorded for another rotation",
        ),
        (
            "a stranger's key",
            |record| {
                record["discards"] = json!([{"key": "key-of-the-boss", "mark": "0123456789abcdef", "confirmed": null}]);
            },
            "it discards a key with a mark that is not one of its own",
        ),
        (
            "a destination of which it says nothing",
            |record| record["adopted"] = json!({"salt": "0123456789abcdef", "sinks": []}),
            "it does not say of each of its destinations what it held",
        ),
    ]
}

#[tokio::test]
async fn an_unreadable_record_is_listed_and_blocks_nothing_else() {
    for (what, damage, why) in damages() {
        let fixture = Fixture::new();
        let (rotate, sink) = fixture.key("ci").await;
        let broken = fixture.rotator(&sink).rotate(&rotate).await.unwrap();
        assert_eq!(broken.state.name(), "promoted");
        fixture.edit(&broken, damage);

        for listing in [Listing::Unfinished, Listing::All] {
            let unreadable = fixture.unreadable(listing).await;
            assert_eq!(unreadable.len(), 1, "{what}: {unreadable:?}");
            let listed = &unreadable[0];
            assert_eq!((&*listed.id, &*listed.key), (broken.id.as_str(), rotate.key.as_str()), "{what}");
            assert_eq!((listed.version, &listed.marks), (broken.version, &broken.marks), "{what}");
            assert!(listed.why.contains(why), "{what}: {}", listed.why);
        }
        let failed = fixture.rotator(&sink).resume(&broken.id).await.unwrap_err().to_string();
        assert!(failed.contains(broken.id.as_str()) && failed.contains(why), "{what}: {failed}");
        assert_eq!(fixture.journal.unfinished().await.unwrap(), []);

        // Another key is rotated, and what others began is finished.
        let (other, other_sink) = fixture.key("other").await;
        let waiting = fixture.rotator(&other_sink).rotate(&other).await.unwrap();
        assert_eq!(fixture.journal.latest(9).await.unwrap(), std::slice::from_ref(&waiting), "{what}");
        fixture.clock.advance(Duration::from_secs(3600));
        assert_eq!(fixture.rotator(&other_sink).resume(&waiting.id).await.unwrap().state.name(), "done", "{what}");
        // The new key of the broken record may be in use.
        assert!(find_orphans(&fixture.provider, &fixture.journal).await.unwrap().is_empty(), "{what}");
    }
    println!("unreadable records: {} cells (list, resume, rotate and resume another, sweep)", damages().len() * 5);
}

#[tokio::test]
async fn an_unreadable_record_keeps_its_keys_and_sinks() {
    let fixture = Fixture::new();
    let (rotate, sink) = fixture.key("ci").await;
    let broken = fixture.rotator(&sink).rotate(&rotate).await.unwrap();
    fixture.write(&broken, "{");
    let is_refused = |refused: Result<Record, RotateError>, what: &str| match refused {
        Err(RotateError::Journal(JournalError::Unreadable(record))) => assert_eq!(record.id, broken.id.as_str()),
        other => panic!("{what}: {other:?}"),
    };
    let adopting = |rotate: RotateKey| rotate.adopt_sink();
    is_refused(fixture.rotator(&MemorySink::new()).rotate(&adopting(rotate)).await, "the old key");
    let new = broken.state.new_key().unwrap().clone();
    is_refused(fixture.rotator(&MemorySink::new()).rotate(&adopting(RotateKey::new(new))).await, "the new key");
    let (other, _) = fixture.key("other").await;
    is_refused(fixture.rotator(&sink).rotate(&adopting(other)).await, "the sink");
}

#[tokio::test]
async fn a_fleet_continues_although_the_record_of_a_canary_is_unreadable() {
    let fixture = Fixture::new();
    let (rotate, sink) = fixture.key("ci").await;
    let broken = fixture.rotator(&sink).rotate(&rotate).await.unwrap();
    fixture.write(&broken, "{");
    let mut keys = vec![FleetKey { rotate: rotate.adopt_sink(), sink: std::sync::Arc::new(sink) }];
    for name in ["one", "two"] {
        let (rotate, sink) = fixture.key(name).await;
        keys.push(FleetKey { rotate: rotate.leaked(), sink: std::sync::Arc::new(sink) });
    }
    let fleet = Fleet::new(fixture.provider.clone(), fixture.journal.clone());
    let mut results = Vec::new();
    let summary = fleet
        .with(|rotator| rotator.clock(fixture.clock.clone()))
        .rotate(stream::iter(keys), |_, result| {
            results.push(matches!(result, KeyResult::Failed(RotateError::Journal(JournalError::Unreadable(_)))));
        })
        .await;
    assert_eq!((summary.failed, summary.done, &summary.halted), (1, 2, &None), "{summary:?}");
    assert_eq!(results, [true, false, false]);
}

#[tokio::test]
async fn rows_that_contradict_each_other_are_unreadable() {
    let changes = [
        "UPDATE rotation SET state = 'quantum'",
        "UPDATE rotation SET vendor = 'another'",
        "UPDATE rotation SET version = version - 1",
        "UPDATE rotation SET version = -1",
        "UPDATE version SET state = 'done' WHERE version = (SELECT version FROM rotation)",
        "UPDATE version SET record = CAST(X'ff' AS TEXT) WHERE version = (SELECT version FROM rotation)",
        "UPDATE version SET record = '[' WHERE version = 0",
        "DELETE FROM mark",
        "DELETE FROM claim",
        "DELETE FROM claim WHERE claim LIKE 'sink %'",
        "DELETE FROM claim WHERE claim LIKE 'key %'",
    ];
    for change in changes {
        let fixture = Fixture::new();
        let (rotate, sink) = fixture.key("ci").await;
        fixture.rotator(&sink).rotate(&rotate).await.unwrap();
        fixture.execute(change, ());
        assert_eq!(fixture.unreadable(Listing::All).await.len(), 1, "{change}");
        assert_eq!(fixture.unreadable(Listing::Unfinished).await.len(), 1, "{change}");
    }
}

/// Somebody changes every version, so that no version contradicts another.
#[tokio::test]
async fn a_destination_that_somebody_changed_in_all_versions_is_unreadable() {
    let edit_all = |fixture: &Fixture| {
        let sql = "UPDATE version SET record = json_set(record, '$.plan.sinks', json('[\"command:/tmp/evil\"]'))";
        fixture.execute(sql, ());
    };
    for begun_only in [true, false] {
        let fixture = Fixture::new();
        let (rotate, sink) = fixture.key("ci").await;
        let rotator = fixture.rotator(&sink);
        let record = match begun_only {
            true => rotator.start(rotator.plan(&rotate).await.unwrap()).await.unwrap(),
            false => rotator.rotate(&rotate).await.unwrap(),
        };
        edit_all(&fixture);
        let unreadable = fixture.unreadable(Listing::Unfinished).await;
        assert!(matches!(&*unreadable, [listed] if listed.why.contains("was not recorded for this rotation")));
        let failed = rotator.resume(&record.id).await.unwrap_err().to_string();
        assert!(failed.contains("was not recorded for this rotation"), "{failed}");
    }
}

/// A journal that says that a rotation issued a key which it did not issue.
#[tokio::test]
async fn a_discard_that_somebody_added_deletes_no_other_key() {
    let fixture = Fixture::new();
    let (rotate, sink) = fixture.key("ci").await;
    let waiting = fixture.rotator(&sink).rotate(&rotate).await.unwrap();
    let (stranger, _) = fixture.key("of the boss").await;
    // The record contradicts nothing: the mark is the rotation's own.
    fixture.edit(&waiting, |record| {
        record["discards"] = json!([{"key": stranger.key, "mark": record["marks"][0], "confirmed": null}]);
    });
    let resumed = fixture.rotator(&sink).resume(&waiting.id).await.unwrap();
    assert!(fixture.provider.exists(&stranger.key).await.unwrap(), "{resumed:?}");
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.rotator(&sink).resume(&waiting.id).await.unwrap().state.name(), "done");
    assert!(fixture.provider.exists(&stranger.key).await.unwrap());
    assert!(sink.current().await.unwrap().is_some());

    // A mark of another rotation would lead to that rotation's key.
    let (rotate, other_sink) = fixture.key("other").await;
    let other = fixture.rotator(&other_sink).rotate(&rotate).await.unwrap();
    let State::Promoted { new, .. } = &other.state else { panic!("{other:?}") };
    let (third, third_sink) = fixture.key("third").await;
    let third = fixture.rotator(&third_sink).rotate(&third).await.unwrap();
    fixture.edit(&third, |record| {
        let mark = json!(new.mark);
        record["marks"].as_array_mut().unwrap().push(mark.clone());
        record["discards"] = json!([{"key": new.key, "mark": mark, "confirmed": null}]);
    });
    let refused = fixture.rotator(&third_sink).resume(&third.id).await.unwrap_err().to_string();
    assert!(refused.contains("a mark that was recorded for another rotation"), "{refused}");
    assert!(fixture.provider.exists(&new.key).await.unwrap());
}

#[tokio::test]
async fn unknown_fields_and_earlier_formats_are_read() {
    let fixture = Fixture::new();
    let (rotate, sink) = fixture.key("ci").await;
    let waiting = fixture.rotator(&sink).rotate(&rotate).await.unwrap();
    assert_eq!(serde_json::to_value(&waiting).unwrap()["format"], 2);
    fixture.edit(&waiting, |record| {
        record.as_object_mut().unwrap().remove("format");
        record["invented"] = json!({"later": true});
    });
    assert_eq!(fixture.journal.load(&waiting.id).await.unwrap(), Some(waiting));
}

#[tokio::test]
async fn a_version_that_is_unreadable_is_one_entry_of_the_history() {
    let fixture = Fixture::new();
    let first = record().await;
    fixture.journal.begin(&first).await.unwrap();
    let lease = fixture.journal.take(&first.id, "a", LEASE).await.unwrap();
    let second = next(&first, State::Planned);
    fixture.journal.save(&lease, &second).await.unwrap();
    fixture.journal.save(&lease, &next(&second, done())).await.unwrap();
    fixture.write(&second, "{");
    let versions = fixture.journal.versions(&first.id, 0, 9).await.unwrap();
    let readable: Vec<_> = versions.iter().map(|entry| matches!(entry, JournalEntry::Record(_))).collect();
    assert_eq!(readable, [true, false, true]);
    let failed = fixture.journal.history(&first.id).await;
    assert!(matches!(&failed, Err(JournalError::Unreadable(record)) if record.version == 1), "{failed:?}");
    assert!(fixture.journal.load(&first.id).await.unwrap().is_some(), "only the latest version counts");
    assert!(fixture.journal.find_by_mark(&Mark::random()).await.unwrap().is_none());
}
