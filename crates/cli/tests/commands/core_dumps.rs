//! No core dump holds a secret, and a process that cannot be dumped works as any other.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Emulator, Run, program};

/// A user who is not root, in case root runs the tests.
const NOBODY: u32 = 65534;

/// The program where every user can run it.
struct Program {
    folder: tempfile::TempDir,
    is_root: bool,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let is_root = folder.path().metadata().unwrap().uid() == 0;
        let copied = Self { folder, is_root };
        // A process of its own copies it: a copy that this process has open for writing cannot run.
        assert!(Command::new("cp").arg(program().get_program()).arg(copied.path()).status().unwrap().success());
        copied
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api-keyring")
    }

    /// Returns the program as a user who is not root runs it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path());
        command.env_clear().stdin(Stdio::null()).args(arguments);
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_cannot_be_dumped() {
    let copied = Program::new();
    let mut process = copied.command(&["emulator"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let of_process = PathBuf::from(format!("/proc/{}", process.id()));
    let limits = fs::read_to_string(of_process.join("limits")).unwrap();
    let owner = of_process.join("limits").metadata().unwrap().uid();
    process.kill().unwrap();
    process.wait().unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");
    // The kernel gives the files about a process that cannot be dumped to root.
    assert_eq!(owner, 0);
}

#[test]
fn a_process_that_cannot_be_dumped_still_knows_its_standard_output() {
    let (copied, emulator) = (Program::new(), Emulator::start());
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--to", "-"];
    let mut command = copied.command(&create);
    let run: Run = command.envs(&emulator.variables).output().unwrap().into();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(emulator.works("spartera", run.stdout.trim_end()));
    let mut command = copied.command(&create);
    let run: Run = command.envs(&emulator.variables).stdout(Stdio::null()).output().unwrap().into();
    assert!(run.code == 2 && run.stderr.contains("null device"), "{}", run.stderr);
}
