//! The emulator's own paths below `/_emulator/`, for tests in languages other than Rust.

use std::str;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use crate::changes::StateChange;
use crate::connection::Connection;
use crate::fault::{Body, Fault, ParseFaultError};
use crate::http::{self, Answer};
use crate::inventory::ExistingKey;
use crate::lock;
use crate::origin;
use crate::record::SeenRequest;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::timestamp::rfc3339;

/// The prefix of the emulator's own paths.
const PREFIX: &str = "/_emulator/";

/// Returns whether `path` is one of the emulator's own paths and those paths are open.
pub(crate) fn handles(service: &Service, path: &str) -> bool {
    service.settings.control && path.starts_with(PREFIX)
}

/// Answers a request over `connection` to one of the emulator's own paths. `port` is the emulator's.
pub(crate) async fn respond(
    service: &Service,
    request: Request<Incoming>,
    connection: &Arc<Connection>,
    port: u16,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let subject = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let received = http::receive(&head.headers, body, &service.bodies).await;
    let answer = origin::check(&head.uri, &head.headers, port)
        .and(received.content)
        .and_then(|body| answer(service, &head.method, subject, &body));
    answer.unwrap_or_else(|refusal| service.refused(None, &refusal)).into_response(connection, &service.bodies)
}

/// Reads or changes what `subject` names, such as `faults`.
fn answer(service: &Service, method: &Method, subject: &str, body: &[u8]) -> Result<Answer, Refusal> {
    let rows = match (subject, method.as_str()) {
        ("faults", "POST") => {
            inject(service, body)?;
            faults(service)
        }
        ("faults", "DELETE") => {
            lock(&service.schedule).clear();
            faults(service)
        }
        ("faults", "GET") => faults(service),
        ("requests", "GET") => lock(&service.record).to_vec().iter().map(request).collect(),
        ("changes", "GET") => service.changes().iter().map(change).collect(),
        ("keys", "GET") => service.keys().iter().map(key).collect(),
        ("requests", "DELETE") => {
            lock(&service.record).clear();
            Vec::new()
        }
        ("changes", "DELETE") => {
            service.clear_changes();
            Vec::new()
        }
        ("faults", _) => return Err(Refusal::MethodNotAllowed { allow: "GET, POST, DELETE".to_owned() }),
        ("requests" | "changes", _) => return Err(Refusal::MethodNotAllowed { allow: "GET, DELETE".to_owned() }),
        ("keys", _) => return Err(Refusal::MethodNotAllowed { allow: "GET".to_owned() }),
        _ => return Err(Refusal::PathNotFound),
    };
    Ok(Answer::ok(&rows))
}

/// Injects the faults of a body, one per line. If one line is not a fault, it injects nothing.
fn inject(service: &Service, body: &[u8]) -> Result<(), Refusal> {
    let text = str::from_utf8(body).map_err(|_| Refusal::field("body", "must be text"))?;
    let lines = text.lines().map(str::trim).filter(|connection| !connection.is_empty());
    let faults: Vec<Fault> = lines
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error: ParseFaultError| wrong_fault(&error.to_string()))?;
    if faults.is_empty() {
        return Err(wrong_fault("the body needs a fault, such as create:reset-after:1"));
    }
    let mut script = lock(&service.schedule);
    faults.into_iter().for_each(|fault| script.inject(fault));
    Ok(())
}

fn wrong_fault(problem: &str) -> Refusal {
    Refusal::field("fault", problem)
}

fn faults(service: &Service) -> Vec<Value> {
    lock(&service.schedule).faults().map(|fault| fault.to_string().into()).collect()
}

fn request(seen: &SeenRequest) -> Value {
    let faults: Vec<_> = seen.faults.iter().map(ToString::to_string).collect();
    json!({
        "time": rfc3339(seen.time),
        "provider": seen.provider.map(|provider| provider.as_str()),
        "operation": seen.operation.map(|operation| operation.short_name()),
        "method": seen.method,
        "target": seen.target,
        "status": seen.status,
        "credential": seen.credential,
        "authenticated_as": seen.authenticated_as,
        "headers": seen.headers,
        "body_size": seen.body_size,
        "faults": faults,
    })
}

fn change(change: &StateChange) -> Value {
    json!({
        "time": rfc3339(change.time),
        "provider": change.provider.as_str(),
        "kind": change.kind.as_str(),
        "key_id": change.key_id,
        "serial": change.serial,
        "name": change.name,
        "replaces": change.replaces,
        "by": change.by,
    })
}

fn key(key: &ExistingKey) -> Value {
    json!({
        "provider": key.provider.as_str(),
        "id": key.id,
        "serial": key.serial,
        "created": rfc3339(key.created),
        "name": key.name,
        "status": key.status.as_str(),
        "live_secrets": key.live_secrets,
    })
}
