//! What stands between the client and the service, and answers in its place.

use std::fmt;

use super::parse::{Result, refuse};
use super::variant::{Variant, read_variant, variant_name, written};

/// Something between the client and the service that answers in its place.
///
/// Unless [`after`](Self::after) says otherwise, it answers before the service acts: the request never arrives there.
///
/// ```
/// use api_keyring_emulator::{FaultKind, GatewayForm, Intermediary, Waf};
///
/// for (intermediary, text) in [
///     (Intermediary::gateway(404), "gateway-404"),
///     (Intermediary::gateway(502).form(GatewayForm::Envoy), "gateway-502=envoy"),
///     (Intermediary::gateway(404).form(GatewayForm::Json).after(), "gateway-404-after=json"),
///     (Intermediary::waf(Waf::Akamai), "waf=akamai"),
///     (Intermediary::captive_portal(Default::default()).after(), "captive-portal-after"),
/// ] {
///     assert_eq!(FaultKind::Intermediary(intermediary), text.parse()?);
/// }
/// # Ok::<(), api_keyring_emulator::ParseFaultError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Intermediary {
    pub(super) kind: Kind,
    acts: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Gateway(u16, GatewayForm),
    Waf(Waf),
    CaptivePortal(CaptivePortal),
}

impl Intermediary {
    /// Creates a gateway or load balancer that answers with this status and an HTML page. (`gateway-404`)
    ///
    /// A status outside 200 to 599 is sent as 500.
    pub fn gateway(status: u16) -> Self {
        Self { kind: Kind::Gateway(status, GatewayForm::default()), acts: false }
    }

    /// Creates a web application firewall that blocks the request. (`waf`)
    pub fn waf(waf: Waf) -> Self {
        Self { kind: Kind::Waf(waf), acts: false }
    }

    /// Creates the login page of a network. (`captive-portal`)
    pub fn captive_portal(portal: CaptivePortal) -> Self {
        Self { kind: Kind::CaptivePortal(portal), acts: false }
    }

    /// Sets the form of a gateway's answer. It changes nothing else. (`gateway-404=json`)
    #[must_use]
    pub fn form(mut self, form: GatewayForm) -> Self {
        if let Kind::Gateway(_, own) = &mut self.kind {
            *own = form;
        }
        self
    }

    /// Lets the service act, and then replaces its answer. (`gateway-404-after`)
    #[must_use]
    pub fn after(mut self) -> Self {
        self.acts = true;
        self
    }

    pub(super) fn lets_service_act(&self) -> bool {
        self.acts
    }

    /// Reads a fault's name and the text after its `=`. Returns `None` if the name is none of these faults.
    pub(super) fn read(name: &str, value: Option<&str>) -> Result<Option<Self>> {
        let (kind, acts) = match name.strip_suffix("-after") {
            Some(kind) => (kind, true),
            None => (name, false),
        };
        let kind = match (kind, kind.strip_prefix("gateway-")) {
            ("waf", _) => Kind::Waf(read_variant(name, value)?),
            ("captive-portal", _) => Kind::CaptivePortal(read_variant(name, value)?),
            (_, Some(status)) => match status.parse() {
                Ok(status @ 200..=599) => Kind::Gateway(status, read_variant(name, value)?),
                _ => return refuse(format!("`{status}` is not the status of a gateway: use 200 to 599")),
            },
            _ => return Ok(None),
        };
        Ok(Some(Self { kind, acts }))
    }
}

impl fmt::Display for Intermediary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = if self.acts { "-after" } else { "" };
        f.write_str(&match self.kind {
            Kind::Gateway(status, form) => written(&format!("gateway-{status}{after}"), form),
            Kind::Waf(waf) => written(&format!("waf{after}"), waf),
            Kind::CaptivePortal(portal) => written(&format!("captive-portal{after}"), portal),
        })
    }
}

/// The form in which a gateway answers. Each is that of a product in wide use.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GatewayForm {
    /// The HTML page of nginx. (`html`)
    #[default]
    Html,
    /// The JSON of Amazon's API gateway: an object that has only `message`. (`json`)
    Json,
    /// The JSON of Kong: an object with `message` and `request_id`. (`kong`)
    Kong,
    /// The JSON of Azure's API Management: an object with `statusCode` and `message`. (`azure`)
    Azure,
    /// The JSON of a gRPC gateway, such as Google's: an object with `code`, `message` and `details`. Its `code` is that
    /// of gRPC, such as 5 for 404. (`google`)
    Google,
    /// A problem document (RFC 9457), with a media type of its own. (`problem`)
    Problem,
    /// The JSON of a web framework: an object with `timestamp`, `status`, `error` and `path`. (`spring`)
    Spring,
    /// The plain text of Envoy. (`envoy`)
    Envoy,
    /// The plain text of Traefik and of Go's standard library. (`text`)
    Text,
    /// The XML of an object store. (`xml`)
    Xml,
    /// No body and no media type. (`empty`)
    Empty,
}

impl GatewayForm {
    /// Returns the form's name in a fault's text form.
    pub fn as_str(self) -> &'static str {
        variant_name(self)
    }
}

impl Variant for GatewayForm {
    const ALL: &'static [(&'static str, Self)] = &[
        ("html", Self::Html),
        ("json", Self::Json),
        ("kong", Self::Kong),
        ("azure", Self::Azure),
        ("google", Self::Google),
        ("problem", Self::Problem),
        ("spring", Self::Spring),
        ("envoy", Self::Envoy),
        ("text", Self::Text),
        ("xml", Self::Xml),
        ("empty", Self::Empty),
    ];
}

/// The answer of a web application firewall that blocks a request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Waf {
    /// A 403 with Cloudflare's page. (`cloudflare`)
    #[default]
    Cloudflare,
    /// A 403 with a page that wants a browser to prove itself. (`challenge`)
    Challenge,
    /// A 403 with Akamai's page. (`akamai`)
    Akamai,
    /// A 200 with the page of F5, which blocks a request without an error's status. (`f5`)
    F5,
    /// A 403 with Cloudflare's JSON. (`json`)
    Json,
}

impl Variant for Waf {
    const ALL: &'static [(&'static str, Self)] = &[
        ("cloudflare", Self::Cloudflare),
        ("challenge", Self::Challenge),
        ("akamai", Self::Akamai),
        ("f5", Self::F5),
        ("json", Self::Json),
    ];
}

/// The answer of a network that wants its user to log in first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CaptivePortal {
    /// A 200 with the login page. (`page`)
    #[default]
    Page,
    /// A 302 to the login page. (`redirect`)
    Redirect,
    /// A 511 with a page that leads to the login page. (`511`)
    Required,
}

impl Variant for CaptivePortal {
    const ALL: &'static [(&'static str, Self)] =
        &[("page", Self::Page), ("redirect", Self::Redirect), ("511", Self::Required)];
}
