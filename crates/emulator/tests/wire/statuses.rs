//! Checks every error that a vendor documents for an operation, with its whole body, in every revision and shape.

use api_keyring_emulator::{Emulator, Fault, ManualClock, MonadErrorShape, Revision, SparteraShape};
use serde_json::{Value, json};

use crate::client::{Api, Reply, builder, monads_error, variants};

/// An operation: its request, and its documented errors.
struct Case {
    /// The name in a fault's text form.
    operation: &'static str,
    method: &'static str,
    /// The path after the key's id; `None` if the path names no key.
    path: Option<&'static str>,
    /// The errors in the SDK documentation.
    documented: &'static [u16],
    /// The errors that the current description adds.
    current: &'static [u16],
}

const SPARTERA: [Case; 7] = [
    Case { operation: "list", method: "GET", path: None, documented: &[401, 403, 404], current: &[429, 500] },
    Case {
        operation: "create",
        method: "POST",
        path: None,
        documented: &[400, 401, 403],
        current: &[409, 422, 429, 500],
    },
    Case { operation: "get", method: "GET", path: Some(""), documented: &[401, 403, 404], current: &[429, 500] },
    Case {
        operation: "update",
        method: "PATCH",
        path: Some(""),
        documented: &[400, 401, 403, 404],
        current: &[409, 422, 429, 500],
    },
    Case { operation: "delete", method: "DELETE", path: Some(""), documented: &[401, 403, 404], current: &[429, 500] },
    Case {
        operation: "revoke",
        method: "POST",
        path: Some("/revoke"),
        documented: &[400, 401, 403],
        current: &[409, 422, 429, 500],
    },
    Case {
        operation: "stats",
        method: "GET",
        path: Some("/stats"),
        documented: &[401, 403, 404],
        current: &[429, 500],
    },
];

/// The vendor documents 401, 403 and 429 once for all operations of the service.
const MONAD: [Case; 6] = [
    Case { operation: "list", method: "GET", path: None, documented: &[401, 403, 429, 500], current: &[] },
    Case { operation: "create", method: "POST", path: None, documented: &[400, 401, 403, 429, 500], current: &[] },
    Case { operation: "get", method: "GET", path: Some(""), documented: &[401, 403, 404, 429, 500], current: &[] },
    Case { operation: "update", method: "PATCH", path: Some(""), documented: &[400, 401, 403, 429, 500], current: &[] },
    Case {
        operation: "delete",
        method: "DELETE",
        path: Some(""),
        documented: &[401, 403, 404, 429, 500],
        current: &[],
    },
    Case {
        operation: "regenerate",
        method: "POST",
        path: Some("/regenerate"),
        documented: &[401, 403, 404, 429, 500],
        current: &[400, 422],
    },
];

impl Case {
    /// Returns the errors of this revision.
    fn errors(&self, revision: Revision) -> impl Iterator<Item = u16> {
        let current = if revision == Revision::Current { self.current } else { &[] };
        self.documented.iter().chain(current).copied()
    }

    async fn send(&self, api: &Api, key: &str, body: Option<&Value>) -> Reply {
        let path = self.path.map_or_else(String::new, |rest| format!("/{key}{rest}"));
        let body = body.map(Value::to_string);
        api.send(self.method, &path, body.as_deref().map(|body| ("application/json", body))).await
    }
}

/// One service, with clients of different rights.
struct Service {
    emulator: Emulator,
    clock: ManualClock,
    admin: Api,
    /// A client whose key may not perform the operation.
    powerless: Api,
    /// A client that names another company or organization.
    elsewhere: Api,
    /// The key that the operations change.
    key: String,
    /// A body that every operation accepts.
    body: Value,
}

impl Service {
    /// Returns the body for the operation, if it takes one. Regenerate needs none.
    fn body_for(&self, case: &Case) -> Option<&Value> {
        (matches!(case.method, "POST" | "PATCH") && case.operation != "regenerate").then_some(&self.body)
    }

