//! What the commands do with the journal: lists in pages, records that cannot be read, old rotations, other users' files.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::json;

#[cfg(unix)]
use crate::harness::{Run, Unprivileged};
use crate::rotation::{Fixture, fixture};

impl Fixture {
    /// Changes the journal's file, as somebody with an editor would.
    fn edit_journal(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path("state.sqlite")).unwrap();
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS version_is_not_changed; {sql}")).unwrap();
    }

    /// Begins to rotate another key, into a file of its own. Returns the rotation's id.
    fn rotate_another(&self, name: &str) -> String {
        let (key, secret) = self.emulator.create("spartera");
        fs::write(self.path(name), secret).unwrap();
        let to = format!("file:{}", self.path(name));
        let record = self.json(&["rotate", &key, "--to", &to, "--poll", "1ms", "--role", "3", "--yes"]);
        record["id"].as_str().unwrap().to_owned()
    }
}

const DAMAGE: &str =
    "UPDATE version SET record = json_set(record, '$.format', 99) WHERE version = (SELECT version FROM rotation)";

#[test]
fn a_record_that_cannot_be_read_is_listed_and_blocks_nothing_else() {
    let fixture = fixture("spartera");
    let broken = fixture.rotate(&[]);
    let id = broken["id"].as_str().unwrap();
    fixture.edit_journal(DAMAGE);
    let why = "a newer version of this program wrote it, in format 99";

    for list in [&["status"][..], &["history"]] {
        let listed = fixture.json(list);
        let unreadable = &listed[0]["unreadable"];
        assert_eq!((&unreadable["id"], listed.as_array().unwrap().len()), (&json!(id), 1), "{listed}");
        assert!(unreadable["why"].as_str().unwrap().contains(why), "{listed}");
        let table = fixture.run(list);
        assert_eq!(table.code, 0, "{}", table.stderr);
        for text in [id, &fixture.key, "unreadable", why] {
            assert!(table.stdout.contains(text), "{text}: {}", table.stdout);
        }
    }
    let steps = fixture.run(&["history", id]);
    assert!(steps.code == 0 && steps.stdout.contains("issued") && steps.stdout.contains(why), "{}", steps.stdout);
    for command in [&["status", id][..], &["resume", id], &["abort", id, "--yes"]] {
        let refused = fixture.run(command);
        assert_eq!(refused.code, 1, "{command:?}");
        assert!(refused.stderr.contains(why) && refused.stderr.contains("newest version"), "{}", refused.stderr);
    }
    // Its key and its destination stay its own.
    let to = format!("file:{}", fixture.path("ci.key"));
    let again = fixture.run(&["rotate", &fixture.key, "--to", &to, "--adopt", "--role", "3", "--yes"]);
    assert!(again.code == 1 && again.stderr.contains(id), "{}", again.stderr);

    // All others continue.
    let other = fixture.rotate_another("other.key");
    let resumed = fixture.run(&["--output", "json", "resume"]);
    assert_eq!(resumed.code, 1);
    assert!(resumed.stderr.contains("1 of 2 rotations"), "{}", resumed.stderr);
    let resumed: serde_json::Value = serde_json::from_str(&resumed.stdout).unwrap();
    assert_eq!((&resumed[0]["unreadable"]["id"], &resumed[1]["rotation"]["id"]), (&json!(id), &json!(other)));
    assert_eq!(fixture.json(&["sweep"]), json!([]));
    let fleet = ["rotate-fleet", "spartera", "--all", "--to", "file:{name}.key", "--dry-run"];
    let fleet = fixture.command(&fleet).current_dir(fixture.folder.path()).output().unwrap();
    assert!(String::from_utf8(fleet.stdout).unwrap().contains(id), "the fleet leaves its key to it");
}

#[test]
fn long_lists_come_in_parts() {
    let fixture = fixture("spartera");
    let ids: Vec<_> = (0..3).map(|number| fixture.rotate_another(&format!("{number}.key"))).collect();
    let part = fixture.run(&["--output", "json", "history", "--limit", "2"]);
    let listed: serde_json::Value = serde_json::from_str(&part.stdout).unwrap();
    assert_eq!((&listed[0]["id"], &listed[1]["id"], &listed[2]), (&json!(ids[2]), &json!(ids[1]), &json!(null)));
    let place = part.stderr.split('`').nth(1).unwrap().trim_start_matches("--from ").to_owned();
    let rest = fixture.json(&["history", "--limit", "2", "--from", &place]);
    assert_eq!((&rest[0]["id"], &rest[1]), (&json!(ids[0]), &json!(null)));
    assert_eq!(fixture.run(&["history", &ids[0], "--from", "1"]).code, 2);

    let steps = fixture.run(&["--output", "json", "history", &ids[0], "--limit", "2"]);
    let steps_listed: serde_json::Value = serde_json::from_str(&steps.stdout).unwrap();
    let states: Vec<_> = steps_listed.as_array().unwrap().iter().map(|step| &step["state"]["name"]).collect();
    assert_eq!(states, ["verified", "promoted"]);
    assert!(steps.stderr.contains("4 earlier steps") && steps.stderr.contains("--limit"), "{}", steps.stderr);
}

