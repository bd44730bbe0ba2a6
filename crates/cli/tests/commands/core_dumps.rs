//! No core dump holds a secret, and a process that cannot be dumped works as any other.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use crate::harness::{Emulator, Run, Unprivileged};

#[test]
#[cfg(target_os = "linux")]
fn a_process_cannot_be_dumped() {
    let program = Unprivileged::new();
    let mut process = program.command(&["emulator"]).stdout(Stdio::piped()).spawn().unwrap();
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
    let (program, emulator) = (Unprivileged::new(), Emulator::start());
    let create = ["create", "spartera", "--name", "ci", "--role", "3", "--to", "-"];
    let mut command = program.command(&create);
    let run: Run = command.envs(&emulator.variables).output().unwrap().into();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(emulator.works("spartera", run.stdout.trim_end()));
    let mut command = program.command(&create);
    let run: Run = command.envs(&emulator.variables).stdout(Stdio::null()).output().unwrap().into();
    assert!(run.code == 2 && run.stderr.contains("null device"), "{}", run.stderr);
}
