//! Kinds of files as destinations: each is replaced rightly, or refused before a key exists.
//!
//! Some kinds need a superuser and a mount namespace: mount points, flags, other owners, full disks. Where the machine does
//! not allow them, the test says that they did not run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use api_keyring_emulator::{Emulator, ExistingKey, Fault};
use tempfile::TempDir;

use crate::harness::{QUICK, Run, Unprivileged, in_process, program};

/// A destination in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The whole file.
    Whole,
    /// A variable of a dotenv file.
    Dotenv,
}

/// A command that puts a secret into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Create,
    Rotate,
    RotateInPlace,
    DryRun,
    Fleet,
    /// The file becomes one of this kind after the new key was issued, and before its secret is promoted.
    Resume,
    /// The file becomes one of this kind after the promotion.
    Abort,
    /// The file holds the secret of a key that looks like an orphan.
    Sweep,
}

const TASKS: [Task; 8] = [
    Task::Create,
    Task::Rotate,
    Task::RotateInPlace,
    Task::DryRun,
    Task::Fleet,
    Task::Resume,
    Task::Abort,
    Task::Sweep,
];

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A new secret takes the place of the old one, and nothing else changes.
    Replaced,
    /// The command is refused, and changes nothing.
    Refused,
}

use Expected::{Refused, Replaced};

/// A kind of file. `prepare` gets the path of a file that holds the secret.
struct Kind {
    name: &'static str,
    expected: Expected,
    prepare: fn(&Path),
}

const fn kind(name: &'static str, expected: Expected, prepare: fn(&Path)) -> Kind {
    Kind { name, expected, prepare }
}

