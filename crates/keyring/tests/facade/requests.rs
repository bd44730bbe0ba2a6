//! The exact requests of each operation and their number; nothing is sent twice.

use api_keyring::{
    Expiry, KeyUpdate, ListKeys, Monad, NewKey, Operation, Provider, ProviderExt, Regeneration, Result, Revocation,
    Spartera,
};
use chrono::{TimeDelta, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::stub::{Answer, Request, Stub};
use crate::support::{CREDENTIAL, Fixture, SCOPE, Vendor, id, perform, time};

/// Checks a whole request of a provider with an API key: it has exactly these headers, each once.
#[track_caller]
fn assert_request(request: &Request, base_url: &str, line: &str, body: Option<Value>) {
    assert_eq!(request.line(), line);
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    // Checked below: a POST with an empty body has a length, and a GET has none.
    names.retain(|name| *name != "content-length");
    match body {
        Some(body) => {
            assert_eq!(
                names,
                ["accept", "accept-encoding", "content-type", "host", "user-agent", "x-api-key"],
                "{line}"
            );
            assert_eq!(request.header("content-type"), ["application/json"], "{line}");
            assert_eq!(request.header("accept-encoding"), ["identity"], "{line}");
            assert_eq!(request.header("content-length"), [request.body.len().to_string()], "{line}");
            assert_eq!(request.json(), body, "{line}");
        }
        None => {
            assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent", "x-api-key"], "{line}");
            assert!(request.header("content-length").iter().all(|length| *length == "0"), "{line}");
            assert!(request.body.is_empty(), "{line}");
        }
    }
    assert_eq!(request.header("x-api-key"), [CREDENTIAL], "{line}");
    assert_eq!(request.header("accept"), ["application/json"], "{line}");
    assert_eq!(request.header("host"), [base_url.trim_start_matches("http://")], "{line}");
    assert!(request.header("user-agent")[0].starts_with("api-keyring/"), "{line}");
}

impl Fixture {
    /// Answers every request as documented. A read gets a key; everything else gets the answer of `operation`.
    fn answer_as_documented(&self, operation: Operation) {
        let vendor = self.vendor;
        self.stub.answer_with(move |request| {
            let operation = match (request.method.as_str(), operation) {
                ("GET", Operation::List | Operation::Stats) => operation,
                ("GET", _) => Operation::Get,
                _ => operation,
            };
            // The requested key's id follows the last of these names in the path.
            let path = request.target.split(['?', '/']).skip_while(|part| !part.starts_with("api")).nth(1);
            let requested = path.filter(|_| operation == Operation::Get).unwrap_or("7");
            Answer::json(200, &vendor.success_for(operation, &id(requested)))
        });
    }

    /// Checks all requests since the last answer was set.
    #[track_caller]
    fn assert_sent(&self, expected: &[(&str, Option<Value>)]) {
        let sent = self.stub.requests();
        let lines: Vec<_> = sent.iter().map(Request::line).collect();
        assert_eq!(lines, expected.iter().map(|(line, _)| *line).collect::<Vec<_>>());
        for (request, (line, body)) in sent.iter().zip(expected) {
            assert_request(request, &self.stub.base_url(), line, body.clone());
        }
    }
}

#[tokio::test]
async fn spartera_sends_exactly_these_requests() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let (spartera, key) = (&fixture.provider, id("key_1-a"));

    fixture.answer_as_documented(Operation::Get);
    spartera.get(&key).await.unwrap();
    fixture.assert_sent(&[("GET /companies/acme/api-keys/key_1-a", None)]);

    fixture.answer_as_documented(Operation::Create);
    let _ = spartera.create(&NewKey::new("ci").role("3")).await.unwrap();
    let body = json!({"company_id": SCOPE, "role_id": 3, "name": "ci"});
    fixture.assert_sent(&[("POST /companies/acme/api-keys", Some(body.clone()))]);

    // Without an expiry, the vendor's keys never expire.
    fixture.answer_as_documented(Operation::Create);
    let _ = spartera.create(&NewKey::new("ci").role("3").expiry(Expiry::Never)).await.unwrap();
    fixture.assert_sent(&[("POST /companies/acme/api-keys", Some(body))]);

    fixture.answer_as_documented(Operation::Create);
    let new = NewKey::new("ci").role("-9").expires_at(time("2099-12-31T23:59:59Z")).description("d").owner("u-1");
    let _ = spartera.create(&new).await.unwrap();
    let body = json!({
        "company_id": SCOPE, "role_id": -9, "name": "ci", "expiration_date_utc": "2099-12-31T23:59:59Z",
        "description": "d", "user_id": "u-1",
    });
    fixture.assert_sent(&[("POST /companies/acme/api-keys", Some(body))]);

    for (update, body) in [
        (KeyUpdate::new().name("n"), json!({"name": "n"})),
        (KeyUpdate::new().role("5"), json!({"role_id": 5})),
        (KeyUpdate::new().description("d"), json!({"description": "d"})),
        (KeyUpdate::new().owner("u"), json!({"user_id": "u"})),
        (
            KeyUpdate::new().expiry(Expiry::At(time("2099-01-01T00:00:00Z"))),
            json!({"expiration_date_utc": "2099-01-01T00:00:00Z"}),
        ),
        (
            KeyUpdate::new().name("n").role("5").description("d").owner("u"),
            json!({"name": "n", "role_id": 5, "description": "d", "user_id": "u"}),
        ),
    ] {
        fixture.answer_as_documented(Operation::Update);
        assert!(spartera.update(&key, &update).await.unwrap().is_none(), "the vendor's answer holds only the id");
        fixture.assert_sent(&[("PATCH /companies/acme/api-keys/key_1-a", Some(body))]);
    }

    let revoke = "POST /companies/acme/api-keys/key_1-a/revoke";
    fixture.answer_as_documented(Operation::Revoke);
    spartera.revoke(&key, &Revocation::new().role("4").reason("leaked")).await.unwrap();
    fixture.assert_sent(&[(revoke, Some(json!({"company_id": SCOPE, "role_id": 4, "reason": "leaked"})))]);

    fixture.answer_as_documented(Operation::Revoke);
    spartera.revoke(&key, &Revocation::new().role("4")).await.unwrap();
    fixture.assert_sent(&[(revoke, Some(json!({"company_id": SCOPE, "role_id": 4})))]);

    // Without a role, the provider reads the key first: its role is 3.
    fixture.answer_as_documented(Operation::Revoke);
    spartera.revoke(&key, &Revocation::new().reason("leaked")).await.unwrap();
    fixture.assert_sent(&[
        ("GET /companies/acme/api-keys/key_1-a", None),
        (revoke, Some(json!({"company_id": SCOPE, "role_id": 3, "reason": "leaked"}))),
    ]);

    fixture.answer_as_documented(Operation::Delete);
    spartera.delete(&key).await.unwrap();
    fixture.assert_sent(&[("DELETE /companies/acme/api-keys/key_1-a", None)]);

    fixture.answer_as_documented(Operation::Stats);
    spartera.stats(&key).await.unwrap();
    fixture.assert_sent(&[("GET /companies/acme/api-keys/key_1-a/stats", None)]);
}

