//! The answers of gateways, firewalls and captive portals.
//!
//! They follow those of real products. Their names and numbers are made up, and the same every time.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LOCATION, SERVER};
use serde_json::json;

use super::intermediary::{CaptivePortal, GatewayForm, Intermediary, Kind, Waf};
use crate::http::Answer;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The address of the login page. The name cannot exist (RFC 2606).
const PORTAL: &str = "http://login.portal.example/?continue=1";

impl Intermediary {
    pub(crate) fn answer(self) -> Answer {
        match self.kind {
            Kind::Gateway(status, form) => gateway(status, form),
            Kind::Waf(waf) => waf_answer(waf),
            Kind::CaptivePortal(portal) => portal_answer(portal),
        }
    }
}

/// Returns the answer of a gateway.
pub(crate) fn gateway(status: u16, form: GatewayForm) -> Answer {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..=599).contains(&status.as_u16()))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Error");
    let number = status.as_u16();
    let (media_type, body) = match form {
        GatewayForm::Html if status.is_success() => (HTML, WELCOME.to_owned()),
        GatewayForm::Html => ("text/html", nginx(number, reason)),
        GatewayForm::Json => (JSON, json!({ "message": reason }).to_string()),
        GatewayForm::Kong => {
            let message = if number == 404 { "no Route matched with those values" } else { reason };
            let body = json!({ "message": message, "request_id": "5f1c7a2e9b0d4c3f8a6e1b7d2c9f0a3b" });
            ("application/json; charset=utf-8", body.to_string())
        }
        GatewayForm::Azure => (JSON, json!({ "statusCode": number, "message": reason }).to_string()),
        GatewayForm::Google => {
            (JSON, json!({ "code": grpc_code(number), "message": reason, "details": [] }).to_string())
        }
        GatewayForm::Problem => {
            let body = json!({ "type": "about:blank", "title": reason, "status": number });
            ("application/problem+json", body.to_string())
        }
        GatewayForm::Spring => {
            let body = json!({
                "timestamp": "2026-01-01T00:00:00.000+00:00", "status": number, "error": reason, "path": "/",
            });
            (JSON, body.to_string())
        }
        GatewayForm::Envoy => ("text/plain", envoy(number).to_owned()),
        GatewayForm::Text => (TEXT, go(number, reason)),
        GatewayForm::Xml => ("application/xml", xml(number, reason)),
        GatewayForm::Empty => ("", String::new()),
    };
    let mut answer = page(status, media_type, body);
    match form {
        GatewayForm::Html => add(&mut answer, SERVER, "nginx/1.26.2"),
        GatewayForm::Json if status.is_client_error() || status.is_server_error() => {
            add(&mut answer, HeaderName::from_static("x-amzn-requestid"), "c6af9ac6-7b61-11e6-9a41-93e8deadbeef");
            let kind = match number {
                403 => "ForbiddenException",
                404 => "NotFoundException",
                _ => "InternalServerErrorException",
            };
            add(&mut answer, HeaderName::from_static("x-amzn-errortype"), kind);
        }
        GatewayForm::Kong => add(&mut answer, SERVER, "kong/3.9.0"),
        GatewayForm::Google => add(&mut answer, SERVER, "Google Frontend"),
        GatewayForm::Envoy => add(&mut answer, SERVER, "envoy"),
        _ => {}
    }
    answer
}

fn page(status: StatusCode, media_type: &'static str, body: impl Into<bytes::Bytes>) -> Answer {
    let mut answer = Answer::empty(status);
    answer.content_type = Some(media_type).filter(|known| !known.is_empty()).map(HeaderValue::from_static);
    answer.body = body.into();
    answer
}

fn add(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers.insert(name, HeaderValue::from_static(value));
}

const WELCOME: &str = "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n\
    <h1>Welcome to nginx!</h1>\n<p>If you see this page, the web server works. It needs more configuration.</p>\n\
    </body>\n</html>\n";