    /// Returns a client that may not perform the operation. A reader may read, so reads use another company.
    fn forbidden_client(&self, case: &Case) -> &Api {
        if case.method == "GET" { &self.elsewhere } else { &self.powerless }
    }
}

/// Injects a fault into the next request for this operation.
fn inject(service: &Service, provider: &str, case: &Case, fault: &str) {
    let fault: Fault = format!("{provider}.{}:{fault}:1", case.operation).parse().unwrap();
    service.emulator.inject(fault);
}

async fn spartera(revision: Revision, shape: SparteraShape) -> Service {
    let (builder, clock) = builder();
    let emulator = builder.revision(revision).spartera_shape(shape).start().await.unwrap();
    let (admin, company) = (Api::spartera(&emulator), emulator.spartera().company_id());
    let seeded = emulator.spartera().add_keys(2);
    let elsewhere = Api { keys: "/companies/another/api-keys".to_owned(), ..admin.clone() };
    let body = json!({"company_id": company, "role_id": 3});
    let powerless = admin.with_key(&seeded[1].secret);
    Service { clock, powerless, elsewhere, key: seeded[0].id.clone(), body, admin, emulator }
}

/// Provokes an error of an operation that otherwise succeeds. Returns the answer, and its `errors` if it has any.
async fn provoke_at_spartera(service: &Service, case: &Case, status: u16) -> (Reply, Value) {
    let Service { admin, key, .. } = service;
    let body = service.body_for(case);
    let mut errors = Value::Null;
    let reply = match (status, case.operation) {
        (400, _) => {
            let wrong = json!({"company_id": service.body["company_id"], "role_id": "3"});
            errors = json!({"role_id": ["must be an integer"]});
            case.send(admin, key, Some(&wrong)).await
        }
        (401, _) => case.send(&admin.with_key("sk_live_unknown"), key, body).await,
        (403, _) => case.send(service.forbidden_client(case), key, body).await,
        (404, operation) if operation != "list" => case.send(admin, "no-such-key", body).await,
        (409, "create") => {
            inject(service, "spartera", case, "quota=1");
            case.send(admin, key, body).await
        }
        (409, "update") => {
            let revoked = service.emulator.spartera().add_keys(1)[0].id.clone();
            admin.post(&format!("/{revoked}/revoke"), service.body.clone()).await.ok();
            case.send(admin, &revoked, body).await
        }
        (429, _) => {
            inject(service, "spartera", case, "status=429,retry-after=7");
            case.send(admin, key, body).await
        }
        // Only a fault causes these statuses.
        _ => {
            inject(service, "spartera", case, &format!("status={status}"));
            case.send(admin, key, body).await
        }
    };
    (reply, errors)
}

#[tokio::test]
async fn spartera_has_every_documented_error_of_every_operation() {
    for (revision, shape) in variants() {
        let service = spartera(revision, shape).await;
        for case in &SPARTERA {
            for status in case.errors(revision) {
                let (reply, errors) = provoke_at_spartera(&service, case, status).await;
                let message = match (status, case.operation) {
                    (400, _) => "Invalid input",
                    (401, _) => "Authentication required",
                    (403, _) => "Permission denied",
                    (404, "list") => "Not Found",
                    (404, _) => "Resource not found",
                    (409, "create") => "API key quota exceeded",
                    (409, "update") => "API key has been revoked",
                    (409, _) => "Conflict",
                    (422, _) => "Unprocessable Entity",
                    (429, _) => "Too Many Requests",
                    (500, _) => "Internal Server Error",
                    _ => unreachable!("{status} is documented"),
                };
                let mut expected = json!({"code": status, "message": message});
                if !errors.is_null() {
                    expected["errors"] = errors;
                }
                if status == 429 {
                    expected["retry_after"] = json!(7);
                    assert_eq!(reply.header("retry-after"), Some("7"));
                }
                assert_eq!(reply.refused(status), expected, "{revision:?} {shape:?} {} {status}", case.operation);
            }
            // The operation still succeeds, so the provoked errors had no other cause.
            let key = service.emulator.spartera().add_keys(1)[0].id.clone();
            case.send(&service.admin, &key, service.body_for(case)).await.ok();
        }
    }
}

