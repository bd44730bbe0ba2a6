//! The one hook around every request.

use progenitor_client::{ClientInfo, OperationInfo};
use reqwest::{Request, Response};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::body::ReadLimits;
use super::error::Error;
use crate::Transport;

/// What happens around a request: the credential goes in, and the answer is bound to its limits.
///
/// Implemented for every generated client, and for nothing else.
#[allow(async_fn_in_trait)] // Called by generated code alone, where the future's type is known.
pub trait ClientHooks<Inner = ()>: ClientInfo<Inner> {
    /// Sets the credential header, and drops the `api-version` header, which the generator adds and no vendor knows.
    ///
    /// # Errors
    ///
    /// None, but the generated code expects to be told.
    async fn pre<E>(&self, request: &mut Request, operation: &OperationInfo) -> Result<(), Error<E>>;

    /// Sends the request, in a span of its own that has the fields of OpenTelemetry's conventions for HTTP clients. The
    /// path is not among them: it holds ids, and whatever a caller took for one.
    ///
    /// # Errors
    ///
    /// When no answer's head arrives.
    async fn exec(&self, request: Request, operation: &OperationInfo) -> reqwest::Result<Response>;

    /// Does nothing: what there is to do with an answer is done when its body is read.
    ///
    /// # Errors
    ///
    /// None.
    async fn post<E>(&self, result: &reqwest::Result<Response>, operation: &OperationInfo) -> Result<(), Error<E>>;
}

impl<C: ClientInfo<Transport>> ClientHooks<Transport> for C {
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        let headers = request.headers_mut();
        headers.remove("api-version");
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