#[test]
fn prune_removes_old_finished_rotations_and_forgets_no_key() {
    let fixture = fixture("spartera");
    let done = fixture.rotate(&["--leaked"]);
    let waiting = fixture.rotate_another("other.key");
    let none = fixture.run(&["prune", "--older-than", "1d"]);
    assert!(none.code == 0 && none.stdout.contains("removed") && none.stdout.contains('0'), "{}", none.stdout);
    fixture.edit_journal("UPDATE version SET time = '2020-01-01T00:00:00.000Z'");

    let dry = fixture.json(&["prune", "--older-than", "90d", "--dry-run"]);
    assert_eq!(dry, json!({"dry_run": true, "rotations": 1, "unreadable": 0}));
    let refused = fixture.run(&["prune", "--older-than", "90d"]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{}", refused.stderr);
    assert_eq!(fixture.json(&["history"]).as_array().unwrap().len(), 2, "nothing was removed yet");
    let removed = fixture.json(&["prune", "--older-than", "90d", "--yes"]);
    assert_eq!(removed, json!({"dry_run": false, "rotations": 1, "unreadable": 0}));

    let left = fixture.json(&["history"]);
    assert_eq!((&left[0]["id"], &left[1]), (&json!(waiting), &json!(null)));
    assert_eq!(fixture.run(&["status", done["id"].as_str().unwrap()]).code, 5);
    assert_eq!(fixture.json(&["sweep", "--retire", "--yes"]), json!([]), "the new key is in use");
    assert!(fixture.emulator.works("spartera", &fs::read_to_string(fixture.path("ci.key")).unwrap()));
    assert_eq!(fixture.run(&["prune", "--older-than", "90d", "--journal", "mistyped"]).code, 1);
}

/// A journal of the first version of this program, with a finished rotation and unfinished ones.
#[cfg(unix)]
const EARLY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../rotation/tests/fixtures/1/spartera_overlap/journal.sqlite");

/// Returns the names of all files in a folder, with their contents, modes and times.
#[cfg(unix)]
fn snapshot(folder: &std::path::Path) -> std::collections::BTreeMap<String, (Vec<u8>, u32, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        let content = fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), (content, found.mode(), found.mtime_nsec()))
    });
    files.collect()
}

#[test]
#[cfg(unix)]
fn what_only_reads_the_journal_changes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut cells = 0;
    for early in [false, true] {
        let fixture = fixture("spartera");
        let id = match early {
            false => fixture.rotate(&[])["id"].as_str().unwrap().to_owned(),
            true => {
                fs::copy(EARLY, fixture.path("state.sqlite")).unwrap();
                let connection = rusqlite::Connection::open(EARLY).unwrap();
                connection.query_row("SELECT id FROM rotation LIMIT 1", [], |row| row.get(0)).unwrap()
            }
        };
        fs::set_permissions(fixture.path("state.sqlite"), fs::Permissions::from_mode(0o644)).unwrap();
        let other = fixture.emulator.create("spartera");
        fs::write(fixture.path("other.key"), &other.1).unwrap();
        let before = snapshot(fixture.folder.path());
        let to = format!("file:{}", fixture.path("other.key"));
        let named = format!("file:{}", fixture.path("{name}.key"));
        for arguments in [
            &["status"][..],
            &["status", &id],
            &["history"],
            &["history", &id],
            &["prune", "--older-than", "1d", "--dry-run"],
            &["sweep"],
            &["rotate", &other.0, "--to", &to, "--role", "3", "--dry-run"],
            &["rotate-fleet", "spartera", "--all", "--to", &named, "--role", "3", "--dry-run"],
        ] {
            let run = fixture.run(arguments);
            assert!(!run.stderr.contains("journal") && !run.stderr.contains("state.sqlite"), "{arguments:?}: {run:?}");
            assert!(snapshot(fixture.folder.path()) == before, "early: {early}: {arguments:?}");
            cells += 1;
        }
    }
    println!("reading the journal: {cells} cells");
}