async fn monad(revision: Revision, shape: MonadErrorShape) -> Service {
    let (builder, clock) = builder();
    let emulator = builder.revision(revision).monad_error_shape(shape).start().await.unwrap();
    let admin = Api::monad(&emulator);
    let seeded = emulator.monad().add_keys(2);
    let elsewhere = Api { keys: "/api/v2/another/api_keys".to_owned(), ..admin.clone() };
    let body = json!({"name": "new", "role_id": "role-reader", "expiration_time": "2026-06-01T00:00:00Z"});
    let powerless = admin.with_key(&seeded[1].secret);
    Service { clock, powerless, elsewhere, key: seeded[0].id.clone(), body, admin, emulator }
}

async fn provoke_at_monad(service: &Service, case: &Case, status: u16) -> Reply {
    let Service { admin, key, clock, .. } = service;
    let body = service.body_for(case);
    match (status, case.operation) {
        (400, "regenerate") => case.send(admin, key, Some(&json!({"expiration_time": 5}))).await,
        (400, _) => {
            let mut wrong = service.body.clone();
            wrong["name"] = json!(5);
            case.send(admin, key, Some(&wrong)).await
        }
        (401, _) => case.send(&admin.with_key("no token"), key, body).await,
        (403, _) => case.send(service.forbidden_client(case), key, body).await,
        (404, _) => case.send(admin, "no-such-key", body).await,
        (422, _) => {
            let made = admin.post("", service.body.clone()).await.ok();
            clock.set("2026-07-01T00:00:00Z".parse().unwrap());
            let reply = case.send(admin, made["id"].as_str().unwrap(), None).await;
            clock.set(crate::client::START.parse().unwrap());
            reply
        }
        (429, _) => {
            inject(service, "monad", case, "status=429,retry-after=7");
            case.send(admin, key, body).await
        }
        _ => {
            inject(service, "monad", case, &format!("status={status}"));
            case.send(admin, key, body).await
        }
    }
}

#[tokio::test]
async fn monad_has_every_documented_error_of_every_operation_in_both_forms() {
    for revision in [Revision::Documented, Revision::Current] {
        for shape in [MonadErrorShape::Text, MonadErrorShape::Object] {
            let service = monad(revision, shape).await;
            for case in &MONAD {
                for status in case.errors(revision) {
                    let reply = provoke_at_monad(&service, case, status).await;
                    let field = if case.operation == "regenerate" { "expiration_time" } else { "name" };
                    let invalid = format!("Invalid JSON request body: {field} must be a string");
                    let (message, kind) = match status {
                        400 => (invalid.as_str(), "bad_request"),
                        401 => ("Unauthorized", "unauthorized"),
                        403 => ("Forbidden", "forbidden"),
                        404 => ("API key not found", "not_found"),
                        422 => ("API key has expired: an expiration_time is needed", "unprocessable_entity"),
                        429 => ("Too Many Requests", "too_many_requests"),
                        500 => ("Internal Server Error", "internal_error"),
                        _ => unreachable!("{status} is documented"),
                    };
                    let mut expected = monads_error(shape, status, message, kind);
                    if status == 400 && shape == MonadErrorShape::Object {
                        expected["additional_details"] = json!({field: ["must be a string"]});
                    }
                    assert_eq!(reply.refused(status), expected, "{revision:?} {} {status}", case.operation);
                    assert_eq!(reply.header("retry-after"), (status == 429).then_some("7"));
                }
                let key = service.emulator.monad().add_keys(1)[0].id.clone();
                case.send(&service.admin, &key, service.body_for(case)).await.ok();
            }
        }
    }
}

