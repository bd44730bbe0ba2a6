//! The base URL of a service.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;

/// The checked base URL of a service: `https`, or `http` to this machine, without a user, a query or a fragment.
///
/// The URL may have a path. Parsing drops slashes at its end.
///
/// ```
/// use api_keyring_transport::BaseUrl;
///
/// let url: BaseUrl = "https://monad.com/api/".parse()?;
/// assert_eq!(url.as_str(), "https://monad.com/api");
/// assert!("http://127.0.0.1:4010".parse::<BaseUrl>().is_ok());
/// assert!("http://monad.com/api".parse::<BaseUrl>().is_err());
/// # Ok::<(), api_keyring_transport::InvalidBaseUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    /// The text, parsed.
    url: Url,
    plain: bool,
}

impl BaseUrl {
    /// Parses a URL like [`str::parse`], but also accepts plain `http` to other machines.
    ///
    /// **Plain `http` sends every secret unencrypted.**
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a URL, or has another scheme, a user, a query or a fragment.
    pub fn allowing_plain_http(url: &str) -> Result<Self, InvalidBaseUrl> {
        let parsed = Url::parse(url).map_err(|_| InvalidBaseUrl::NotAUrl)?;
        let plain = match parsed.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(InvalidBaseUrl::Scheme),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(InvalidBaseUrl::User);
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(InvalidBaseUrl::QueryOrFragment);
        }
        let text = parsed.as_str().trim_end_matches('/').to_owned();
        let url = Url::parse(&text).map_err(|_| InvalidBaseUrl::NotAUrl)?;
        Ok(Self { text, url, plain })
    }

    /// Returns the URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the service is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// Returns the service's port.
    pub(crate) fn port(&self) -> Option<u16> {
        self.url.port_or_known_default()
    }

    /// Returns the URL of a path of the service, which starts with a slash.
    pub(crate) fn join(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        match self.url.path() {
            "/" => url.set_path(path),
            base => url.set_path(&[base, path].concat()),
        }
        url
    }

    /// Returns whether requests travel unencrypted.
    pub fn is_plain_http(&self) -> bool {
        self.plain
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(url: &str) -> Result<Self, InvalidBaseUrl> {
        let base = Self::allowing_plain_http(url)?;
        if base.plain && !base.is_loopback() {
            return Err(InvalidBaseUrl::PlainHttp);
        }
        Ok(base)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({:?})", self.text)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a valid base URL. The error does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBaseUrl {
    /// The text is not an absolute URL.
    NotAUrl,
    /// The scheme is neither `https` nor `http`.
    Scheme,
    /// The URL is plain `http` to another machine, which would show the credential to the network.
    PlainHttp,
    /// The URL holds a user name or a password.
    User,
    /// The URL holds a query or a fragment, so no path can be appended.
    QueryOrFragment,
}

impl fmt::Display for InvalidBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "the base URL is not an absolute URL such as https://api.example.com",
            Self::Scheme => "the base URL does not start with https://",
            Self::PlainHttp => {
                "the base URL is plain http to another machine, which would send the credential unencrypted; use https"
            }
            Self::User => "the base URL holds a user name or a password; remove it and set the credential separately",
            Self::QueryOrFragment => "the base URL holds a query or a fragment; remove it",
        })
    }
}

impl std::error::Error for InvalidBaseUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_only_this_machine() {
        for accepted in [
            "https://api.example.com",
            "https://10.0.0.1/x",
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:80/api/",
            "HTTP://LOCALHOST",
            // The parser reads these as 127.0.0.1, too.
            "http://0x7f.1",
            "http://2130706433",
        ] {
            assert!(accepted.parse::<BaseUrl>().is_ok(), "{accepted}");
        }
        for plain in [
            "http://api.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://[::2]",
            "http://0.0.0.0",
            "http://10.0.0.1",
        ] {
            assert_eq!(plain.parse::<BaseUrl>(), Err(InvalidBaseUrl::PlainHttp), "{plain}");
            assert!(BaseUrl::allowing_plain_http(plain).is_ok_and(|url| url.is_plain_http()));
        }
    }

    #[test]
    fn an_invalid_base_url_is_rejected() {
        for (url, why) in [
            ("", InvalidBaseUrl::NotAUrl),
            ("api.example.com", InvalidBaseUrl::NotAUrl),
            ("https://", InvalidBaseUrl::NotAUrl),
            ("ftp://example.com", InvalidBaseUrl::Scheme),
            ("file:///etc/passwd", InvalidBaseUrl::Scheme),
            ("https://user@example.com", InvalidBaseUrl::User),
            ("https://user:canary@example.com", InvalidBaseUrl::User),
            ("http://127.0.0.1@example.com", InvalidBaseUrl::User),
            ("https://example.com?x=1", InvalidBaseUrl::QueryOrFragment),
            ("https://example.com#x", InvalidBaseUrl::QueryOrFragment),
        ] {
            assert_eq!(url.parse::<BaseUrl>(), Err(why), "{url}");
        }
    }
}
