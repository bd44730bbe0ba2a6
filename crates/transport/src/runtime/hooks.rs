//! The hooks that run around every request.

use progenitor_client::{ClientInfo, OperationInfo};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use reqwest::{Request, Response};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::body::ReadLimits;
use super::error::Error;
use crate::Transport;

/// Adds the credential to every request and sets the read limits of every answer.
///
/// This module implements the trait for every generated client.
#[allow(async_fn_in_trait)] // Only generated code calls these, and it knows the future's type.
pub trait ClientHooks<Inner = ()>: ClientInfo<Inner> {
    /// Sets the credential header, and asks for an answer without a content encoding.
    ///
    /// # Errors
    ///
    /// Never fails. Generated code expects a `Result`.
    async fn pre<E>(&self, request: &mut Request, operation: &OperationInfo) -> Result<(), Error<E>>;

    /// Sends the request inside a span of its own.
    ///
    /// The span has the fields of OpenTelemetry's conventions for HTTP clients. It leaves out the path, which holds
    /// ids: a caller may have passed a secret as an id by mistake.
    ///
    /// # Errors
    ///
    /// Returns an error if no status and headers arrive.
    async fn exec(&self, request: Request, operation: &OperationInfo) -> reqwest::Result<Response>;

    /// Does nothing. The runtime handles an answer when it reads the body.
    ///
    /// # Errors
    ///
    /// Never fails. Generated code expects a `Result`.
    async fn post<E>(&self, result: &reqwest::Result<Response>, operation: &OperationInfo) -> Result<(), Error<E>>;
}

impl<C: ClientInfo<Transport>> ClientHooks<Transport> for C {
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        let headers = request.headers_mut();
        // This client decodes no content encoding: a body that cannot be read could not be searched for a secret.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.inner().credential().apply(headers);
        Ok(())
    }

    async fn exec(&self, request: Request, operation: &OperationInfo) -> reqwest::Result<Response> {
        let transport = self.inner();
        let span = tracing::info_span!(
            "http.request",
            otel.name = request.method().as_str(),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = request.method().as_str(),
            http.response.status_code = Empty,
            server.address = request.url().host_str(),
            server.port = request.url().port_or_known_default(),
            url.scheme = request.url().scheme(),
            api_keyring.operation_id = operation.operation_id,
            error.r#type = Empty,
        );
        let sent = transport.http().execute(request).instrument(span.clone()).await;
        let mut response = sent.inspect_err(|error| {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", if error.is_timeout() { "timeout" } else { "connection" });
        })?;
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        if status.is_client_error() || status.is_server_error() {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", status.as_str());
        }
        transport.credential().redact_in_headers(response.headers_mut());
        response.extensions_mut().insert(ReadLimits::from(transport));
        Ok(response)
    }

    async fn post<E>(&self, _: &reqwest::Result<Response>, _: &OperationInfo) -> Result<(), Error<E>> {
        Ok(())
    }
}