/// The kinds that every user can make.
const KINDS: [Kind; 22] = [
    kind("private", Replaced, |_| {}),
    kind("readable by its group", Replaced, |path| set_mode(path, 0o640)),
    kind("readable by all", Replaced, |path| set_mode(path, 0o644)),
    kind("writable by its group", Replaced, |path| set_mode(path, 0o660)),
    kind("read-only for its owner", Replaced, |path| set_mode(path, 0o400)),
    kind("read-only for all, with an access-control list and an attribute", Replaced, |path| {
        set_acl(path, "system.posix_acl_access");
        xattr::set(path, "user.owner", b"the service").unwrap();
        set_mode(path, 0o444);
    }),
    kind("with an access-control list", Replaced, |path| set_acl(path, "system.posix_acl_access")),
    kind("in a folder with a default access-control list", Replaced, |path| {
        set_acl(folder(path), "system.posix_acl_default");
    }),
    kind("with an attribute", Replaced, |path| xattr::set(path, "user.owner", b"the service").unwrap()),
    kind("with a line end", Replaced, |path| append(path, "\n")),
    kind("with a line end of another system", Replaced, |path| append(path, "\r\n")),
    kind("with a byte order mark", Replaced, |path| rewrite(path, |text| format!("\u{feff}{text}"))),
    kind("beside files that look like temporary ones", Replaced, |path| {
        for end in ["new-template", "new-a1b2c3", "new-0123456789abcdef", "api-keyring-lock.bak"] {
            let name = format!(".{}.{end}", path.file_name().unwrap().display());
            fs::write(folder(path).join(name), "theirs").unwrap();
        }
    }),
    kind("with two names", Refused, |path| fs::hard_link(path, folder(path).join("other")).unwrap()),
    kind("behind a link", Refused, |path| {
        fs::rename(path, folder(path).join("target")).unwrap();
        symlink("target", path).unwrap();
    }),
    kind("behind a link to nothing", Refused, |path| {
        fs::remove_file(path).unwrap();
        symlink("nothing", path).unwrap();
    }),
    kind("a pipe", Refused, |path| {
        fs::remove_file(path).unwrap();
        run("mkfifo", &[path]);
    }),
    kind("a folder", Refused, |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    kind("a socket", Refused, |path| {
        fs::remove_file(path).unwrap();
        drop(UnixListener::bind(path).unwrap());
    }),
    kind("not UTF-8", Refused, |path| fs::write(path, b"sk_live_\xff\n").unwrap()),
    kind("endless", Refused, |path| fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap()),
    kind("with a name so long that its slots have none", Refused, |path| {
        fs::remove_file(path).unwrap();
        symlink("x".repeat(250), path).unwrap();
    }),
];

/// What a file of its own may hold apart from the secret. A dotenv file may hold any of these.
const CONTENTS: [Kind; 9] = [
    kind("a comment", Refused, |path| rewrite(path, |text| format!("# the key\n{text}"))),
    kind("a setting", Refused, |path| rewrite(path, |text| format!("KEY={text}"))),
    kind("other settings before the secret", Refused, |path| rewrite(path, |text| format!("A=1\nB=2\n{text}"))),
    kind("a blank behind the secret", Refused, |path| append(path, " ")),
    kind("a blank before the secret", Refused, |path| rewrite(path, |text| format!(" {text}"))),
    kind("a tab and a line end", Refused, |path| append(path, "\t\n")),
    kind("two secrets", Refused, |path| rewrite(path, |text| format!("{text}\n{text}"))),
    kind("an invisible character", Refused, |path| append(path, "\u{200b}")),
    kind("a zero byte", Refused, |path| append(path, "\0")),
];

/// The kinds that only a superuser with a mount namespace can make.
const PRIVILEGED_KINDS: [Kind; 16] = [
    kind("of another user and group", Replaced, |path| chown(path, Some(1234), Some(4321)).unwrap()),
    kind("of another user, readable by its group", Replaced, |path| {
        chown(path, Some(1234), Some(4321)).unwrap();
        set_mode(path, 0o640);
    }),
    kind("with an attribute for superusers", Replaced, |path| xattr::set(path, "trusted.owner", b"x").unwrap()),
    kind("with flags", Replaced, |path| run("chattr", &["+dAS".as_ref(), path])),
    kind("in a folder whose flags a new file gets", Replaced, |path| {
        run("chattr", &["+dA".as_ref(), folder(path)]);
    }),
    kind("in a sticky folder", Replaced, |path| set_mode(folder(path), 0o1777)),
    kind("in a mounted folder", Replaced, |path| run("mount", &["--bind".as_ref(), folder(path), folder(path)])),
    kind("a mount point", Refused, |path| {
        let source = folder(path).join("source");
        fs::copy(path, &source).unwrap();
        run("mount", &["--bind".as_ref(), source.as_path(), path]);
    }),
    kind("immutable", Refused, |path| run("chattr", &["+i".as_ref(), path])),
    kind("append-only", Refused, |path| run("chattr", &["+a".as_ref(), path])),
    kind("in an immutable folder", Refused, |path| run("chattr", &["+i".as_ref(), folder(path)])),
    kind("in an append-only folder", Refused, |path| run("chattr", &["+a".as_ref(), folder(path)])),
    kind("on a read-only file system", Refused, |path| {
        run("mount", &["--bind".as_ref(), folder(path), folder(path)]);
        run("mount", &["-o".as_ref(), "remount,bind,ro".as_ref(), folder(path)]);
    }),
    kind("on a full file system", Refused, |path| mount_small(path, "size=16k")),
    kind("on a file system with room for the new secret alone", Refused, |path| mount_small(path, "size=28k")),
    kind("on a file system with names for two more files", Refused, |path| mount_small(path, "size=1m,nr_inodes=4")),
];

fn folder(path: &Path) -> &Path {
    path.parent().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn append(path: &Path, end: &str) {
    rewrite(path, |text| format!("{text}{end}"));
}

fn rewrite(path: &Path, change: impl Fn(&str) -> String) {
    fs::write(path, change(&fs::read_to_string(path).unwrap())).unwrap();
}

fn run(program: &str, arguments: &[&Path]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Puts the file on a small file system of its own.
fn mount_small(path: &Path, options: &str) {
    let content = fs::read(path).unwrap();
    let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"].map(Path::new);
    run("mount", &[&arguments[..], &[folder(path)]].concat());
    fs::write(path, content).unwrap();
}

/// Lets user 1234 read a file, as the kernel stores an access-control list.
fn set_acl(path: &Path, name: &str) {
    let entries: [(u16, u16, u32); 5] = [(1, 6, !0), (2, 4, 1234), (4, 0, !0), (16, 4, !0), (32, 0, !0)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    xattr::set(path, name, &acl).unwrap();
}

/// What the users of a file see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    user: u32,
    group: u32,
    mode: u32,
    flags: u32,
    attributes: BTreeMap<OsString, Vec<u8>>,
    content: Vec<u8>,
}

/// Returns what users see of every file in a folder.
fn look(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), look_at(&path))).collect()
}

