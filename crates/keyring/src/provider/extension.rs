//! Operations that work with every provider: lists, lookups and layers.

use std::pin::Pin;

use api_keyring_transport::Secret;
use async_trait::async_trait;
use futures_util::{Stream, TryStreamExt};

use crate::layer::{Layer, Layered};
use crate::list::{query, stream};
use crate::model::identity;
use crate::provider::ending;
use crate::{
    Acceptance, ApiKey, Capability, Ended, Inject, KeyId, ListKeys, Mark, OwnCredential, Provider, Result, Retry,
    Revocation, SecretProbe, Support, Throttle, Trace,
};

/// A stream of keys. An error in it is either one malformed key, or the last item of a list that could not be read to
/// its end.
pub type KeyStream<'a> = Pin<Box<dyn Stream<Item = Result<ApiKey>> + Send + 'a>>;

/// Methods that every [`Provider`] has: lists, lookups, and layers around it.
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
    /// Lists keys. The stream requests pages as you read it, and several at once if the vendor reports a total. It
    /// yields each key once, even if pages repeat it.
    ///
    /// The stream yields every key that exists for as long as the listing takes, even if other keys come and go
    /// meanwhile. To ensure this, it requests pages that overlap. If two pages do not overlap, the stream reads again
    /// from further back. Unless it sorts the keys, its memory does not grow with the list. It cannot detect three
    /// cases:
    ///
    /// - a server that ignores the requested page length or order,
    /// - an empty first page from a vendor that reports no total,
    /// - a key that the vendor repeats more than four pages later.
    ///
    /// # Errors
    ///
    /// The stream yields errors as items. A malformed row becomes an error, and the stream continues. If the list
    /// cannot be read to its end, or ends before its total, the last item is an error.
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

    /// Returns the selected keys in one vector.
    ///
    /// # Errors
    ///
    /// The first error of [`list`](Self::list). The keys read so far are lost.
    async fn list_all(&self, which: ListKeys) -> Result<Vec<ApiKey>> {
        self.list(which).try_collect().await
    }

    /// Returns the keys with exactly this name. Names need not be unique.
    ///
    /// # Errors
    ///
    /// The first error of [`list`](Self::list).
    async fn find_by_name(&self, name: &str) -> Result<Vec<ApiKey>> {
        let named = |key: &ApiKey| std::future::ready(key.name() == Some(name));
        self.list(ListKeys::new()).try_filter(named).try_collect().await
    }

    /// Returns the keys that carry this mark. They show what became of a create whose answer was lost.
    ///
    /// An empty result does not prove that the create failed: a vendor's list may lag behind its writes. Check again
    /// later.
    ///
    /// # Errors
    ///
    /// The first error of [`list`](Self::list).
    async fn resolve(&self, mark: &Mark) -> Result<Vec<ApiKey>> {
        let mut found = Vec::new();
        let mut keys = self.list(ListKeys::new());
        while let Some(key) = keys.try_next().await? {
            found.extend(Some(self.with_readable_name(key).await?).filter(|key| mark.is_on(key)));
        }
        Ok(found)
    }

    /// Returns a key of a list. If the list shows its name in a form that cannot be read, this reads the key alone, so
    /// that an odd row does not hide the key's [`Mark`].
    ///
    /// # Errors
    ///
    /// The errors of [`get`](Provider::get) except `NotFound`.
    async fn with_readable_name(&self, key: ApiKey) -> Result<ApiKey> {
        if !key.unreadable_fields().contains(&"name") {
            return Ok(key);
        }
        match self.get(key.id()).await {
            Err(error) if error.is_not_found() => Ok(key),
            read => read,
        }
    }

    /// Finds a key. Returns `None` if the vendor answered two reads with its own 404.
    ///
    /// If a 404 has another form than the vendor documents, it may come from a gateway. The whole list then decides:
    /// returns `None` if the list does not hold the key.
    ///
    /// # Errors
    ///
    /// The errors of [`get`](Provider::get) except `NotFound`, and the first error of [`list`](Self::list).
    async fn find(&self, id: &KeyId) -> Result<Option<ApiKey>> {
        ending::find(self, id).await
    }

    /// Returns whether the key exists.
    ///
    /// # Errors
    ///
    /// The errors of [`find`](Self::find).
    async fn exists(&self, id: &KeyId) -> Result<bool> {
        Ok(self.find(id).await?.is_some())
    }

    /// Deletes a key, and looks whether it is gone.
    ///
    /// If an answer is lost or unclear, this looks at the key, and repeats the delete only if the same key is still
    /// there: `key` is the key as you read it before, and the vendor may have given its id to another key since. `retry`
    /// limits the attempts and the time.
    ///
    /// # Errors
    ///
    /// `NotFound` is not among them: the key is then [gone](Ended::Gone). Otherwise the errors of
    /// [`delete`](Provider::delete), and those of the look if it fails. The
    /// [outcome](crate::Error::outcome) is `Unknown` if the key may be gone.
    async fn delete_and_confirm(&self, key: &ApiKey, retry: &Retry) -> Result<Ended> {
        ending::end(self, key, ending::Request::Delete, retry).await
    }

    /// Revokes a key, and looks whether it still works. See [`delete_and_confirm`](Self::delete_and_confirm).
    ///
    /// # Errors
    ///
    /// Those of [`delete_and_confirm`](Self::delete_and_confirm), for [`revoke`](Provider::revoke).
    async fn revoke_and_confirm(&self, key: &ApiKey, how: &Revocation, retry: &Retry) -> Result<Ended> {
        ending::end(self, key, ending::Request::Revoke(how), retry).await
    }

    /// Returns whether the vendor accepts a secret, and what its answer proves. [`SecretProbe`] does the same for many
    /// secrets.
    ///
    /// Shortly after a change, a vendor may still reject a new secret, or still accept one that should no longer work.
    ///
    /// # Errors
    ///
    /// Those of [`SecretProbe::accepts`].
    async fn accepts(&self, secret: &Secret) -> Result<Acceptance> {
        SecretProbe::new().accepts(self, secret).await
    }

    /// Returns whether the provider authenticates with `key`. `own` is the provider's own secret, if you know it.
    ///
    /// The vendor decides if it [can](Provider::whoami). Otherwise `own` is compared with the masked secret on the key,
    /// or, if it is a JWT, its claims are searched for the key's id.
    ///
    /// # Errors
    ///
    /// The errors of [`whoami`](Provider::whoami).
    async fn is_own_credential(&self, key: &ApiKey, own: Option<&Secret>) -> Result<OwnCredential> {
        if self.capabilities().support(Capability::Whoami).is_supported() {
            return Ok(Some(self.whoami().await? == *key.id()).into());
        }
        let Some(own) = own else { return Ok(OwnCredential::Unknown) };
        let shown = key.shows_secret(own);
        Ok(shown.or_else(|| identity::jwt_names(own, key.id()).then_some(true)).into())
    }

    /// Puts a layer around the provider.
    fn layered<L: Layer>(self, layer: L) -> Layered<L, Self>
    where
        Self: Sized,
    {
        Layered::new(layer, self)
    }

    /// Repeats failed calls that are safe to repeat; see [`Retry`].
    fn retrying(self, retry: Retry) -> Layered<Retry, Self>
    where
        Self: Sized,
    {
        self.layered(retry)
    }

    /// Opens a span for every call; see [`Trace`].
    fn traced(self) -> Layered<Trace, Self>
    where
        Self: Sized,
    {
        self.layered(Trace::new())
    }

    /// Limits the rate of calls; see [`Throttle`].
    fn throttled(self, throttle: Throttle) -> Layered<Throttle, Self>
    where
        Self: Sized,
    {
        self.layered(throttle)
    }

    /// Makes calls fail, for tests; see [`Inject`].
    fn failing(self, inject: Inject) -> Layered<Inject, Self>
    where
        Self: Sized,
    {
        self.layered(inject)
    }
}

impl<P: Provider + ?Sized> ProviderExt for P {}
