//! The host on which a program runs, for the names of sinks that belong to one host.

use std::fmt;
#[cfg(feature = "sinks")]
use std::sync::OnceLock;

use crate::Sink;

/// A machine, as the names of its sinks show it: a hash of the machine's id.
///
/// The id comes from the operating system, on Linux from `/etc/machine-id`. If there is none, the network name of the
/// machine takes its place. The environment variable `API_KEYRING_HOST` replaces the hash, for containers that share
/// the files of their predecessors but not their id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Returns the host on which this program runs. It reads the environment once, and ignores an `API_KEYRING_HOST`
    /// that [no host can have](Self::named) as its name.
    #[cfg(feature = "sinks")]
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Host> = OnceLock::new();
        THIS.get_or_init(|| {
            let named = std::env::var(VARIABLE).ok().and_then(|name| Self::named(&name));
            named.unwrap_or_else(|| Self::with_id(&machine_id()))
        })
    }

    /// Returns the host with this name: 1 to 64 letters, digits, hyphens and full stops. Returns `None` for other
    /// names.
    pub fn named(name: &str) -> Option<Self> {
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        is_name.then(|| Self(name.to_owned()))
    }

    /// Returns the host with this machine id.
    #[cfg(feature = "sinks")]
    fn with_id(id: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        // The id is confidential, so its plain hash, which others may know, is not enough.
        let hash = Sha256::new().chain_update("api-keyring host\n").chain_update(id.trim()).finalize();
        Self(hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The variable that names the host.
#[cfg(feature = "sinks")]
pub(super) const VARIABLE: &str = "API_KEYRING_HOST";

#[cfg(feature = "sinks")]
fn machine_id() -> String {
    let id = machine_uid::get().ok().filter(|id| !id.trim().is_empty());
    #[cfg(unix)]
    let id = id.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    #[cfg(not(unix))]
    let id = id.unwrap_or_default();
    id
}

/// A sink's name in parts: `SCHEME:REST` or `SCHEME@HOST:REST`.
struct Parts<'a> {
    scheme: &'a str,
    host: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let (scheme, rest) = name.split_once(':')?;
        Some(match scheme.split_once('@') {
            Some((scheme, host)) => Self { scheme, host: Some(host), rest },
            None => Self { scheme, host: None, rest },
        })
    }
}

/// Returns the name of a sink at this address, which belongs to this host.
pub(super) fn name_on(host: Option<&Host>, address: &str) -> String {
    match (host, Parts::of(address)) {
        (Some(host), Some(Parts { scheme, rest, .. })) => format!("{scheme}@{host}:{rest}"),
        _ => address.to_owned(),
    }
}

/// Returns the host in a sink's name, and the name without it.
pub(super) fn split_host(name: &str) -> (Option<&str>, String) {
    match Parts::of(name) {
        Some(Parts { scheme, host: Some(host), rest }) => (Some(host), format!("{scheme}:{rest}")),
        _ => (None, name.to_owned()),
    }
}

/// Returns whether two names are, or may be, those of one sink. Earlier versions recorded no host.
pub(super) fn is_same_sink(one: &str, other: &str) -> bool {
    let ((host, address), (other_host, other_address)) = (split_host(one), split_host(other));
    address == other_address && host.zip(other_host).is_none_or(|(host, other)| host == other)
}

/// Returns a sink's name as people write it: without the host, if it is this host.
///
/// ```
/// use api_keyring_rotation::{Host, shown_name};
///
/// assert_eq!(shown_name(&format!("file@{}:/etc/ci.key", Host::this())), "file:/etc/ci.key");
/// assert_eq!(shown_name("file@another-host:/etc/ci.key"), "file@another-host:/etc/ci.key");
/// ```
pub fn shown_name(name: &str) -> String {
    #[cfg(feature = "sinks")]
    if let (Some(host), address) = split_host(name)
        && host == Host::this().as_str()
    {
        return address;
    }
    name.to_owned()
}

/// Returns the names of the sinks in a sink as people write them.
pub(super) fn shown_names(sink: &dyn Sink) -> String {
    let names: Vec<_> = sink.names().iter().map(|name| shown_name(name)).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_host_behind_its_scheme() {
        let host = Host::named("a1");
        assert_eq!(name_on(host.as_ref(), "file:/etc/x:y@z"), "file@a1:/etc/x:y@z");
        assert_eq!(split_host("file@a1:/etc/x:y@z"), (Some("a1"), "file:/etc/x:y@z".to_owned()));
        assert_eq!(split_host("vault:x@y"), (None, "vault:x@y".to_owned()));
        assert!(is_same_sink("file:/x", "file@a1:/x") && is_same_sink("file@a1:/x", "file@a1:/x"));
        assert!(!is_same_sink("file@b2:/x", "file@a1:/x") && !is_same_sink("file@a1:/x", "file@a1:/y"));
        assert_eq!(Host::named("a b").or_else(|| Host::named("")), None);
    }
}
