//! A layer that reports every call to `tracing`.

use async_trait::async_trait;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{CallInfo, Layer, SendCall};
use crate::Result;

/// Opens a `tracing` span named `api_keyring` for every call. The span records the call and its result.
///
/// Put it around a [`Retry`](crate::Retry) for one span per operation, and inside for one span per attempt. Each HTTP
/// request has its own span `http.request`, even without this layer. Its fields follow OpenTelemetry's conventions for
/// HTTP clients. No span holds a secret or a body.
///
/// | field | value |
/// |---|---|
/// | `otel.name` | the operation, such as `create` |
/// | `api_keyring.provider`, `api_keyring.vendor` | the provider's name and the vendor's name |
/// | `api_keyring.key` | the key's id, if the operation is about an existing key |
/// | `otel.status_code` | `OK` or `ERROR` |
/// | `error.type` | the [kind](crate::ErrorKind) of the failure |
/// | `api_keyring.outcome` | its [outcome](crate::Outcome) |
/// | `api_keyring.attempts` | the number of attempts |
/// | `http.response.status_code` | the vendor's status, if the vendor answered |
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace(());

impl Trace {
    /// Creates the layer.
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
