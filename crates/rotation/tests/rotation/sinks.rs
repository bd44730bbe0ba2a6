//! Sinks: what every sink does, and what only some of them do.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{Mark, Secret};
use api_keyring_rotation::{
    CommandSink, FileSink, Host, MemorySink, Room, Sink, SinkError, SinkSet, Slot, Store, open_sinks,
};
use async_trait::async_trait;

fn secret(text: &str) -> Option<Secret> {
    Some(text.into())
}

/// Checks the behaviour of a sink whose current secret is `held`.
async fn check_sink(sink: &dyn Sink, held: Option<Secret>) {
    let (mark, other) = (Mark::random(), Mark::random());
    sink.check().await.unwrap();
    assert_eq!(sink.current().await.unwrap(), held);
    assert_eq!(sink.pending(&mark).await.unwrap(), None);
    assert_eq!(sink.previous(&mark).await.unwrap(), None);
    // Nothing is pending, so these calls change nothing.
    sink.promote(&mark).await.unwrap();
    sink.withdraw(&mark).await.unwrap();
    sink.forget_previous(&mark).await.unwrap();
    assert_eq!(sink.current().await.unwrap(), held);
    // Every call can be repeated. Two secrets can be pending at the same time.
    for _ in 0..2 {
        sink.put(&mark, &"sk_live_1".into()).await.unwrap();
        sink.put(&other, &"sk_live_2".into()).await.unwrap();
        assert_eq!(sink.pending(&mark).await.unwrap(), secret("sk_live_1"));
        assert_eq!(sink.current().await.unwrap(), held);
    }
    for _ in 0..2 {
        sink.promote(&mark).await.unwrap();
        assert_eq!(sink.current().await.unwrap(), secret("sk_live_1"));
        assert_eq!(sink.pending(&mark).await.unwrap(), None);
        assert_eq!(sink.previous(&mark).await.unwrap(), held);
    }
    for _ in 0..2 {
        sink.withdraw(&mark).await.unwrap();
        assert_eq!(sink.current().await.unwrap(), held);
        assert_eq!(sink.previous(&mark).await.unwrap(), None);
        assert_eq!(sink.pending(&other).await.unwrap(), secret("sk_live_2"));
    }
    sink.promote(&other).await.unwrap();
    for _ in 0..2 {
        sink.forget_previous(&other).await.unwrap();
        assert_eq!(sink.previous(&other).await.unwrap(), None);
        assert_eq!(sink.current().await.unwrap(), secret("sk_live_2"));
    }
    // A secret that is withdrawn before it is promoted leaves the current one alone.
    sink.put(&mark, &"sk_live_3".into()).await.unwrap();
    sink.withdraw(&mark).await.unwrap();
    assert_eq!((sink.pending(&mark).await.unwrap(), sink.current().await.unwrap()), (None, secret("sk_live_2")));
}

#[tokio::test]
async fn memory_behaves_like_a_sink() {
    check_sink(&MemorySink::new(), None).await;
    check_sink(&MemorySink::holding("sk_live_0"), secret("sk_live_0")).await;
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_behaves_like_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("ci.key");
    let sink = FileSink::new(&path).unwrap();
    assert_eq!(sink.name(), format!("file@{}:{}", Host::this(), path.display()));
    // A file has one name, so no two rotations can share it.
    let folder_name = folder.path().file_name().unwrap();
    let detour = folder.path().join("..").join(folder_name).join("ci.key");
    assert_eq!(FileSink::new(&detour).unwrap().name(), sink.name());
    check_sink(&sink, None).await;
    assert_eq!(names(folder.path()), ["ci.key"]);
    // An editor may leave a line break at the end.
    fs::write(&path, "sk_live_0\r\n").unwrap();
    check_sink(&sink, secret("sk_live_0")).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "sk_live_2\r\n");
}