/// Checks errors that no document lists, because they belong to HTTP rather than to the service.
#[tokio::test]
async fn undocumented_errors_have_the_services_form_too() {
    for (revision, shape) in variants() {
        let service = spartera(revision, shape).await;
        for (reply, status, message) in [
            (service.admin.get("/1/nothing").await, 404, "Path not found"),
            (service.admin.send("PUT", "", None).await, 405, "Method not allowed"),
            (
                service.admin.send("POST", "", Some(("text/plain", "{}"))).await,
                415,
                "Request body must be application/json",
            ),
        ] {
            assert_eq!(reply.refused(status), json!({"code": status, "message": message}));
        }
    }
    for revision in [Revision::Documented, Revision::Current] {
        let service = monad(revision, MonadErrorShape::Object).await;
        let broken = service.admin.send("POST", "", Some(("application/json", "{"))).await;
        let not_json = "Invalid JSON request body: the body is not valid JSON (line 1, column 1)";
        let bad_limit = "Invalid query: limit must be a whole number from 1 to 1000";
        let limit = json!({"limit": ["must be a whole number from 1 to 1000"]});
        let none = Value::Null;
        for (reply, status, message, kind, details) in [
            (service.admin.get("/1/nothing").await, 404, "Path not found", "not_found", &none),
            (service.admin.send("PUT", "", None).await, 405, "Method not allowed", "bad_request", &none),
            (
                service.admin.send("POST", "", Some(("text/plain", "{}"))).await,
                415,
                "Unsupported media type",
                "bad_request",
                &none,
            ),
            (broken, 400, not_json, "bad_request", &none),
            (service.admin.get("?limit=0").await, 400, bad_limit, "bad_request", &limit),
        ] {
            let mut expected = monads_error(MonadErrorShape::Object, status, message, kind);
            expected["additional_details"] = details.clone();
            assert_eq!(reply.refused(status), expected, "{revision:?}");
        }
    }
}

