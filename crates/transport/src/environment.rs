//! What the environment says about proxies and certificates. The transport honours or refuses it, and never ignores it.

mod no_proxy;

use std::ffi::OsString;
use std::fmt;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use std::path::{Path, PathBuf};

use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

use crate::BaseUrl;

/// A function that returns the value of an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The same, for a builder that keeps it.
pub(crate) type OwnedVariables = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// The variables that name a proxy for `https`, the most specific first. Each pair is one variable in two spellings.
const PROXIES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];

const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

#[cfg(any(feature = "rustls", feature = "native-tls"))]
const CERTIFICATE_FILE: &str = "SSL_CERT_FILE";

#[cfg(any(feature = "rustls", feature = "native-tls"))]
const CERTIFICATE_FOLDERS: &str = "SSL_CERT_DIR";

/// The largest file of certificates that is read, in bytes. The files of operating systems have less than 1 MiB.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
const MAX_CERTIFICATE_BYTES: u64 = 16 * 1024 * 1024;

/// Why an environment variable cannot be honoured. It does not repeat the value, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEnvironment {
    variable: &'static str,
    problem: String,
}

impl InvalidEnvironment {
    fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }

    /// Returns the name of the variable.
    pub fn variable(&self) -> &str {
        self.variable
    }
}

impl fmt::Display for InvalidEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} {}", self.variable, self.problem)
    }
}

impl std::error::Error for InvalidEnvironment {}

/// Configures the client as the environment says, for requests to this URL.
///
/// The client reaches plain `http` and this machine without a proxy.
pub(crate) fn configure(
    builder: ClientBuilder,
    url: &BaseUrl,
    variables: Variables<'_>,
) -> Result<ClientBuilder, InvalidEnvironment> {
    let builder = builder.no_proxy();
    if url.is_plain_http() {
        // Plain `http` needs no certificates of the system, which may be missing or unusable.
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        let builder = builder.tls_certs_only([]);
        return Ok(builder);
    }
    let builder = trusting(builder, variables)?;
    match proxy(url, variables)? {
        Some(proxy) if !url.is_loopback() => Ok(builder.proxy(proxy)),
        _ => Ok(builder),
    }
}

/// Returns the proxy for `https`, without the hosts that need none.
fn proxy(url: &BaseUrl, variables: Variables<'_>) -> Result<Option<Proxy>, InvalidEnvironment> {
    for spellings in PROXIES {
        if let Some((variable, value)) = either(spellings, variables)? {
            let exceptions = either(NO_PROXY, variables)?.map(|(variable, list)| {
                no_proxy::hosts(&list, url.port()).map_err(|problem| InvalidEnvironment::new(variable, problem))
            });
            let exceptions = exceptions.transpose()?.and_then(|hosts| NoProxy::from_string(&hosts));
            let proxy = Proxy::https(proxy_url(variable, &value)?);
            let proxy = proxy.map_err(|_| InvalidEnvironment::new(variable, NOT_A_PROXY))?;
            return Ok(Some(proxy.no_proxy(exceptions)));
        }
    }
    Ok(None)
}

/// Returns the value of a variable that has two spellings, and the spelling that is set.
fn either(
    spellings: [&'static str; 2],
    variables: Variables<'_>,
) -> Result<Option<(&'static str, String)>, InvalidEnvironment> {
    let [upper, lower] = spellings;
    let value = |variable: &'static str| {
        let value = variables(variable).filter(|value| !value.is_empty());
        let value =
            value.map(|value| value.into_string().map_err(|_| InvalidEnvironment::new(variable, "is not UTF-8")));
        value.transpose()
    };
    match (value(upper)?, value(lower)?) {
        (Some(one), Some(other)) if one != other => {
            Err(InvalidEnvironment::new(upper, format!("has another value than {lower}: unset one of them")))
        }
        (Some(value), _) => Ok(Some((upper, value))),
        (None, Some(value)) => Ok(Some((lower, value))),
        (None, None) => Ok(None),
    }
}

const NOT_A_PROXY: &str = "is not the URL of a proxy, such as http://proxy.example.com:3128";

/// Returns the URL of a proxy. Without a scheme it is `http`, as in other programs.
fn proxy_url(variable: &'static str, value: &str) -> Result<Url, InvalidEnvironment> {
    let refuse = |problem: &str| InvalidEnvironment::new(variable, problem);
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&with_scheme).map_err(|_| refuse(NOT_A_PROXY))?;
    match url.scheme() {
        "http" | "https" => {}
        scheme if scheme.starts_with("socks") => {
            return Err(refuse(
                "names a SOCKS proxy, which is not supported. Name a proxy that begins with http:// or https://, or \
                 unset the variable",
            ));
        }
        _ => {
            return Err(refuse(
                "names a proxy that begins with neither http:// nor https://. Name another one, or unset the variable",
            ));
        }
    }
    match url.has_host() && matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none() {
        true => Ok(url),
        false => Err(refuse(NOT_A_PROXY)),
    }
}

