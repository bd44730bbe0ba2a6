//! Layers: code around every call to a provider.

pub(crate) mod inject;
pub(crate) mod retry;
pub(crate) mod throttle;
pub(crate) mod trace;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use api_keyring_transport::Secret;
use async_trait::async_trait;

use crate::{
    ApiKey, Capabilities, IssuedKey, KeyId, KeyStats, KeyUpdate, NewKey, Operation, Page, PageRequest, Paging,
    Provider, Regeneration, Result, Revocation,
};

/// The future of a call.
pub type CallFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Sends the call to the inner provider. Every use sends it again.
pub type SendCall<'a, T> = dyn Fn() -> CallFuture<'a, T> + Send + Sync + 'a;

/// What a layer knows about a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallInfo<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The vendor's name.
    pub vendor: &'static str,
    /// The operation. A list makes one call for each page.
    pub operation: Operation,
    /// The existing key that the operation is about, if any.
    pub key: Option<&'a KeyId>,
}

/// Runs code before, after or instead of every call to a provider.
///
/// You write it once for all operations; [`Layered`] applies it to each of them.
///
/// ```
/// use api_keyring::{CallInfo, Layer, Result, SendCall};
///
/// /// Prints every call.
/// #[derive(Clone, Debug)]
/// struct Print;
///
/// #[async_trait::async_trait]
/// impl Layer for Print {
///     async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
///         println!("{} {}", call.provider, call.operation);
///         send().await
///     }
/// }
/// ```
#[async_trait]
pub trait Layer: Clone + fmt::Debug + Send + Sync + 'static {
    /// Handles one call. It may send the call with `send`, any number of times, and returns the answer.
    ///
    /// # Errors
    ///
    /// The errors of the call, and the layer's own.
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T>;
}

/// A provider with a [`Layer`] around every call.
#[derive(Clone, Debug)]
pub struct Layered<L, P> {
    layer: L,
    inner: P,
}

impl<L: Layer, P: Provider> Layered<L, P> {
    /// Puts a layer around a provider, like [`ProviderExt::layered`](crate::ProviderExt::layered).
    pub fn new(layer: L, inner: P) -> Self {
        Self { layer, inner }
    }

    /// Returns the layer.
    pub fn layer(&self) -> &L {
        &self.layer
    }

    /// Returns the inner provider.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    fn call_info<'a>(&'a self, operation: Operation, key: Option<&'a KeyId>) -> CallInfo<'a> {
        CallInfo { provider: self.inner.name(), vendor: self.inner.vendor(), operation, key }
    }
}

#[async_trait]
impl<L: Layer, P: Provider> Provider for Layered<L, P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn vendor(&self) -> &'static str {
        self.inner.vendor()
    }

    fn scope(&self) -> &str {
        self.inner.scope()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn paging(&self) -> Paging {
        self.inner.paging()
    }

    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(Layered { layer: self.layer.clone(), inner: self.inner.with_secret(secret)? }))
    }

    async fn list_page(&self, request: &PageRequest) -> Result<Page> {
        self.layer.around(self.call_info(Operation::List, None), &|| self.inner.list_page(request)).await
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        self.layer.around(self.call_info(Operation::Get, Some(id)), &|| self.inner.get(id)).await
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        self.layer.around(self.call_info(Operation::Create, None), &|| self.inner.create(new)).await
    }

    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
        self.layer.around(self.call_info(Operation::Update, Some(id)), &|| self.inner.update(id, update)).await
    }

    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey> {
        self.layer.around(self.call_info(Operation::Regenerate, Some(id)), &|| self.inner.regenerate(id, how)).await
    }

    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()> {
        self.layer.around(self.call_info(Operation::Revoke, Some(id)), &|| self.inner.revoke(id, how)).await
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        self.layer.around(self.call_info(Operation::Delete, Some(id)), &|| self.inner.delete(id)).await
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        self.layer.around(self.call_info(Operation::Stats, Some(id)), &|| self.inner.stats(id)).await
    }

    async fn whoami(&self) -> Result<KeyId> {
        self.layer.around(self.call_info(Operation::Whoami, None), &|| self.inner.whoami()).await
    }
}