#[tokio::test]
async fn monad_sends_exactly_these_requests() {
    let fixture = Fixture::start(Vendor::Monad).await;
    let (monad, key) = (&fixture.provider, id("k.1~a"));
    let path = "/v2/acme/api_keys/k.1~a";

    fixture.answer_as_documented(Operation::Get);
    monad.get(&key).await.unwrap();
    fixture.assert_sent(&[(&format!("GET {path}"), None)]);

    fixture.answer_as_documented(Operation::Create);
    let new = NewKey::new("ci").role("role-reader").expires_at(time("2099-12-31T23:59:59.75Z"));
    let _ = monad.create(&new).await.unwrap();
    let mut body = json!({"name": "ci", "role_id": "role-reader", "expiration_time": "2099-12-31T23:59:59Z"});
    fixture.assert_sent(&[("POST /v2/acme/api_keys", Some(body.clone()))]);

    fixture.answer_as_documented(Operation::Create);
    let _ = monad.create(&new.description("d")).await.unwrap();
    body["description"] = "d".into();
    fixture.assert_sent(&[("POST /v2/acme/api_keys", Some(body))]);

    fixture.answer_as_documented(Operation::Update);
    assert!(monad.update(&key, &KeyUpdate::new().name("n")).await.unwrap().is_some());
    fixture.assert_sent(&[(&format!("PATCH {path}"), Some(json!({"name": "n"})))]);

    fixture.answer_as_documented(Operation::Update);
    monad.update(&key, &KeyUpdate::new().name("n").description("d")).await.unwrap();
    fixture.assert_sent(&[(&format!("PATCH {path}"), Some(json!({"name": "n", "description": "d"})))]);

    // The documentation requires a name, so the provider reads the current one: "ci".
    fixture.answer_as_documented(Operation::Update);
    monad.update(&key, &KeyUpdate::new().description("d")).await.unwrap();
    fixture.assert_sent(&[
        (&format!("GET {path}"), None),
        (&format!("PATCH {path}"), Some(json!({"name": "ci", "description": "d"}))),
    ]);

    // There is no body, because an older server rejects any.
    fixture.answer_as_documented(Operation::Regenerate);
    let _ = monad.regenerate(&key, &Regeneration::new()).await.unwrap();
    fixture.assert_sent(&[(&format!("POST {path}/regenerate"), None)]);

    fixture.answer_as_documented(Operation::Regenerate);
    let how = Regeneration::new().expiry(Expiry::At(time("2099-01-01T00:00:00Z")));
    let _ = monad.regenerate(&key, &how).await.unwrap();
    let body = json!({"expiration_time": "2099-01-01T00:00:00Z"});
    fixture.assert_sent(&[(&format!("POST {path}/regenerate"), Some(body))]);

    fixture.answer_as_documented(Operation::Delete);
    monad.delete(&key).await.unwrap();
    fixture.assert_sent(&[(&format!("DELETE {path}"), None)]);
}