#[test]
#[cfg(unix)]
fn reading_writes_no_log_of_a_killed_process_into_the_journal() {
    for early in [false, true] {
        let fixture = fixture("spartera");
        let id = fixture.rotate(&[])["id"].as_str().unwrap().to_owned();
        if early {
            fs::copy(EARLY, fixture.path("state.sqlite")).unwrap();
        }
        // A copy of the files of a process that has not closed them.
        let open = rusqlite::Connection::open(fixture.path("state.sqlite")).unwrap();
        open.pragma_update(None, "journal_mode", "WAL").unwrap();
        open.execute("UPDATE rotation SET holder = 'killed'", ()).unwrap();
        let killed = tempfile::tempdir().unwrap();
        for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
            fs::copy(fixture.path(name), killed.path().join(name)).unwrap();
        }
        assert!(killed.path().join("state.sqlite-wal").metadata().unwrap().len() > 0);
        let before = fs::read(killed.path().join("state.sqlite")).unwrap();
        let journal = killed.path().join("state.sqlite").to_str().unwrap().to_owned();
        for _ in 0..2 {
            let run = fixture.run(&["status", "--journal", &journal]);
            assert!(run.code == 0 && (early || run.stdout.contains(&id)), "{run:?}");
            assert!(fs::read(&journal).unwrap() == before, "early: {early}");
        }
    }
}

#[test]
fn a_journal_of_a_newer_version_is_not_read() {
    let fixture = fixture("spartera");
    fixture.rotate(&[]);
    fixture.edit_journal("PRAGMA user_version = 9");
    for command in
        [&["status"][..], &["history"], &["sweep"], &["prune", "--older-than", "1d", "--dry-run"], &["resume"]]
    {
        let run = fixture.run(command);
        assert!(
            run.code == 1 && run.stderr.contains("a newer version of this program wrote it, in layout 9"),
            "{run:?}"
        );
    }
}

#[test]
#[cfg(unix)]
fn a_journal_in_a_folder_that_cannot_be_written_is_read() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let fixture = fixture("spartera");
    let id = fixture.rotate(&[])["id"].as_str().unwrap().to_owned();
    let unprivileged = Unprivileged::new();
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, from, id) in
        [("recent journal?#%", fixture.path("state.sqlite"), Some(id)), ("early", EARLY.into(), None)]
    {
        let folder = outer.path().join(name);
        fs::create_dir(&folder).unwrap();
        let journal = folder.join("state.sqlite");
        fs::copy(from, &journal).unwrap();
        for (path, mode) in [(&journal, 0o400), (&folder, 0o555)] {
            chown(path, unprivileged.user(), unprivileged.user()).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let journal = journal.to_str().unwrap();
        for command in ["status", "history"] {
            let run: Run = unprivileged.command(&[command, "--journal", journal]).output().unwrap().into();
            assert_eq!(run.code, 0, "{name}: {command}: {}", run.stderr);
            assert!(
                id.as_ref().is_none_or(|id| run.stdout.contains(id)) && run.stdout.contains("r-"),
                "{}",
                run.stdout
            );
        }
        // What writes says that it cannot.
        let run: Run = unprivileged.command(&["resume", "--journal", journal]).output().unwrap().into();
        assert!(run.code == 1 && run.stderr.contains("cannot be used as the journal"), "{run:?}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_process_keeps_nobody_waiting() {
    let fixture = fixture("spartera");
    let to = format!("file:{}", fixture.path("ci.key"));
    let rotate = ["rotate", &fixture.key, "--to", &to, "--poll", "1ms", "--role", "3", "--wait", "2h", "--yes"];
    // The process holds its lease while it waits for the end of the grace.
    let mut process = fixture.command(&rotate).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let last = lines.map_while(Result::ok).find(|line| line.ends_with("promoted")).unwrap();
    let (id, _) = last.split_once(':').unwrap();
    let held = fixture.run(&["resume", id, "--wait", "0s"]);
    assert!(held.code == 1 && held.stderr.contains("is working on the rotation"), "{}", held.stderr);
    process.kill().unwrap();
    process.wait().unwrap();
    let resumed = fixture.run(&["resume", id, "--wait", "0s"]);
    assert!(resumed.code == 0 && resumed.stdout.contains("promoted"), "{}{}", resumed.stdout, resumed.stderr);
}

#[test]
#[cfg(unix)]
fn a_journal_that_others_can_write_runs_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = fixture("spartera");
    fixture.rotate(&[]);
    // Somebody who can write the file puts a program into it.
    let evil = fixture.path("evil");
    fs::write(&evil, "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o700)).unwrap();
    fixture.edit_journal(&format!(
        "UPDATE version SET record = json_set(record, '$.plan.sinks', json_array('command:{evil}'))"
    ));
    let journal = fixture.path("state.sqlite");
    for mode in [0o666, 0o660] {
        fs::set_permissions(&journal, fs::Permissions::from_mode(mode)).unwrap();
        for command in ["resume", "status", "history", "sweep"] {
            let refused = fixture.run(&[command]);
            assert_eq!(refused.code, 1, "{command}: {}", refused.stdout);
            for text in ["can be written by other users", "chmod go-w", "--journal", &journal] {
                assert!(refused.stderr.contains(text), "{command}, {text}: {}", refused.stderr);
            }
        }
    }
    assert!(!fixture.folder.path().join("evil.ran").exists());
}