fn look_at(path: &Path) -> Seen {
    let metadata = path.symlink_metadata().unwrap();
    let (user, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    let is_short = metadata.is_file() && metadata.len() < 1 << 20;
    let names: Vec<_> = xattr::list(path).map(Iterator::collect).unwrap_or_default();
    let flags = match metadata.is_file() {
        #[cfg(target_os = "linux")]
        true => rustix::fs::ioctl_getflags(fs::File::open(path).unwrap()).map_or(0, |flags| flags.bits()),
        _ => 0,
    };
    let attributes =
        names.into_iter().filter_map(|name| Some((name.clone(), xattr::get(path, &name).ok()??))).collect();
    Seen { user, group, mode, flags, attributes, content: if is_short { fs::read(path).unwrap() } else { Vec::new() } }
}

/// A key, and a file with its secret. Dropping this undoes what would keep the folder from being removed.
struct Cell<'a> {
    emulator: &'a Emulator,
    /// Who runs the program, if not this process's user.
    user: Option<&'a Unprivileged>,
    folder: TempDir,
    old: ExistingKey,
    secret: String,
    place: Place,
    task: Task,
}

impl<'a> Cell<'a> {
    fn new(emulator: &'a Emulator, user: Option<&'a Unprivileged>, place: Place, task: Task) -> Self {
        let seeded = emulator.monad().add_keys(1).remove(0);
        let old = emulator.keys().into_iter().find(|key| key.id == seeded.id).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("place")).unwrap();
        let cell = Self { emulator, user, folder, old, secret: seeded.secret.clone(), place, task };
        let text = match place {
            Place::Whole => cell.secret.clone(),
            Place::Dotenv => format!("# for the service\nexport KEY='{}' # rotated\nDEBUG=1\n", cell.secret),
        };
        fs::write(cell.path(), text).unwrap();
        set_mode(&cell.path(), 0o600);
        cell.give_to_user();
        cell
    }

    /// Makes the files as if the program's user had made them.
    fn give_to_user(&self) {
        let Some(user) = self.user.and_then(Unprivileged::user) else { return };
        let files = fs::read_dir(folder(&self.path())).unwrap().map(|entry| entry.unwrap().path());
        for path in [self.folder.path().to_owned(), folder(&self.path()).to_owned()].into_iter().chain(files) {
            lchown(&path, Some(user), Some(user)).unwrap();
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(format!("place/{}.key", self.name()))
    }

    fn name(&self) -> &str {
        self.old.name.as_deref().unwrap()
    }

    /// Returns the file at this path as users write it.
    fn destination(&self, path: &Path) -> String {
        match self.place {
            Place::Whole => format!("file:{}", path.display()),
            Place::Dotenv => format!("dotenv:{}#KEY", path.display()),
        }
    }

    fn run(&self) -> Run {
        let path = match self.task {
            Task::Fleet => self.path().with_file_name("{name}.key"),
            _ => self.path(),
        };
        let to = self.destination(&path);
        let rotation = (self.task == Task::Abort).then(|| self.rotation()).flatten();
        let key = format!("monad/{}", self.old.id);
        let role = ["--role", "role-reader"];
        let arguments = match self.task {
            Task::Create => {
                let create = ["create", "monad", "--name", "new", "--expires-in", "90d", "--settle", "0s", "--force"];
                [&create[..], &role, &["--to", &to]].concat()
            }
            Task::Rotate => [&["rotate", &key, "--to", &to, "--leaked"][..], &role, &QUICK].concat(),
            Task::RotateInPlace => [&["rotate", &key, "--to", &to, "--in-place"][..], &QUICK].concat(),
            Task::DryRun => [&["rotate", &key, "--to", &to, "--leaked", "--dry-run"][..], &role, &QUICK].concat(),
            Task::Fleet => {
                [&["rotate-fleet", "monad", "--named", self.name(), "--to", &to, "--leaked"][..], &role, &QUICK]
                    .concat()
            }
            Task::Resume => vec!["resume"],
            Task::Abort => vec!["abort", rotation.as_deref().unwrap(), "--yes"],
            Task::Sweep => vec!["sweep", "spartera", "--retire", "--even-unknown", "--in", &to, "--yes"],
        };
        self.command(&arguments)
    }

    fn command(&self, arguments: &[&str]) -> Run {
        let mut command = self.user.map_or_else(program, |user| user.command(&[]));
        command.envs(self.emulator.environment()).env("API_KEYRING_JOURNAL", self.folder.path().join("journal"));
        command.args(arguments).output().unwrap().into()
    }

    /// Returns the id of the unfinished rotation, if there is one.
    fn rotation(&self) -> Option<String> {
        let status = self.command(&["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        Some(status[0]["id"].as_str()?.to_owned())
    }

    /// Takes the steps before the task, while the file is an ordinary one.
    fn begin(&mut self) {
        let (to, key) = (self.destination(&self.path()), format!("monad/{}", self.old.id));
        let rotate = [&["rotate", &key, "--to", &to, "--role", "role-reader"][..], &QUICK].concat();
        match self.task {
            Task::Resume => {
                // The vendor cannot be reached once the new secret is to be tried.
                self.emulator.inject("list:status=503:1000@3".parse::<Fault>().unwrap());
                let run = self.command(&[&rotate[..], &["--leaked"]].concat());
                assert!(run.code == 1 && run.stderr.contains(": delivered"), "{run:?}");
                self.emulator.clear_faults();
            }
            Task::Abort => assert_eq!(self.command(&rotate).code, 0),
            Task::Sweep => {
                let text = fs::read_to_string(self.path()).unwrap();
                let new = self.folder.path().join("new");
                let name = ["--exact-name", "--name", "ci ~0123456789abcdef"];
                let to = format!("file:{}", new.display());
                let run = self.command(&[&["create", "spartera", "--role", "3", "--to", &to][..], &name].concat());
                assert_eq!(run.code, 0, "{run:?}");
                let secret = fs::read_to_string(&new).unwrap();
                fs::write(self.path(), text.replace(&self.secret, &secret)).unwrap();
                self.secret = secret;
            }
            _ => {}
        }
    }

    /// Returns the secret that the file holds.
    fn held(&self) -> Option<String> {
        let text = fs::read_to_string(self.path()).ok()?;
        match self.place {
            Place::Whole => Some(text.trim_matches(['\u{feff}', '\r', '\n']).to_owned()),
            Place::Dotenv => Some(text.split_once('\'')?.1.split_once('\'')?.0.to_owned()),
        }
    }

    /// Makes the file what it was.
    fn restore(&self, seen: &Seen) {
        self.undo();
        let path = self.path();
        for name in ["other", "target"] {
            drop(fs::remove_file(folder(&path).join(name)));
        }
        drop(fs::remove_dir(&path));
        drop(fs::remove_file(&path));
        fs::write(&path, &seen.content).unwrap();
        set_mode(&path, seen.mode & 0o7777);
        self.give_to_user();
    }

    /// Continues a rotation whose file is of this kind by now, and says what is wrong with the result.
    fn judge_continued(&mut self, kind: &Kind) -> Result<(), String> {
        self.begin();
        let path = self.path();
        let ordinary = look_at(&path);
        (kind.prepare)(&path);
        self.give_to_user();
        let inode = path.symlink_metadata().unwrap().ino();
        let seen = look_at(&path);
        let run = self.run();
        let expect = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(format!("{what}: {run:?}")) };
        if self.task == Task::Sweep {
            expect(self.works_at("SPARTERA_API_KEY", &self.secret), "it deleted a key that is in use")?;
            expect(kind.expected == Refused || run.code == 0, "it failed")?;
            return expect(look_at(&path) == seen, "it changed the file");
        }
        let now = look_at(&path);
        if run.code != 0 {
            let is_unchanged = path.symlink_metadata().is_ok_and(|now| now.ino() == inode) && now == seen;
            expect(is_unchanged, "it failed and changed the file")?;
            self.restore(&ordinary);
            let again = self.run();
            expect(again.code == 0, &format!("it cannot be continued: {again:?}, after"))?;
        } else {
            let access = |seen: &Seen| Seen { content: Vec::new(), ..seen.clone() };
            expect(access(&now) == access(&seen), "it changed who may use the file")?;
        }
        let held = self.held().unwrap_or_default();
        let is_old = held == self.secret;
        expect(self.works(&held) && is_old == (self.task == Task::Abort), "the file does not hold the right secret")?;
        let is_ours = |key: &ExistingKey| key.name.as_deref().is_some_and(|name| name.starts_with(self.name()));
        let keys = self.emulator.keys();
        let living: Vec<_> = keys.iter().filter(|key| is_ours(key) && key.live_secrets > 0).collect();
        expect(living.len() == 1, &format!("{living:?} are alive"))
    }

    fn keys(&self) -> Vec<(String, usize)> {
        self.emulator.keys().into_iter().map(|key| (key.id, key.live_secrets)).collect()
    }

    /// Runs the command, and says what is wrong with its result.
    fn judge(&mut self, kind: &Kind) -> Result<(), String> {
        if matches!(self.task, Task::Resume | Task::Abort | Task::Sweep) {
            return self.judge_continued(kind);
        }
        let place = folder(&self.path()).to_owned();
        (kind.prepare)(&self.path());
        self.give_to_user();
        let (keys, before) = (self.keys(), look(&place));
        let inode = self.path().symlink_metadata().unwrap().ino();
        let run = self.run();
        let after = look(&place);
        let expect = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(format!("{what}: {run:?}")) };
        if self.task == Task::DryRun || kind.expected == Refused {
            expect((run.code == 0) == (kind.expected == Replaced), "its exit code is wrong")?;
            expect(self.keys() == keys, "it changed a key")?;
            let is_same = self.path().symlink_metadata().unwrap().ino() == inode;
            return expect(after == before && is_same, "it changed a file");
        }
        expect(run.code == 0, "it failed")?;
        let path = self.path();
        let (old, new) = (&before[&path], &after[&path]);
        let mut others = after.clone();
        others.insert(path.clone(), old.clone());
        expect(others == before, "it changed another file, or left one behind")?;
        let text = |seen: &Seen| String::from_utf8(seen.content.clone()).unwrap();
        let (start, end) = text(old).split_once(&self.secret).map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let secret = text(new).strip_prefix(&start).and_then(|rest| rest.strip_suffix(&end)).map(str::to_owned);
        let Some(secret) = secret else { return expect(false, "it changed more than the secret") };
        expect(
            Seen { content: Vec::new(), ..new.clone() } == Seen { content: Vec::new(), ..old.clone() },
            "it changed who may use the file",
        )?;
        let living = self.keys().into_iter().filter(|(_, live_secrets)| *live_secrets > 0).count();
        let lived = keys.iter().filter(|(_, live_secrets)| *live_secrets > 0).count();
        expect(living == lived + usize::from(self.task == Task::Create), "a key is left behind, or lost")?;
        expect(secret != self.secret && self.works(&secret), "the new secret does not work")
    }

    fn works(&self, secret: &str) -> bool {
        self.works_at("MONAD_API_KEY", secret)
    }

    fn works_at(&self, variable: &str, secret: &str) -> bool {
        let provider = variable.split_once('_').unwrap().0.to_lowercase();
        let mut command = program();
        command.envs(self.emulator.environment()).env(variable, secret);
        command.args(["list", &provider]).output().unwrap().status.success()
    }

    /// Unmounts and unmarks what a kind has mounted and marked.
    fn undo(&self) {
        let path = self.path();
        // Whatever was not mounted or marked makes these fail.
        for (program, arguments) in [
            ("chattr", vec!["-i".as_ref(), "-a".as_ref(), folder(&path)]),
            ("chattr", vec!["-i".as_ref(), "-a".as_ref(), path.as_path()]),
            ("umount", vec![path.as_path()]),
            ("umount", vec![folder(&path)]),
        ] {
            drop(Command::new(program).args(arguments).output());
        }
    }
}