#[tokio::test]
#[cfg(unix)]
async fn a_file_keeps_its_mode_and_only_its_owner_can_read_the_slots() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    fs::write(&path, "sk_live_0").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let sink = FileSink::new(&path).unwrap();
    let (mark, other) = (Mark::random(), Mark::random());
    sink.put(&mark, &"sk_live_1".into()).await.unwrap();
    sink.promote(&mark).await.unwrap();
    sink.put(&other, &"sk_live_2".into()).await.unwrap();
    let slots = [(format!("ci.key.pending-{other}"), 0o600), (format!("ci.key.previous-{mark}"), 0o600)];
    let expected = [("ci.key".to_owned(), 0o644)].into_iter().chain(slots);
    let found: Vec<_> = expected.clone().map(|(name, _)| name).collect();
    assert_eq!(names(folder.path()), found);
    for (name, expected) in expected {
        let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[tokio::test]
async fn a_promotion_that_was_cut_off_can_be_finished() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::new(folder.path().join("ci.key")).unwrap();
    let mark = Mark::random();
    let (pending, previous) = (Slot::Pending(mark.clone()), Slot::Previous(mark.clone()));
    // The promotion is cut off after each of its writes.
    for written in 0..3 {
        sink.write(&Slot::Current, &"sk_live_0".into()).await.unwrap();
        sink.write(&pending, &"sk_live_1".into()).await.unwrap();
        if written > 0 {
            sink.write(&previous, &"sk_live_0".into()).await.unwrap();
        }
        if written > 1 {
            sink.write(&Slot::Current, &"sk_live_1".into()).await.unwrap();
        }
        sink.promote(&mark).await.unwrap();
        assert_eq!(sink.current().await.unwrap(), secret("sk_live_1"));
        assert_eq!(sink.previous(&mark).await.unwrap(), secret("sk_live_0"), "after {written} writes");
        sink.withdraw(&mark).await.unwrap();
    }
    assert_eq!(names(folder.path()), ["ci.key"]);
}

#[tokio::test]
async fn a_path_that_is_not_a_file_with_a_secret_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    let fails = async |sink: &FileSink| format!("{:#?}", sink.check().await.unwrap_err());
    let sink = FileSink::new(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(fails(&sink).await.contains("not a plain file"));
    fs::remove_dir(&path).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(fails(&sink).await.contains("not a plain file"));
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(fails(&sink).await.contains("cannot be read"));
    fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
    assert!(fails(&sink).await.contains("is larger than"));
    assert_eq!(names(folder.path()), ["ci.key"]);
    assert!(fails(&FileSink::new(folder.path().join("missing/ci.key")).unwrap()).await.contains("cannot be written"));
    assert!(FileSink::new("/").is_err() && FileSink::new("").is_err() && FileSink::new("a\nb").is_err());
    assert!(FileSink::dotenv(&path, "A-B").is_err());
}

#[tokio::test]
async fn the_files_of_a_killed_process_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::new(folder.path().join("ci.key")).unwrap();
    // The same name with another end is not ours.
    let theirs = [
        ".ci.key",
        ".ci.key.new-0123456789abcdef-00000000",
        ".ci.key.new-a1b2c3",
        ".ci.key.new-template",
        ".other.key.new-0123456789abcdef-f18156bc",
    ];
    for name in theirs.into_iter().chain([".ci.key.new-0123456789abcdef-61e42896"]) {
        fs::write(folder.path().join(name), "sk_live_half").unwrap();
    }
    fs::create_dir(folder.path().join(".ci.key.new-vvvvvvvvvvvvvvvv-0cbec022")).unwrap();
    // A check may be that of a dry run, which changes nothing.
    let before = names(folder.path());
    sink.check().await.unwrap();
    assert_eq!(names(folder.path()), before);
    let mark = Mark::random();
    sink.put(&mark, &"sk_live_1".into()).await.unwrap();
    sink.withdraw(&mark).await.unwrap();
    let left = [&theirs[..4], &[".ci.key.new-vvvvvvvvvvvvvvvv-0cbec022", theirs[4]]].concat();
    assert_eq!(names(folder.path()), left);
}

const DOTENV: &str = "# one\r\nexport OTHER='a b'\n\nKEY=\"sk_live_0\" # two\nLAST=1";

