//! The spans of calls and requests: their fields, which hold no secret.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use api_keyring::{ListKeys, Monad, NewKey, Provider, ProviderExt, Retry};
use api_keyring_emulator::{Emulator, Fault};
use chrono::TimeDelta;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span, or an event without a number: its name, its parent's number, and its fields.
#[derive(Clone, Debug, Default)]
struct Recorded {
    number: u64,
    name: &'static str,
    parent: u64,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Records all spans and events of this crate and the crates below it.
#[derive(Clone, Default)]
struct Recorder {
    recorded: Arc<Mutex<Vec<Recorded>>>,
    entered: Arc<Mutex<Vec<u64>>>,
    last: Arc<AtomicU64>,
}

impl Recorder {
    fn named(&self, name: &str) -> Vec<Recorded> {
        self.recorded.lock().unwrap().iter().filter(|recorded| recorded.name == name).cloned().collect()
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("api_keyring")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let parent = self.entered.lock().unwrap().last().copied().unwrap_or(0);
        let mut recorded = Recorded { number, name: attributes.metadata().name(), parent, ..Recorded::default() };
        attributes.record(&mut recorded);
        self.recorded.lock().unwrap().push(recorded);
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut recorded = self.recorded.lock().unwrap();
        values.record(recorded.iter_mut().find(|recorded| recorded.number == span.into_u64()).unwrap());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut recorded = Recorded { name: "event", ..Recorded::default() };
        event.record(&mut recorded);
        self.recorded.lock().unwrap().push(recorded);
    }

    fn enter(&self, span: &Id) {
        self.entered.lock().unwrap().push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        let mut entered = self.entered.lock().unwrap();
        let position = entered.iter().rposition(|number| *number == span.into_u64()).unwrap();
        entered.remove(position);
    }
}

#[tokio::test]
async fn calls_attempts_and_requests_have_spans_without_a_secret() {
    let recorder = Recorder::default();
    let _guard = tracing::subscriber::set_default(recorder.clone());
    let faults = ["list:status=503,retry-after=0:1", "delete:status=403:1@2"];
    let builder =
        faults.iter().fold(Emulator::builder(), |builder, fault| builder.fault(fault.parse::<Fault>().unwrap()));
    let emulator = builder.start().await.unwrap();
    let service = emulator.monad();
    let monad = Monad::builder().organization_id(service.organization_id()).bearer(service.admin_key());
    let monad = monad.base_url(service.base_url()).build().unwrap();
    let monad = monad.traced().retrying(Retry::new().first_backoff(std::time::Duration::ZERO)).traced();

    let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(1));
    let issued = monad.create(&new).await.unwrap();
    monad.list_all(ListKeys::new()).await.unwrap();
    monad.delete(issued.id()).await.unwrap();
    monad.delete(issued.id()).await.unwrap_err();

    let calls = recorder.named("api_keyring");
    let operations: Vec<_> = calls.iter().map(|call| (call.fields["otel.name"].as_str(), call.parent == 0)).collect();
    // Each operation has a span, with one child for each attempt.
    let expected = [
        ("create", true),
        ("create", false),
        ("list", true),
        ("list", false),
        ("list", false),
        ("delete", true),
        ("delete", false),
        ("delete", true),
        ("delete", false),
    ];
    assert_eq!(operations, expected);
    let attempts: Vec<_> = calls.iter().map(|call| call.fields["otel.status_code"].as_str()).collect();
    assert_eq!(attempts, ["OK", "OK", "OK", "ERROR", "OK", "OK", "OK", "ERROR", "ERROR"]);
    let failed = &calls[3].fields;
    assert_eq!(failed["error.type"], "server");
    assert_eq!(failed["http.response.status_code"], "503");
    assert_eq!(failed["api_keyring.outcome"], "unknown");
    assert_eq!(failed["api_keyring.vendor"], "monad");
    let deleted = &calls[5].fields;
    assert_eq!(deleted["api_keyring.key"], issued.id().as_str());

    let requests = recorder.named("http.request");
    let method_and_status = |request: &Recorded| {
        let field = |name| request.fields[name].clone();
        (field("http.request.method"), field("http.response.status_code"))
    };
    let expected = [("POST", "200"), ("GET", "503"), ("GET", "200"), ("DELETE", "200"), ("DELETE", "403")];
    assert_eq!(
        requests.iter().map(method_and_status).collect::<Vec<_>>(),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    for request in &requests {
        assert_eq!(request.fields["server.address"], "127.0.0.1");
        assert_eq!(request.fields["server.port"], emulator.address().port().to_string());
        assert_eq!(request.fields["otel.kind"], "client");
        let around = calls.iter().find(|call| call.number == request.parent).unwrap();
        assert_ne!(around.parent, 0, "the parent is the attempt, not the operation");
    }
    let retries = recorder.named("event");
    assert_eq!(retries.len(), 1, "{retries:?}");
    assert_eq!(retries[0].fields["message"], "retrying");

    let everything = format!("{:?}", recorder.recorded.lock().unwrap());
    for secret in [service.admin_key(), issued.secret().expose().to_owned()] {
        assert!(!everything.contains(&secret), "a span holds a secret");
    }
}