#[tokio::test]
async fn a_list_requests_the_largest_pages_and_as_few_as_possible() {
    let full = |vendor: Vendor| (0..100).map(|n| vendor.key(&format!("k{n}"))).collect::<Vec<_>>();

    // Spartera omits the total, so a short page marks the end. It starts with the last key of the page before.
    let fixture = Fixture::start(Vendor::Spartera).await;
    fixture.stub.answer_with(move |request| {
        let is_first = request.target.contains("page=1");
        let rows = if is_first { full(Vendor::Spartera) } else { full(Vendor::Spartera).split_off(99) };
        Answer::json(200, &Vendor::Spartera.list(&rows))
    });
    assert_eq!(fixture.provider.list(ListKeys::new()).count().await, 100);
    fixture.assert_sent(&[
        ("GET /companies/acme/api-keys?limit=100&page=1", None),
        ("GET /companies/acme/api-keys?limit=99&page=2", None),
    ]);

    // Monad's total equals the number of keys on a page that is not full, so one request is enough.
    let fixture = Fixture::start(Vendor::Monad).await;
    let mut body = Vendor::Monad.list(&full(Vendor::Monad)[..99]);
    body["pagination"] = json!({"limit": 100, "offset": 0, "total": 99});
    fixture.stub.answer_all(Answer::json(200, &body));
    assert_eq!(fixture.provider.list(ListKeys::new()).count().await, 99);
    fixture.assert_sent(&[("GET /v2/acme/api_keys?limit=100&offset=0", None)]);

    // Of two pages, the second starts with the last key of the first.
    let rows: Vec<_> = (0..130).map(|n| Vendor::Monad.key(&format!("k{n}"))).collect();
    fixture.stub.answer_with(move |request| {
        let part = if request.target.ends_with("offset=0") { &rows[..100] } else { &rows[99..] };
        let mut body = Vendor::Monad.list(part);
        body["pagination"] = json!({"limit": 100, "total": 130});
        Answer::json(200, &body)
    });
    assert_eq!(fixture.provider.list(ListKeys::new()).count().await, 130);
    fixture.assert_sent(&[
        ("GET /v2/acme/api_keys?limit=100&offset=0", None),
        ("GET /v2/acme/api_keys?limit=99&offset=99", None),
    ]);
}