#[tokio::test]
async fn a_variable_behaves_like_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, DOTENV).unwrap();
    check_sink(&FileSink::dotenv(&path, "KEY").unwrap(), secret("sk_live_0")).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), DOTENV.replace("sk_live_0", "sk_live_2"));
    assert_eq!(names(folder.path()), [".env"]);
    // The file does not set this variable yet.
    check_sink(&FileSink::dotenv(&path, "NEW").unwrap(), None).await;
    let expected = format!("{}\nNEW=sk_live_2\n", DOTENV.replace("sk_live_0", "sk_live_2"));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    fs::write(&path, "KEY=1\nKEY=2\n").unwrap();
    let twice = FileSink::dotenv(&path, "KEY").unwrap().check().await.unwrap_err();
    assert!(twice.to_string().ends_with("line 2: KEY is set a second time. Remove one of the two settings"), "{twice}");
}

#[tokio::test]
async fn concurrent_changes_to_variables_of_one_file_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    let numbers = 0..40;
    fs::write(&path, numbers.clone().map(|number| format!("KEY{number}=old\n")).collect::<String>()).unwrap();
    let rotate = |number| {
        let sink = FileSink::dotenv(&path, format!("KEY{number}")).unwrap();
        tokio::spawn(async move {
            let mark = Mark::random();
            sink.put(&mark, &format!("new{number}").into()).await.unwrap();
            sink.promote(&mark).await.unwrap();
            sink.forget_previous(&mark).await.unwrap();
        })
    };
    let all: Vec<_> = numbers.clone().map(rotate).collect();
    for one in all {
        one.await.unwrap();
    }
    let expected: String = numbers.map(|number| format!("KEY{number}=new{number}\n")).collect();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

/// A program that stores secrets in a folder and records its arguments and environment.
#[cfg(unix)]
const PROGRAM: &str = r#"
cd "$1" || exit 9
echo "$*" >> calls; env >> calls
case $2 in
check) ;;
read) if [ -e "$3" ]; then cat "$3"; echo; fi ;;
write) cat > "$3.new" && mv "$3.new" "$3" ;;
remove) rm -f "$3" ;;
esac
"#;

#[tokio::test]
#[cfg(unix)]
async fn a_program_behaves_like_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let sink = CommandSink::new("sh", ["-c", PROGRAM, "keep", folder.path().to_str().unwrap()]);
    check_sink(&sink, None).await;
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    assert!(calls.contains("write current"), "{calls}");
    assert!(!calls.contains("sk_live_"), "a secret is in the arguments or the environment: {calls}");
}

#[tokio::test]
#[cfg(unix)]
async fn the_error_of_a_failing_program_does_not_contain_the_secret() {
    let run = |script: &str| CommandSink::new("sh", ["-c", script]);
    let fails = |result: Result<(), SinkError>| format!("{:#?}", result.unwrap_err());
    let write = async |script: &str| run(script).write(&Slot::Current, &"sk_live_1".into()).await;
    assert!(fails(write("cat; exit 3").await).contains("exit status: 3"));
    assert!(fails(write("kill $$").await).contains("signal"));
    let slow = run("exec sleep 600").timeout(Duration::from_millis(100));
    assert!(fails(slow.write(&Slot::Current, &"sk_live_1".into()).await).contains("took too long"));
    let read = async |script: &str| run(script).read(&Slot::Current).await.map(drop);
    assert!(fails(read("head -c 70000 /dev/zero").await).contains("prints too much"));
    assert!(fails(read(r"printf 'sk_live_\377'").await).contains("not UTF-8 text"));
    let missing = CommandSink::new("/nowhere/at/all", [""; 0]);
    assert!(fails(missing.check().await.map(drop)).contains("cannot be started"));
    for script in ["cat; exit 3", r"printf 'sk_live_\377'"] {
        let (written, read) = (write(script).await, read(script).await);
        assert!(!format!("{written:?} {read:?}").contains("sk_live_"));
    }
}

#[tokio::test]
#[cfg(unix)]
async fn an_abandoned_program_ends_with_all_processes_that_it_started() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = "(echo ready; sleep 5; echo late) > \"$1\" & wait";
    let sink = CommandSink::new("sh", ["-c", script, "keep", pipe.to_str().unwrap()]);
    let (started, has_started) = tokio::sync::oneshot::channel();
    let reader = std::thread::spawn(move || {
        let mut reader = BufReader::new(fs::File::open(&pipe).unwrap());
        reader.read_line(&mut String::new()).unwrap();
        started.send(()).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        rest
    });
    let secret = Secret::new("sk_live_1");
    tokio::select! {
        written = sink.write(&Slot::Current, &secret) => panic!("{written:?}"),
        started = has_started => started.unwrap(),
    }
    assert_eq!(reader.join().unwrap(), "");
}

