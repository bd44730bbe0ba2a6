//! The one hook around every request.

use progenitor_client::{ClientInfo, OperationInfo};
use reqwest::{Request, Response};

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

    /// Sends the request.
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

    async fn exec(&self, request: Request, _: &OperationInfo) -> reqwest::Result<Response> {
        let transport = self.inner();
        let mut response = transport.http().execute(request).await?;
        transport.credential().scrub_headers(response.headers_mut());
        response.extensions_mut().insert(ReadLimits::of(transport));
        Ok(response)
    }

    async fn post<E>(&self, _: &reqwest::Result<Response>, _: &OperationInfo) -> Result<(), Error<E>> {
        Ok(())
    }
}
