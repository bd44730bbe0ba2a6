//! `emulator` tells clients what they need, and stops when it is told to.

use crate::harness::{Emulator, program};

#[test]
fn it_prints_the_variables_and_nothing_else() {
    let emulator = Emulator::start();
    let names: Vec<_> = emulator.variables.keys().map(String::as_str).collect();
    let expected = [
        "MONAD_API_KEY",
        "MONAD_BASE_URL",
        "MONAD_ORGANIZATION_ID",
        "SPARTERA_API_KEY",
        "SPARTERA_BASE_URL",
        "SPARTERA_COMPANY_ID",
    ];
    assert_eq!(names, expected);
    let port = |name: &str| emulator.variables[name].split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(port("SPARTERA_BASE_URL"), port("MONAD_BASE_URL"), "both services are on one port");
}

#[test]
#[cfg(unix)]
fn it_stops_cleanly_on_a_signal() {
    for name in ["-TERM", "-INT"] {
        let mut emulator = Emulator::start();
        crate::harness::signal(&emulator.process, name);
        assert_eq!(emulator.process.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let emulator = Emulator::start();
    let port = emulator.variables["SPARTERA_BASE_URL"].rsplit(':').next().unwrap();
    let output = program().args(["emulator", "--port", port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot start"));
}