#[tokio::test]
#[cfg(unix)]
async fn a_program_that_prints_something_for_an_empty_slot_is_refused() {
    let refused = CommandSink::new("echo", [""; 0]).check().await.unwrap_err().to_string();
    assert!(refused.contains("for a slot that is empty"), "{refused}");
}

#[tokio::test]
async fn two_variables_of_one_file_behave_like_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, "A=sk_live_0\nB=sk_live_0\n").unwrap();
    let variable = |name: &str| Arc::new(FileSink::dotenv(&path, name).unwrap()) as Arc<dyn Sink>;
    check_sink(&SinkSet::new(["A", "B"].map(variable)), secret("sk_live_0")).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "A=sk_live_2\nB=sk_live_2\n");
    assert_eq!(names(folder.path()), [".env"]);
}

#[tokio::test]
async fn a_set_of_sinks_behaves_like_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let memory = || Arc::new(MemorySink::new()) as Arc<dyn Sink>;
    let file = Arc::new(FileSink::new(folder.path().join("ci.key")).unwrap());
    let sink = SinkSet::new([memory(), file, memory()]);
    assert_eq!(sink.names().len(), 3);
    check_sink(&sink, None).await;
    assert!(SinkSet::new([]).check().await.is_err());
    let differing = SinkSet::new(["a", "b"].map(|held| Arc::new(MemorySink::holding(held)) as Arc<dyn Sink>));
    assert!(differing.current().await.unwrap_err().to_string().contains("do not hold the same"));
}

/// A store that forgets what is written to it, or fails whatever is asked of it.
#[derive(Debug)]
struct Broken {
    fails: bool,
}

#[async_trait::async_trait]
impl Store for Broken {
    fn address(&self) -> String {
        "broken".to_owned()
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.answer(())
    }

    async fn read(&self, _: &Slot) -> Result<Option<Secret>, SinkError> {
        self.answer(None)
    }

    async fn write(&self, _: &Slot, _: &Secret) -> Result<(), SinkError> {
        self.answer(())
    }

    async fn remove(&self, _: &Slot) -> Result<(), SinkError> {
        self.answer(())
    }
}

impl Broken {
    fn answer<T>(&self, answer: T) -> Result<T, SinkError> {
        if self.fails { Err(SinkError::new("out of order")) } else { Ok(answer) }
    }
}

#[tokio::test]
async fn a_set_reads_back_what_each_of_its_sinks_holds() {
    let sink = SinkSet::new([Arc::new(MemorySink::new()) as Arc<dyn Sink>, Arc::new(Broken { fails: false })]);
    let error = sink.put(&Mark::random(), &secret("sk_live_1").unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("read back"), "{error}");
}

#[tokio::test]
async fn a_sink_that_fails_does_not_keep_a_set_from_the_others() {
    let (mark, held) = (Mark::random(), MemorySink::holding("sk_live_0"));
    let sink = SinkSet::new([Arc::new(Broken { fails: true }) as Arc<dyn Sink>, Arc::new(held.clone())]);
    let failed = |result: Result<(), SinkError>| assert!(result.unwrap_err().to_string().contains("out of order"));
    failed(sink.put(&mark, &secret("sk_live_1").unwrap()).await);
    assert_eq!(held.pending(&mark).await.unwrap(), secret("sk_live_1"));
    failed(sink.promote(&mark).await);
    assert_eq!(held.current().await.unwrap(), secret("sk_live_1"));
    failed(sink.withdraw(&mark).await);
    assert_eq!(held.current().await.unwrap(), secret("sk_live_0"));
    failed(sink.put(&mark, &secret("sk_live_2").unwrap()).await);
    failed(sink.promote(&mark).await);
    failed(sink.forget_previous(&mark).await);
    assert_eq!(held.previous(&mark).await.unwrap(), None);
}