impl Drop for Cell<'_> {
    fn drop(&mut self) {
        self.undo();
    }
}

/// Tries every task with every kind, or every n-th pair of them, and reports how many cells that were.
fn try_all(what: &str, kinds: &[Kind], places: &[Place], user: Option<&Unprivileged>) {
    let stride = std::env::var("FILE_STRIDE").map_or(5, |stride| stride.parse::<usize>().expect("a number"));
    let emulator = in_process(Emulator::builder().seed(11));
    let (mut number, mut cells, mut violations) = (0, 0, Vec::new());
    for kind in kinds {
        for place in places {
            for task in TASKS {
                // A new key goes to a file of its own.
                if task == Task::Create && *place == Place::Dotenv {
                    continue;
                }
                number += 1;
                if number % stride != 0 {
                    continue;
                }
                cells += 1;
                if let Err(violation) = Cell::new(&emulator, user, *place, task).judge(kind) {
                    violations.push(format!("{}, {place:?}, {task:?}: {violation}", kind.name));
                }
            }
        }
    }
    println!("{what}: {cells} cells, {} violations", violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_kind_of_file_by_every_command() {
    try_all("kinds of files", &KINDS, &[Place::Whole, Place::Dotenv], None);
}

#[test]
fn every_kind_of_file_by_every_command_of_an_ordinary_user() {
    let user = Unprivileged::new();
    match user.user() {
        Some(_) => try_all("kinds of files for an ordinary user", &KINDS, &[Place::Whole, Place::Dotenv], Some(&user)),
        None => println!("kinds of files for an ordinary user: not run again, because no superuser runs the tests"),
    }
}

#[test]
fn every_content_by_every_command() {
    try_all("contents of files", &CONTENTS, &[Place::Whole], None);
}

/// Runs an ignored test in a mount namespace of its own, if this user may make one.
fn run_in_mount_namespace(what: &str, test: &str) {
    let probe = Command::new("unshare").args(["--mount", "true"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("{what}: not run, because this user may not unshare mounts");
        return;
    }
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap()).args([test, "--exact", "--ignored", "--nocapture"]);
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    print!(
        "{}",
        printed.lines().filter(|line| line.contains("cells")).map(|line| format!("{line}\n")).collect::<String>()
    );
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_kind_of_file_that_a_superuser_can_make() {
    run_in_mount_namespace("kinds of files for superusers", "files::in_a_mount_namespace");
}

#[test]
#[ignore = "runs in a mount namespace, which `every_kind_of_file_that_a_superuser_can_make` makes"]
fn in_a_mount_namespace() {
    try_all("kinds of files for superusers", &PRIVILEGED_KINDS, &[Place::Whole, Place::Dotenv], None);
}

#[test]
fn several_destinations_may_share_a_small_disk() {
    run_in_mount_namespace("small disks", "files::on_one_small_disk");
}

/// Whatever fits on the disk, the users of every destination keep a secret that works.
#[test]
#[ignore = "runs in a mount namespace, which `several_destinations_may_share_a_small_disk` makes"]
fn on_one_small_disk() {
    let emulator = in_process(Emulator::builder().seed(5));
    let (mut cells, mut done, mut violations) = (0, 0, Vec::new());
    for kib in (64..=448).step_by(16) {
        for is_in_place in [true, false] {
            let key = emulator.monad().add_keys(1).remove(0);
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("place");
            fs::create_dir(&place).unwrap();
            let size = format!("size={kib}k");
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", place.to_str().unwrap()].map(Path::new));
            let paths: Vec<_> = (0..12).map(|number| place.join(number.to_string())).collect();
            paths.iter().for_each(|path| fs::write(path, &key.secret).unwrap());
            let id = format!("monad/{}", key.id);
            let to: Vec<_> = paths.iter().map(|path| format!("file:{}", path.display())).collect();
            let how: &[&str] = if is_in_place { &["--in-place"] } else { &["--leaked", "--role", "role-reader"] };
            let to: Vec<_> = to.iter().flat_map(|to| ["--to", to]).collect();
            let mut command = program();
            command.envs(emulator.environment()).env("API_KEYRING_JOURNAL", folder.path().join("journal"));
            command.args(["rotate", &id]).args(&to).args(how).args(QUICK);
            let run_on_disk: Run = command.output().unwrap().into();
            cells += 1;
            done += usize::from(run_on_disk.code == 0);
            let secrets: BTreeSet<_> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
            for secret in secrets {
                let mut list = program();
                list.envs(emulator.environment()).env("MONAD_API_KEY", secret).args(["list", "monad"]);
                if !list.output().unwrap().status.success() {
                    violations.push(format!("{kib} KiB, in place: {is_in_place}: {run_on_disk:?}"));
                }
            }
            run("umount", &[&place]);
        }
    }
    println!("small disks: {cells} cells, {done} done, {} violations", violations.len());
    assert!(violations.is_empty() && done > 0 && done < cells, "{violations:#?}");
}