fn nginx(number: u16, reason: &str) -> String {
    format!(
        "<html>\r\n<head><title>{number} {reason}</title></head>\r\n<body>\r\n<center><h1>{number} {reason}</h1></center>\
         \r\n<hr><center>nginx/1.26.2</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Returns the gRPC code that belongs to an HTTP status.
fn grpc_code(number: u16) -> u16 {
    match number {
        200..=299 => 0,
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        500 => 13,
        501 => 12,
        502 | 503 => 14,
        504 => 4,
        _ => 2,
    }
}

fn envoy(number: u16) -> &'static str {
    match number {
        403 => "RBAC: access denied",
        502 | 503 => "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
        504 => "upstream request timeout",
        // Envoy answers without a body if no route matches.
        _ => "",
    }
}

fn go(number: u16, reason: &str) -> String {
    if number == 404 { "404 page not found\n".to_owned() } else { format!("{reason}\n") }
}

fn xml(number: u16, reason: &str) -> String {
    let code = match number {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        _ => "InternalError",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{reason}</Message>\
         <RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
}

fn waf_answer(waf: Waf) -> Answer {
    let blocked = StatusCode::FORBIDDEN;
    match waf {
        Waf::Cloudflare => {
            let mut answer = page(blocked, "text/html; charset=UTF-8", CLOUDFLARE);
            add(&mut answer, SERVER, "cloudflare");
            add(&mut answer, HeaderName::from_static("cf-ray"), "8f0a1b2c3d4e5f60-FRA");
            answer
        }
        Waf::Challenge => {
            let mut answer = page(blocked, "text/html; charset=UTF-8", CHALLENGE);
            add(&mut answer, SERVER, "cloudflare");
            add(&mut answer, HeaderName::from_static("cf-mitigated"), "challenge");
            answer
        }
        Waf::Akamai => {
            let mut answer = page(blocked, "text/html", AKAMAI);
            add(&mut answer, SERVER, "AkamaiGHost");
            answer
        }
        Waf::F5 => page(StatusCode::OK, HTML, F5),
        Waf::Json => {
            let body = json!({
                "success": false, "errors": [{ "code": 1020, "message": "Access denied" }], "messages": [], "result": null,
            });
            page(blocked, JSON, body.to_string())
        }
    }
}

const CLOUDFLARE: &str = "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>Attention Required! | Cloudflare</title>\
    <meta name=\"robots\" content=\"noindex, nofollow\" /></head>\n<body>\n<h1>Sorry, you have been blocked</h1>\n\
    <h2>You are unable to access this service</h2>\n<p>This website is using a security service to protect itself from \
    online attacks.</p>\n<p>Cloudflare Ray ID: <strong>8f0a1b2c3d4e5f60</strong></p>\n</body>\n</html>\n";

const CHALLENGE: &str = "<!DOCTYPE html><html lang=\"en-US\"><head><title>Just a moment...</title>\
    <meta http-equiv=\"refresh\" content=\"390\"></head><body><noscript>Enable JavaScript and cookies to continue\
    </noscript></body></html>";

const AKAMAI: &str = "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n \nYou don't \
    have permission to access this resource on this server.<P>\nReference&#32;&#35;18&#46;2d351ab8&#46;1557333295\n\
    </BODY>\n</HTML>\n";

const F5: &str = "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult \
    with your administrator.<br><br>Your support ID is: 11437905463720218384<br><br>\
    <a href='javascript:history.back();'>[Go Back]</a></body></html>";

fn portal_answer(portal: CaptivePortal) -> Answer {
    match portal {
        CaptivePortal::Page => page(StatusCode::OK, HTML, LOGIN),
        CaptivePortal::Redirect => {
            let mut answer = page(StatusCode::FOUND, HTML, "");
            add(&mut answer, LOCATION, PORTAL);
            answer
        }
        CaptivePortal::Required => page(StatusCode::NETWORK_AUTHENTICATION_REQUIRED, HTML, REQUIRED),
    }
}

const LOGIN: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to our Wi-Fi</title></head>\n<body>\n\
    <h1>Log in to use the network</h1>\n<form method=\"post\" action=\"http://login.portal.example/\">\
    <input name=\"room\"><input name=\"name\"><button>Accept the terms and connect</button></form>\n</body></html>\n";

const REQUIRED: &str = "<html><head><title>Network Authentication Required</title><meta http-equiv=\"refresh\" \
    content=\"0; url=http://login.portal.example/\"></head><body><p>You need to <a \
    href=\"http://login.portal.example/\">authenticate with the local network</a> in order to gain access.</p></body>\
    </html>\n";