#[tokio::test]
#[cfg(unix)]
async fn a_program_is_done_when_it_has_ended_whatever_it_leaves_behind() {
    // The process that stays behind holds the program's output open.
    let run = |script: &str| CommandSink::new("sh", ["-c", script]).timeout(Duration::from_secs(3));
    let sink = run("sleep 5 & echo sk_live_1");
    assert_eq!(sink.read(&Slot::Current).await.unwrap(), secret("sk_live_1"));
    let sink = run("cat > /dev/null; sleep 5 &");
    sink.write(&Slot::Current, &"sk_live_1".into()).await.unwrap();
    // All that the program has printed counts, however long that is.
    let sink = run("head -c 60000 /dev/zero | tr '\\0' x; sleep 5 &");
    assert_eq!(sink.read(&Slot::Current).await.unwrap(), Some("x".repeat(60_000).into()));
    let sink = run("head -c 70000 /dev/zero; sleep 5 &");
    assert!(sink.read(&Slot::Current).await.unwrap_err().to_string().contains("prints too much"));
}

#[test]
#[cfg(unix)]
fn a_program_is_recorded_by_its_absolute_path_on_this_host() {
    let name = |program: &str| CommandSink::new(program, ["x"]).name();
    let host = Host::this();
    let sh = name("sh");
    assert!(sh.starts_with(&format!("command@{host}:[\"/")) && sh.ends_with("/sh\",\"x\"]"), "{sh}");
    let here = std::env::current_dir().unwrap();
    assert_eq!(name("./put.sh"), format!("command@{host}:[\"{}/put.sh\",\"x\"]", here.display()));
    // The name opens the same sink.
    assert_eq!(open_sinks(&[&sh]).unwrap().name(), sh);
}

#[test]
fn a_destination_of_another_host_is_not_opened() {
    for name in ["file@another:/run/key", "dotenv@another:/run/.env#KEY", "command@another:[\"/bin/sh\"]"] {
        let refused = open_sinks(&[name]).unwrap_err().to_string();
        assert!(refused.contains("belongs to host another") && refused.contains("API_KEYRING_HOST"), "{refused}");
    }
}

#[tokio::test]
async fn a_placeholder_is_text_like_any_other() {
    // An empty slot is remembered by this word.
    check_sink(&MemorySink::holding("none"), secret("none")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, "KEY=none\n").unwrap();
    let sink = FileSink::dotenv(&path, "KEY").unwrap();
    let mark = Mark::random();
    sink.put(&mark, &"sk_live_1".into()).await.unwrap();
    sink.promote(&mark).await.unwrap();
    sink.withdraw(&mark).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "KEY=none\n");
}

#[tokio::test]
#[cfg(unix)]
async fn nobody_who_can_read_the_folder_can_hold_the_lock() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().join("ci.key");
    fs::write(&path, "sk_live_0").unwrap();
    let sink = FileSink::new(&path).unwrap();
    // Whatever others can open, they can lock.
    let _folder = fs::File::open(folder.path()).inspect(|folder| folder.lock().unwrap()).unwrap();
    let _file = fs::File::open(&path).inspect(|file| file.lock().unwrap()).unwrap();
    sink.put(&Mark::random(), &"sk_live_1".into()).await.unwrap();
    let held = sink.lock().await.unwrap();
    let lock = folder.path().join(".ci.key.api-keyring-lock");
    assert_eq!(lock.metadata().unwrap().mode() & 0o777, 0o600);
    drop(held);
    assert!(!lock.exists());
    // A lock file that others can use is not trusted, and one that a killed process left is.
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let refused = sink.check().await.unwrap_err();
    assert!(format!("{refused:?}").contains("check who put it there"), "{refused:?}");
    fs::set_permissions(&lock, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    sink.check().await.unwrap();
    assert!(!lock.exists());
    // The error names a lock file that cannot be opened, since it is hidden.
    std::os::unix::fs::symlink("elsewhere", &lock).unwrap();
    let refused = sink.check().await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains(lock.to_str().unwrap()) && why.contains("Remove it"), "{why}");
}

