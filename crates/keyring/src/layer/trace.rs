//! Telling `tracing` of every call.

use async_trait::async_trait;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{CallInfo, Layer, SendCall};
use crate::Result;

/// Has every call in a `tracing` span named `api_keyring`, with what it is about and how it ended.
///
/// Around a [`Retry`](crate::Retry) there is one span an operation, and below it one an attempt. Each request to the vendor
/// has one of its own in any case, `http.request`, with the fields of OpenTelemetry's conventions for HTTP clients. No
/// secret is in any of them, and no body.
///
/// | field | |
/// |---|---|
/// | `otel.name` | the operation, such as `create` |
/// | `api_keyring.provider`, `api_keyring.vendor` | the provider's name, and the vendor's |
/// | `api_keyring.key` | the key's id, where there is one |
/// | `otel.status_code` | `OK` or `ERROR` |
/// | `error.type` | the [kind](crate::ErrorKind) of the failure |
/// | `api_keyring.outcome` | its [outcome](crate::Outcome) |
/// | `api_keyring.attempts` | how many attempts there were |
/// | `http.response.status_code` | the vendor's status, if it answered |
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace(());

impl Trace {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Layer for Trace {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let span = tracing::info_span!(
            "api_keyring",
            otel.name = call.operation.name(),
            otel.status_code = Empty,
            api_keyring.provider = call.provider,
            api_keyring.vendor = call.vendor,
            api_keyring.key = call.key.map(tracing::field::display),
            api_keyring.outcome = Empty,
            api_keyring.attempts = Empty,
            error.r#type = Empty,
            http.response.status_code = Empty,
        );
        let result = send().instrument(span.clone()).await;
        record(&span, &result);
        result
    }
}

fn record<T>(span: &Span, result: &Result<T>) {
    let Err(error) = result else {
        span.record("otel.status_code", "OK");
        return;
    };
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind().name());
    span.record("api_keyring.outcome", error.outcome().name());
    span.record("api_keyring.attempts", error.attempts());
    if let Some(status) = error.status() {
        span.record("http.response.status_code", status);
    }
}