/// Makes the client trust the certificates that the environment names, and no others.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn trusting(builder: ClientBuilder, variables: Variables<'_>) -> Result<ClientBuilder, InvalidEnvironment> {
    let set = |variable| variables(variable).filter(|value| !value.is_empty());
    let (file, folders) = (set(CERTIFICATE_FILE), set(CERTIFICATE_FOLDERS));
    if file.is_none() && folders.is_none() {
        return Ok(builder);
    }
    let mut found = Vec::new();
    if let Some(file) = file.map(PathBuf::from) {
        match certificates_in(CERTIFICATE_FILE, &file)? {
            none if none.is_empty() => return Err(unusable(CERTIFICATE_FILE, &file, "it holds no certificate")),
            some => found.push((CERTIFICATE_FILE, file, some)),
        }
    }
    for folder in folders.iter().flat_map(std::env::split_paths) {
        let fails = |why: std::io::Error| unusable(CERTIFICATE_FOLDERS, &folder, why);
        let mut is_empty = true;
        for entry in std::fs::read_dir(&folder).map_err(fails)? {
            let path = entry.map_err(fails)?.path();
            // The folder may hold other things, and links that lead nowhere.
            if path.is_file() {
                let certificates = certificates_in(CERTIFICATE_FOLDERS, &path)?;
                is_empty &= certificates.is_empty();
                found.push((CERTIFICATE_FOLDERS, path, certificates));
            }
        }
        if is_empty {
            return Err(unusable(CERTIFICATE_FOLDERS, &folder, "no file in it holds a certificate"));
        }
    }
    let all: Vec<_> = found.iter().flat_map(|(.., certificates)| certificates).cloned().collect();
    if !are_valid(&all)
        && let Some((variable, path, _)) = found.iter().find(|(.., certificates)| !are_valid(certificates))
    {
        return Err(unusable(variable, path, UNREADABLE));
    }
    Ok(builder.tls_certs_only(all))
}

/// Without TLS there are no certificates.
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn trusting(builder: ClientBuilder, _: Variables<'_>) -> Result<ClientBuilder, InvalidEnvironment> {
    Ok(builder)
}

/// Returns the certificates in a file. It may hold other things as well.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn certificates_in(variable: &'static str, path: &Path) -> Result<Vec<reqwest::Certificate>, InvalidEnvironment> {
    let metadata = std::fs::metadata(path).map_err(|why| unusable(variable, path, why))?;
    if !metadata.is_file() {
        return Err(unusable(variable, path, "it is not a regular file"));
    }
    if metadata.len() > MAX_CERTIFICATE_BYTES {
        return Err(unusable(variable, path, "it is too large for a file of certificates"));
    }
    let content = std::fs::read(path).map_err(|why| unusable(variable, path, why))?;
    match reqwest::Certificate::from_pem_bundle(&content) {
        // A certificate in another form, such as OpenSSL's own, is left out without a word.
        Ok(found) if found.len() == declared_certificates(&content) => Ok(found),
        _ => Err(unusable(variable, path, UNREADABLE)),
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
const UNREADABLE: &str = "a certificate in it cannot be read";

/// Counts the certificates of any form that a file in PEM declares.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn declared_certificates(content: &[u8]) -> usize {
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let labels = lines.filter_map(|line| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"));
    labels.filter(|label| label.ends_with(b"CERTIFICATE") || label.starts_with(b"PKCS")).count()
}

/// Returns whether a client takes the certificates. Nothing else parses them before a client is built.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn are_valid(certificates: &[reqwest::Certificate]) -> bool {
    reqwest::Client::builder().no_proxy().tls_certs_only(certificates.to_vec()).build().is_ok()
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn unusable(variable: &'static str, path: &Path, why: impl fmt::Display) -> InvalidEnvironment {
    InvalidEnvironment::new(variable, format!("names {}, which cannot be used: {why}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(variables: &[(&str, &str)]) -> Option<String> {
        let lookup =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
        let url: BaseUrl = "https://api.example.com".parse().unwrap();
        configure(reqwest::Client::builder(), &url, &lookup).err().map(|error| error.to_string())
    }

    #[test]
    fn a_proxy_is_honoured_or_refused() {
        for fine in
            ["http://proxy:3128", "https://proxy", "proxy:3128", "http://user:canary@proxy:1/", "http://[::1]:1"]
        {
            assert_eq!(refusal(&[("HTTPS_PROXY", fine)]), None, "{fine}");
        }
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            for (value, why) in [
                ("socks5://user:canary@proxy:1080", "SOCKS"),
                ("socks5h://canary", "SOCKS"),
                ("socks4://canary", "SOCKS"),
                ("ftp://canary", "neither"),
                ("http://", "is not the URL"),
                ("http://canary:port", "is not the URL"),
                ("http://proxy/canary", "is not the URL"),
                ("http://proxy?canary", "is not the URL"),
                (" ", "is not the URL"),
            ] {
                let refusal = refusal(&[(variable, value)]).unwrap_or_default();
                assert!(refusal.contains(variable) && refusal.contains(why), "{value}: {refusal}");
                assert!(!refusal.contains("canary"), "{refusal}");
            }
        }
        let refusal_of_two = refusal(&[("HTTPS_PROXY", "http://canary"), ("https_proxy", "http://other")]).unwrap();
        assert!(refusal_of_two.contains("another value than https_proxy"), "{refusal_of_two}");
        assert_eq!(refusal(&[("HTTPS_PROXY", "http://one"), ("https_proxy", "http://one")]), None);
        // Only plain http goes through this proxy, and plain http goes through none here.
        assert_eq!(refusal(&[("HTTP_PROXY", "socks5://proxy")]), None);
        assert_eq!(refusal(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://proxy")]), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_value_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;

        let url: BaseUrl = "https://api.example.com".parse().unwrap();
        let lookup = |name: &str| (name == "https_proxy").then(|| OsString::from_vec(vec![b'x', 0xff]));
        let refusal = configure(reqwest::Client::builder(), &url, &lookup).unwrap_err();
        assert_eq!(refusal.variable(), "https_proxy");
    }

    #[test]
    fn this_machine_is_reached_whatever_the_environment_says() {
        let lookup =
            |name: &str| (name == "HTTPS_PROXY" || name == "SSL_CERT_FILE").then(|| OsString::from("/nonsense"));
        let url: BaseUrl = "http://127.0.0.1:1".parse().unwrap();
        assert!(configure(reqwest::Client::builder(), &url, &lookup).is_ok());
    }
}