#[tokio::test]
#[cfg(unix)]
async fn nothing_is_written_that_is_there_already() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ci.key");
    fs::write(&path, "sk_live_0").unwrap();
    let (sink, mark) = (FileSink::new(&path).unwrap(), Mark::random());
    sink.put(&mark, &"sk_live_1".into()).await.unwrap();
    sink.promote(&mark).await.unwrap();
    fs::write(&path, "sk_live_0").unwrap();
    let inode = path.metadata().unwrap().ino();
    sink.withdraw(&mark).await.unwrap();
    assert_eq!((path.metadata().unwrap().ino(), names(folder.path())), (inode, vec!["ci.key".to_owned()]));
    let changed = folder.path().metadata().unwrap().ctime_nsec();
    sink.withdraw(&mark).await.unwrap();
    sink.promote(&mark).await.unwrap();
    sink.forget_previous(&mark).await.unwrap();
    assert_eq!(folder.path().metadata().unwrap().ctime_nsec(), changed);
}

#[tokio::test]
async fn an_empty_file_or_variable_is_empty_again_after_a_withdrawal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("place");
    let whole = ["", "\n", "\u{feff}", "\r\n"].map(|text| (FileSink::new(&path).unwrap(), Some(text)));
    let variables = ["KEY=\n", "A=1\nKEY=\"\" # c\nB=2\n", "export KEY=''\r\n", "KEY= # put it here\n"];
    let dotenv = variables.map(|text| (FileSink::dotenv(&path, "KEY").unwrap(), Some(text)));
    // What did not exist is removed again.
    let absent = [(FileSink::new(&path).unwrap(), None), (FileSink::dotenv(&path, "KEY").unwrap(), Some("A=1\n"))];
    for (sink, text) in whole.into_iter().chain(dotenv).chain(absent) {
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let mark = Mark::random();
        sink.put(&mark, &"sk_live_1".into()).await.unwrap();
        sink.promote(&mark).await.unwrap();
        assert_eq!(sink.current().await.unwrap(), secret("sk_live_1"), "{text:?}");
        assert_eq!(sink.previous(&mark).await.unwrap(), None, "{text:?}");
        sink.withdraw(&mark).await.unwrap();
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), text, "{text:?}");
        assert_eq!(names(folder.path()), if text.is_some() { &["place"][..] } else { &[] }, "{text:?}");
    }
}

#[tokio::test]
async fn a_dotenv_file_that_did_not_exist_is_removed_again() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::dotenv(folder.path().join(".env"), "KEY").unwrap();
    let held = Store::look(&sink).await.unwrap();
    let sink = Store::expecting(&sink, &held.access.unwrap()).unwrap();
    let mark = Mark::random();
    sink.put(&mark, &"sk_live_1".into()).await.unwrap();
    sink.promote(&mark).await.unwrap();
    sink.withdraw(&mark).await.unwrap();
    assert!(names(folder.path()).is_empty());
}

/// A store that counts how many rooms are kept at the same time.
#[derive(Clone, Debug)]
struct Roomy(MemorySink, Arc<Mutex<(usize, usize)>>);

struct Kept(Arc<Mutex<(usize, usize)>>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

#[async_trait]
impl Store for Roomy {
    fn address(&self) -> String {
        Store::address(&self.0)
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn reserve(&self) -> Result<Room, SinkError> {
        let mut counts = self.1.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.0.max(counts.1);
        Ok(Box::new(Kept(Arc::clone(&self.1))))
    }

    async fn read(&self, slot: &Slot) -> Result<Option<Secret>, SinkError> {
        self.0.read(slot).await
    }

    async fn write(&self, slot: &Slot, secret: &Secret) -> Result<(), SinkError> {
        self.0.write(slot, secret).await
    }

    async fn remove(&self, slot: &Slot) -> Result<(), SinkError> {
        self.0.remove(slot).await
    }
}

#[tokio::test]
async fn the_sinks_of_a_set_keep_their_rooms_together() {
    let counts = Arc::new(Mutex::new((0, 0)));
    let sink = |_| Arc::new(Roomy(MemorySink::new(), Arc::clone(&counts))) as Arc<dyn Sink>;
    let set = SinkSet::new((0..3).map(sink));
    set.check().await.unwrap();
    assert_eq!(*counts.lock().unwrap(), (0, 3));
    let room = set.reserve().await.unwrap();
    assert_eq!(counts.lock().unwrap().0, 3);
    drop(room);
    assert_eq!(counts.lock().unwrap().0, 0);
}
