//! What can be made of a provider's operations.

use std::pin::Pin;

use api_keyring_transport::Secret;
use async_trait::async_trait;
use futures_util::{Stream, TryStreamExt};

use crate::layer::{Layer, Layered};
use crate::list::{query, stream};
use crate::{
    ApiKey, Capability, ErrorKind, Inject, KeyId, ListKeys, Mark, PageRequest, Provider, Result, Retry, Support,
    Throttle, Trace,
};

/// Keys as they arrive. An item that is an error is one odd key, or the end of a list that could not be read further.
pub type KeyStream<'a> = Pin<Box<dyn Stream<Item = Result<ApiKey>> + Send + 'a>>;

/// What can be made of the operations of every [`Provider`]: lists, lookups, and layers around it.
///
/// ```
/// # #[cfg(feature = "monad")]
/// # fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{Monad, ProviderExt, Retry};
///
/// let monad = Monad::builder().organization_id("acme").bearer("eyJ…").build()?.retrying(Retry::new());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ProviderExt: Provider {
    /// Lists keys, page by page as they are asked for; where the vendor tells how many there are, some pages are asked for
    /// side by side. Each key comes once, whatever the pages repeat.
    ///
    /// A key that is there from the beginning of the list to its end is in it, even where other keys come and go
    /// meanwhile: pages overlap, and where they do not fit the list is read again from further back. What is remembered
    /// for that does not grow with the list. Three things cannot be noticed: a server that sends pages of a length or an
    /// order of its own; a first page that is empty where the vendor tells no total; a key that comes again more than four
    /// pages later.
    ///
    /// # Errors
    ///
    /// As items: an odd row is one, and a list that cannot be read further, or ends before its total, ends with one.
    fn list(&self, which: ListKeys) -> KeyStream<'_> {
        let all = stream::stream(self, &which);
        let found = match &which.search {
            Some(text) if self.capabilities().support(Capability::Search) != Support::Native => {
                query::filter_by_text(all, text)
            }
            _ => all,
        };
        which.apply(found)
    }

    /// All keys at once.
    ///
    /// # Errors
    ///
    /// The first of [`list`](Self::list); the keys are lost with it.
    async fn list_all(&self, which: ListKeys) -> Result<Vec<ApiKey>> {
        self.list(which).try_collect().await
    }

    /// The keys that have exactly this name: names need not be unique.
    ///
    /// # Errors
    ///
    /// The first of [`list`](Self::list).
    async fn find_by_name(&self, name: &str) -> Result<Vec<ApiKey>> {
        let named = |key: &ApiKey| std::future::ready(key.name() == Some(name));
        self.list(ListKeys::new()).try_filter(named).try_collect().await
    }

    /// The keys that carry this mark: what has become of a create whose answer was lost.
    ///
    /// None is no proof that there will be none, where a vendor's list lags behind its writes: ask again after a while.
    ///
    /// # Errors
    ///
    /// The first of [`list`](Self::list).
    async fn resolve(&self, mark: &Mark) -> Result<Vec<ApiKey>> {
        let marked = |key: &ApiKey| std::future::ready(mark.is_on(key));
        self.list(ListKeys::new()).try_filter(marked).try_collect().await
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Provider::get) but `NotFound`.
    async fn exists(&self, id: &KeyId) -> Result<bool> {
        match self.get(id).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a secret works, by asking for a page of one key with it. A secret that may not list keys works, too: the
    /// vendor knows whose it is.
    ///
    /// A new secret may be refused for a moment, and an ended one may work for a moment.
    ///
    /// # Errors
    ///
    /// Those of every call but `Unauthenticated` and `PermissionDenied`, and `InvalidInput` when the secret cannot be sent
    /// in a header.
    async fn accepts(&self, secret: &Secret) -> Result<bool> {
        match self.with_secret(secret)?.list_page(&PageRequest::first(1)).await {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::PermissionDenied => Ok(true),
                ErrorKind::Unauthenticated => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Puts a layer around the provider.
    fn layered<L: Layer>(self, layer: L) -> Layered<L, Self>
    where
        Self: Sized,
    {
        Layered::new(layer, self)
    }

    /// Has calls tried again that may be; see [`Retry`].
    fn retrying(self, retry: Retry) -> Layered<Retry, Self>
    where
        Self: Sized,
    {
        self.layered(retry)
    }

    /// Has every call in a span of its own; see [`Trace`].
    fn traced(self) -> Layered<Trace, Self>
    where
        Self: Sized,
    {
        self.layered(Trace::new())
    }

    /// Has calls wait for each other; see [`Throttle`].
    fn throttled(self, throttle: Throttle) -> Layered<Throttle, Self>
    where
        Self: Sized,
    {
        self.layered(throttle)
    }

    /// Has calls fail, to test what becomes of it; see [`Inject`].
    fn failing(self, inject: Inject) -> Layered<Inject, Self>
    where
        Self: Sized,
    {
        self.layered(inject)
    }
}

impl<P: Provider + ?Sized> ProviderExt for P {}
