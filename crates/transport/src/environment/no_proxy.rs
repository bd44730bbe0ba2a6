//! The hosts that are reached without a proxy.

use std::net::IpAddr;

use reqwest::Url;

/// Why an entry of the list cannot be honoured. The text continues a sentence that begins with the variable.
const NOT_AN_ENTRY: &str = "is neither a host, such as example.com, .example.com, *.example.com or example.com:443, nor an \
                            address or a network, such as 10.0.0.0/8, nor *";

/// Returns the hosts of a list as the HTTP client reads them: names, addresses and networks with commas between them.
/// An entry with another port than that of the requests does not count.
pub(super) fn hosts(list: &str, port: Option<u16>) -> Result<String, String> {
    let entries = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    let mut hosts = Vec::new();
    for (index, entry) in entries.enumerate() {
        let refuse = || format!("has an entry, number {}, that {NOT_AN_ENTRY}", index + 1);
        if let Some(host) = read(entry, port).ok_or_else(refuse)? {
            // The client compares a URL's host as it is written, which may have a dot at its end.
            let is_name = host.contains(|c: char| c.is_alphabetic()) && !host.contains(':');
            hosts.extend(is_name.then(|| format!("{host}.")));
            hosts.push(host);
        }
    }
    Ok(hosts.join(","))
}

/// Reads an entry. Returns `Some(None)` if it has another port.
fn read(entry: &str, port: Option<u16>) -> Option<Option<String>> {
    if entry == "*" || entry.parse::<IpAddr>().is_ok() {
        return Some(Some(entry.to_owned()));
    }
    if let Some((address, bits)) = entry.split_once('/') {
        let longest = if address.parse::<IpAddr>().ok()?.is_ipv4() { 32 } else { 128 };
        let is_plain = bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
        return (is_plain && bits.parse::<u8>().ok()? <= longest).then(|| Some(entry.to_owned()));
    }
    let is_in_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '*');
    if !entry.chars().all(is_in_name) {
        return None;
    }
    let host = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let host = host.strip_prefix('.').unwrap_or(host);
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let named = url.host_str().filter(|_| !host.contains('*'))?.trim_end_matches('.').trim_matches(['[', ']']);
    let is_ours = !has_port || url.port_or_known_default() == port;
    (!named.is_empty()).then(|| is_ours.then(|| named.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_other_programs_know_is_read() {
        for (list, read) in [
            ("", ""),
            ("example.com", "example.com.,example.com"),
            (" .a.test , b.test\t c.test\n,,", "a.test.,a.test,b.test.,b.test,c.test.,c.test"),
            ("*.example.com", "example.com.,example.com"),
            ("*", "*"),
            ("EXAMPLE.com.", "example.com.,example.com"),
            ("example.com:443,other.com:8443,third.com:", "example.com.,example.com,third.com.,third.com"),
            ("10.0.0.0/8,::1,fe80::/10,192.168.1.7", "10.0.0.0/8,::1,fe80::/10,192.168.1.7"),
            ("[::1]:443,[::2],[::3]:1,10.0.0.1:443", "::1,::2,10.0.0.1"),
            ("bücher.example,my_host", "xn--bcher-kva.example.,xn--bcher-kva.example,my_host.,my_host"),
        ] {
            assert_eq!(hosts(list, Some(443)).as_deref(), Ok(read), "{list:?}");
        }
    }

    #[test]
    fn every_other_entry_is_refused() {
        for entry in [
            "ex*mple.com",
            "example.*",
            "**.example.com",
            "https://example.com",
            "example.com/path",
            "user@example.com",
            "example.com:port",
            "example.com:99999",
            "10.0.0.0/33",
            "::/129",
            "example.com/8",
            "[::1",
            "a?b",
            "a#b",
            ".",
            "*.",
            "\"example.com\"",
            "'example.com'",
            "10.0.0.1;x",
            "10.0.0.0/+8",
            "10.0.0.0/008",
            "fd99::/+16",
            "exam\u{200b}ple.com",
        ] {
            let refused = hosts(&format!("a.test,{entry}"), Some(443));
            assert!(refused.as_ref().is_err_and(|why| why.contains("number 2")), "{entry}: {refused:?}");
        }
    }
}
