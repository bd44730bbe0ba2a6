//! Whether a request to the emulator's own paths comes from a program on this machine, and not from a web page.
//!
//! A web page that a browser shows can send requests to any port of the loopback address. A page whose name resolves to
//! that address (DNS rebinding) can also read the answers. The browser names the page's host in `Host` and its origin
//! in `Origin`, and no page can change either.

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

use crate::refusal::Refusal;

/// The names of the loopback address.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The port of an address that names none.
const HTTP_PORT: u16 = 80;

/// Refuses a request that names another host or comes from a web page of another origin. `port` is the emulator's.
pub(crate) fn check(uri: &Uri, headers: &HeaderMap, port: u16) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    // A request with two hosts means one thing to one reader and another thing to another.
    let is_own = match (hosts.next(), hosts.next()) {
        (Some(host), None) => text(host).is_some_and(|host| is_own(host, port)),
        _ => false,
    };
    // A target in the absolute form names the host as well, and counts more than the header.
    if !is_own || uri.authority().is_some_and(|target| !self::is_own(target.as_str(), port)) {
        return Err(Refusal::ForeignHost);
    }
    let is_own_origin = |origin: &HeaderValue| {
        text(origin).and_then(|origin| origin.strip_prefix("http://")).is_some_and(|host| self::is_own(host, port))
    };
    if headers.get_all(ORIGIN).iter().all(is_own_origin) { Ok(()) } else { Err(Refusal::ForeignOrigin) }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Returns whether `host`, with or without a port, is this emulator's.
fn is_own(host: &str, port: u16) -> bool {
    // The address with colons has brackets, so the last colon after them begins the port.
    let (name, named) = match host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        // A sign would be a number in Rust, but is not a port.
        Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (name, digits.parse().ok()),
        Some(_) => return false,
        None => (host, Some(HTTP_PORT)),
    };
    named == Some(port) && NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_emulators_own_address_counts() {
        for own in ["127.0.0.1:4010", "localhost:4010", "LocalHost:4010", "[::1]:4010"] {
            assert!(is_own(own, 4010), "{own}");
        }
        for foreign in [
            "",
            ":4010",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:4011",
            "127.0.0.1:+4010",
            "127.0.0.1:4010:4010",
            "127.0.0.1:69546",
            "127.0.0.1.evil.example:4010",
            "evil.example:4010",
            "localhost.evil.example:4010",
            "localhost.:4010",
            "evil.example@127.0.0.1:4010",
            "127.0.0.1:4010@evil.example",
            "127.0.0.2:4010",
            "0.0.0.0:4010",
            "2130706433:4010",
            "0x7f000001:4010",
            "::1:4010",
            "[::1]",
            "[::ffff:127.0.0.1]:4010",
            "[::1]evil:4010",
            "localhost:4010/",
            "localhost:4010 ",
            "null",
        ] {
            assert!(!is_own(foreign, 4010), "{foreign}");
        }
        for own in ["127.0.0.1", "localhost", "[::1]", "localhost:80"] {
            assert!(is_own(own, 80), "{own}");
        }
    }
}
