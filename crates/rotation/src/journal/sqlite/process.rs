//! Which process holds a lease, and whether it still exists.

use serde::{Deserialize, Serialize};

/// Identifies a process, also after another one has got its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// The id of this boot of the machine. No other machine has it.
    boot: String,
    /// The namespaces that the number and the start belong to: each container counts its own processes.
    namespace: String,
    /// Its number.
    pid: u32,
    /// When it started, in clock ticks since the boot.
    started: u64,
}

impl Process {
    /// Returns this process. Returns `None` if the system does not show all that identifies it.
    pub(super) fn current() -> Option<Self> {
        platform::current()
    }

    /// Returns whether this process of the same machine and namespace certainly no longer exists.
    ///
    /// A process of another machine or container may exist.
    pub(super) fn is_gone(&self) -> bool {
        let Some(ours) = Self::current() else { return false };
        if (&ours.boot, &ours.namespace) != (&self.boot, &self.namespace) {
            return false;
        }
        platform::is_missing(self.pid) || platform::started(self.pid).is_some_and(|started| started != self.started)
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::path::Path;

    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    use super::Process;

    pub(super) fn current() -> Option<Process> {
        let pid = std::process::id();
        // The folder may show another namespace, whose numbers mean other processes.
        if fs::read_link("/proc/self").ok()? != Path::new(&pid.to_string()) {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let mut namespace = fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
        // Old kernels have no such namespaces.
        if let Ok(time) = fs::read_link("/proc/self/ns/time") {
            namespace.push_str(time.to_str()?);
        }
        Some(Process { boot, namespace, pid, started: started(pid)? })
    }

    /// Returns whether no process has this number. It asks whether a signal would find one, because `/proc` may hide
    /// processes.
    pub(super) fn is_missing(pid: u32) -> bool {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    }

    /// Returns when the process with this number started. Returns `None` if that is not visible.
    pub(super) fn started(pid: u32) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name, in brackets. It may hold blanks and brackets.
        let (_, fields) = status.rsplit_once(')')?;
        fields.split_ascii_whitespace().nth(19)?.parse().ok()
    }
}

// On other systems, a process that is gone keeps others out until its lease ends.
#[cfg(not(target_os = "linux"))]
mod platform {
    use super::Process;

    pub(super) fn current() -> Option<Process> {
        None
    }

    pub(super) fn is_missing(_: u32) -> bool {
        false
    }

    pub(super) fn started(_: u32) -> Option<u64> {
        None
    }
}