#[tokio::test]
async fn the_secret_of_a_key_uses_the_header_of_keys() {
    let stub = Stub::start().await;
    let builder = Monad::builder().organization_id(SCOPE).bearer("one.two.three").base_url(stub.base_url());
    let monad = builder.build().unwrap();
    stub.answer_all(Answer::json(200, &Vendor::Monad.success(Operation::Get)));
    monad.get(&id("7")).await.unwrap();
    // A key's secret uses the header of API keys, whatever the client's own credential is.
    monad.with_secret(&"four.five.six".into()).unwrap().get(&id("7")).await.unwrap();
    let sent = stub.requests();
    assert_eq!(sent[0].header("authorization"), ["Bearer one.two.three"]);
    assert!(sent[0].header("x-api-key").is_empty());
    assert_eq!(sent[1].header("x-api-key"), ["four.five.six"]);
    assert!(sent[1].header("authorization").is_empty());
    let other = Vendor::Monad.connect(&stub.base_url(), SCOPE, CREDENTIAL);
    other.with_secret(&"four.five.six".into()).unwrap().get(&id("7")).await.unwrap();
    let sent = stub.requests();
    assert_eq!(sent[2].header("x-api-key"), ["four.five.six"]);
    assert!(sent[2].header("authorization").is_empty());
    // The builder's last credential and its header win.
    let builder = Monad::builder().organization_id(SCOPE).bearer("one.two.three").api_key(CREDENTIAL);
    builder.base_url(stub.base_url()).build().unwrap().get(&id("7")).await.unwrap();
    let sent = stub.requests();
    assert_eq!((sent[3].header("x-api-key"), sent[3].header("authorization")), (vec![CREDENTIAL], vec![]));
}

#[tokio::test]
async fn the_path_of_a_base_url_is_kept() {
    let stub = Stub::start().await;
    for suffix in ["/api", "/api/", "/a/b//"] {
        stub.answer_all(Answer::json(200, &Vendor::Spartera.success(Operation::Get)));
        let base_url = format!("{}{suffix}", stub.base_url());
        let builder = Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(base_url);
        builder.build().unwrap().get(&id("7")).await.unwrap();
        let path = suffix.trim_end_matches('/');
        assert_eq!(stub.requests()[0].target, format!("{path}/companies/acme/api-keys/7"));
    }
}

#[tokio::test]
async fn a_relative_expiry_starts_when_the_request_is_sent() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let new = NewKey::new("ci").role("3").expires_in(TimeDelta::days(90));
        let before = Utc::now();
        fixture.answer_as_documented(Operation::Create);
        let _ = fixture.provider.create(&new).await.unwrap();
        let after = Utc::now();
        let field = if vendor == Vendor::Spartera { "expiration_date_utc" } else { "expiration_time" };
        let sent = fixture.stub.requests()[0].json();
        let expiry = time(sent[field].as_str().unwrap());
        // The time may be rounded down to whole seconds, but never up.
        let earliest = before + TimeDelta::days(90) - TimeDelta::seconds(1);
        assert!((earliest..=after + TimeDelta::days(90)).contains(&expiry), "{vendor:?} {expiry}");
    }
}

/// A server may close an idle connection at any time. HTTP clients then like to send the request again, but here they
/// must not: the server read the request before it closed the connection.
#[tokio::test]
async fn nothing_is_sent_twice_when_the_connection_breaks() {
    for vendor in Vendor::ALL {
        for &operation in vendor.operations() {
            for broken in [Answer::hang_up(), Answer::reset()] {
                for reused in [false, true] {
                    let context = format!("{vendor:?} {operation} {broken:?}, connection reused: {reused}");
                    let fixture = Fixture::start(vendor).await;
                    let (mut is_warm, answer) = (!reused, broken.clone());
                    fixture.stub.answer_with(move |_| {
                        if std::mem::replace(&mut is_warm, true) {
                            answer.clone()
                        } else {
                            Answer::json(200, &vendor.success_for(Operation::Get, &id("8"))).stay_open()
                        }
                    });
                    if reused {
                        fixture.provider.get(&id("8")).await.unwrap();
                    }
                    let result: Result<String> = perform(&*fixture.provider, operation).await;
                    assert!(result.is_err(), "{context}: {result:?}");
                    assert_eq!(fixture.stub.requests().len(), 1 + usize::from(reused), "{context}");
                }
            }
        }
    }
}
