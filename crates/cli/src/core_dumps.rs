//! Keeps secrets out of core dumps.

use crate::output;

/// Keeps the system from writing the memory of this process to a core dump.
///
/// On Linux this also keeps other processes of the same user from reading the memory, as a debugger does. A program
/// that a destination runs writes no core dump either, but other processes can read its memory as usual.
pub(crate) fn forbid() {
    #[cfg(unix)]
    if let Err(why) = forbid_on_unix() {
        output::notice(&format!("note: if this process crashes, a core dump may hold secrets: {why}"));
    }
}

#[cfg(unix)]
fn forbid_on_unix() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A program that collects core dumps, such as systemd-coredump, ignores the limit.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    limited
}