/// Sends requests with two problems each, one pair for every two neighbours in the order of the checks.
#[tokio::test]
async fn the_first_failed_check_is_the_answer() {
    for (revision, shape) in variants() {
        let service = spartera(revision, shape).await;
        let Service { admin, powerless, key, .. } = &service;
        let bad = admin.with_key("sk_live_unknown");
        let far = Api { credential: powerless.credential.clone(), ..service.elsewhere.clone() };
        let large = " ".repeat((1 << 20) + 1);
        let text = Some(("text/plain", "{"));
        let wrong = Some(("application/json", r#"{"role_id": "x"}"#));
        let revoked = service.emulator.spartera().add_keys(1)[0].id.clone();
        admin.post(&format!("/{revoked}/revoke"), service.body.clone()).await.ok();
        let revoked = format!("/{revoked}");
        for (reply, status) in [
            (bad.send("PUT", "/1/nothing", None).await, 404),
            (bad.send("PUT", "", Some(("application/json", &large))).await, 405),
            (bad.send("POST", "", Some(("application/json", &large))).await, 413),
            (Api { credential: String::new(), ..service.elsewhere.clone() }.get("").await, 401),
            (far.send("DELETE", &format!("/{key}"), None).await, 403),
            (powerless.send("POST", "", text).await, 403),
            (admin.send("POST", "", text).await, 415),
            (admin.send("PATCH", "/no-such-key", text).await, 415),
            (admin.send("PATCH", "/no-such-key", wrong).await, 400),
            (admin.send("PATCH", &revoked, wrong).await, 400),
        ] {
            reply.refused(status);
        }
        let update = admin.patch(&revoked, json!({"role_id": "x"})).await.refused(400);
        assert_eq!(
            update["errors"],
            json!({"role_id": ["must be an integer"]}),
            "the body is checked before the revocation"
        );

        let service = monad(revision, MonadErrorShape::Text).await;
        let Service { admin, powerless, .. } = &service;
        let bad = admin.with_key("no token");
        for (reply, status) in [
            (bad.send("PUT", "/1/nothing", None).await, 404),
            (bad.send("PUT", "", Some(("application/json", &large))).await, 405),
            (bad.send("POST", "", Some(("application/json", &large))).await, 413),
            (Api { credential: String::new(), ..service.elsewhere.clone() }.get("").await, 401),
            (Api { credential: powerless.credential.clone(), ..service.elsewhere.clone() }.delete("/1").await, 403),
            (powerless.send("POST", "", text).await, 403),
            (admin.send("POST", "", text).await, 415),
            (admin.send("PATCH", "/no-such-key", text).await, 415),
            (admin.send("PATCH", "/no-such-key", Some(("application/json", r#"{"name": 5}"#))).await, 400),
        ] {
            reply.refused(status);
        }
    }
}

/// Asserts that an error has exactly the form that its vendor documents.
#[track_caller]
fn assert_own_form(reply: &Reply, is_monads: bool, shape: MonadErrorShape) {
    let body = reply.json();
    let status = json!(reply.status);
    match (is_monads, shape) {
        (true, MonadErrorShape::Text) => assert!(body.as_str().is_some_and(|text| !text.is_empty()), "{reply:?}"),
        (true, _) => {
            let object = body.as_object().unwrap();
            assert!(object["error"].is_string() && object["error_type"].is_string(), "{reply:?}");
            assert_eq!(object["code"], status);
        }
        (false, _) => {
            let object = body.as_object().unwrap();
            assert!(object["message"].as_str().is_some_and(|text| !text.is_empty()), "{reply:?}");
            assert_eq!(object["code"], status);
        }
    }
}

#[tokio::test]
async fn every_error_has_the_vendors_own_form() {
    for (revision, spartera_shape) in variants() {
        for shape in [MonadErrorShape::Text, MonadErrorShape::Object] {
            let builder = builder().0.revision(revision).spartera_shape(spartera_shape).monad_error_shape(shape);
            let emulator = builder.start().await.unwrap();
            let mut statuses = std::collections::BTreeSet::new();
            for (api, body) in crate::client::services(&emulator) {
                let is_monads = api.keys.starts_with("/api");
                let root = if is_monads { "/api" } else { "/companies" };
                let long = " ".repeat((1 << 20) + 1);
                let mut replies = vec![
                    api.get(&format!("{root}/nowhere")).await,
                    api.get("/none").await,
                    api.get("/%ff").await,
                    api.send("PUT", "", None).await,
                    api.send("PUT", "/none", None).await,
                    api.send("POST", "", Some(("text/plain", "{}"))).await,
                    api.send("POST", "", Some(("application/json", "{"))).await,
                    api.send("POST", "", Some(("application/json", &long))).await,
                    api.post("", json!({"name": 1})).await,
                    api.with_header("").get("").await,
                    api.with_key("wrong").get("").await,
                    api.with_key("wrong").post("", body.clone()).await,
                ];
                let broken = format!(
                    "POST {} HTTP/1.1\r\nHost: e\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
                    api.keys, api.credential,
                );
                replies.push(crate::client::raw(api.address, broken.as_bytes()).await);
                let elsewhere = if is_monads { "/api/v2/elsewhere/api_keys" } else { "/companies/elsewhere/api-keys" };
                replies.push(api.get(elsewhere).await);
                for status in
                    (400..=599).filter(|status| status % 7 == 0 || [400, 409, 422, 429, 500, 503].contains(status))
                {
                    for when in ["status", "status-after"] {
                        emulator.inject(format!("*:{when}={status},retry-after=1:1").parse::<Fault>().unwrap());
                        replies.push(api.get("").await);
                    }
                }
                for fault in ["*:rate-limit=1/1h", "create:quota=0"] {
                    emulator.inject(fault.parse::<Fault>().unwrap());
                    for _ in 0..2 {
                        replies.push(api.post("", body.clone()).await);
                    }
                    emulator.clear_faults();
                }
                for reply in replies.iter().filter(|reply| reply.status != 200) {
                    assert_own_form(reply, is_monads, shape);
                    statuses.insert(reply.status);
                }
            }
            for status in [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503] {
                assert!(statuses.contains(&status), "{status}: {statuses:?}");
            }
        }
    }
}
