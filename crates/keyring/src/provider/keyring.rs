//! A keyring: several providers under names that the caller chooses.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use api_keyring_transport::Secret;
use async_trait::async_trait;
use futures_util::stream::{self, Stream, StreamExt};

use crate::model::key_ref::check_provider_name;
use crate::{
    ApiKey, Capabilities, Error, ErrorKind, IssuedKey, KeyId, KeyRef, KeyStats, KeyStream, KeyUpdate, ListKeys, NewKey,
    Outcome, Page, PageRequest, Paging, Provider, ProviderExt, Regeneration, Result, Revocation, redact_secrets,
};

/// Providers by name. Every key has one full name, `PROVIDER/ID`.
///
/// A keyring is cheap to clone.
///
/// ```
/// # #[cfg(all(feature = "spartera", feature = "monad"))]
/// # fn run() -> Result<(), api_keyring::Error> {
/// use api_keyring::{Keyring, Monad, Spartera};
///
/// let keys = Keyring::builder()
///     .add("analytics", Spartera::builder().company_id("acme").api_key("sk_live_123").build()?)
///     .add("siem", Monad::builder().organization_id("acme").bearer("eyJ…").build()?)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    providers: Arc<BTreeMap<Arc<str>, NamedProvider>>,
}

impl Keyring {
    /// Starts a keyring without providers.
    pub fn builder() -> KeyringBuilder {
        KeyringBuilder { providers: Vec::new() }
    }

    /// Returns the names of all providers in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(|name| &**name)
    }

    /// Returns all providers in the alphabetical order of their names.
    pub fn providers(&self) -> impl Iterator<Item = NamedProvider> {
        self.providers.values().cloned()
    }

    /// Returns the provider with this name.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the keyring has no such provider. The error lists the names that exist.
    pub fn provider(&self, name: &str) -> Result<NamedProvider> {
        self.providers.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let advice = match known.as_slice() {
                [] => "Add providers with `KeyringBuilder::add`".to_owned(),
                names => format!("Its providers are: {}", names.join(", ")),
            };
            let problem = format!("the keyring has no provider {:?}", redact_secrets(name));
            Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem).advise(advice)
        })
    }

    /// Returns the provider of a key.
    ///
    /// # Errors
    ///
    /// The same as [`provider`](Self::provider).
    pub fn provider_of(&self, key: &KeyRef) -> Result<NamedProvider> {
        self.provider(key.provider())
    }

    /// Lists all keys of all providers. It reads the providers concurrently. If a provider fails, its error is one item
    /// of the stream, and the other providers' keys still arrive.
    ///
    /// Errors and order are as in [`ProviderExt::list`]. A sorted list is sorted across all providers.
    pub fn list(&self, which: ListKeys) -> KeyStream<'_> {
        let searched = which.search_only();
        let lists = self.providers.values().map(|provider| provider.list(searched.clone()));
        which.apply(Box::pin(stream::select_all(lists)))
    }

    /// Calls `act` with every provider, at most `at_a_time` of them concurrently. Each result arrives as soon as it is
    /// ready, together with its provider. A failure does not stop the other calls.
    ///
    /// ```
    /// # async fn run(keys: api_keyring::Keyring) {
    /// use api_keyring::{ListKeys, Provider, ProviderExt};
    /// use futures_util::StreamExt;
    ///
    /// let mut counts = keys.each(4, async |provider| provider.list_all(ListKeys::new()).await.map(|keys| keys.len()));
    /// while let Some((provider, count)) = counts.next().await {
    ///     println!("{}: {count:?}", provider.name());
    /// }
    /// # }
    /// ```
    pub fn each<'a, T: 'a, F>(
        &'a self,
        at_a_time: usize,
        act: impl Fn(NamedProvider) -> F + 'a,
    ) -> impl Stream<Item = (NamedProvider, Result<T>)> + 'a
    where
        F: Future<Output = Result<T>> + 'a,
    {
        let calls = self.providers().map(move |provider| {
            let act = act(provider.clone());
            async move { (provider, act.await) }
        });
        stream::iter(calls).buffer_unordered(at_a_time.max(1))
    }
}

/// Collects the providers of a [`Keyring`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct KeyringBuilder {
    providers: Vec<(String, Arc<dyn Provider>)>,
}

impl KeyringBuilder {
    /// Adds a provider under a name: letters, digits, `-` and `_`.
    pub fn add(self, name: impl Into<String>, provider: impl Provider + 'static) -> Self {
        self.add_shared(name, Arc::new(provider))
    }

    /// Adds a provider that you also use elsewhere.
    pub fn add_shared(mut self, name: impl Into<String>, provider: Arc<dyn Provider>) -> Self {
        self.providers.push((name.into(), provider));
        self
    }

    /// Checks the names and creates the keyring.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if two providers have the same name, or a name cannot start a key's full name.
    pub fn build(self) -> Result<Keyring> {
        let mut providers = BTreeMap::new();
        for (name, provider) in self.providers {
            let refuse = |problem: String| Error::new(ErrorKind::InvalidInput, Outcome::NotSent, problem);
            check_provider_name(&name)
                .map_err(|why| refuse(format!("the provider name {:?} is invalid: {why}", redact_secrets(&name))))?;
            let named = NamedProvider { name: Arc::from(&*name), provider };
            if providers.insert(Arc::clone(&named.name), named).is_some() {
                return Err(refuse(format!("two providers have the name {name:?}")));
            }
        }
        Ok(Keyring { providers: Arc::new(providers) })
    }
}

/// A provider with its name in a [`Keyring`]. Its keys and errors carry that name. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct NamedProvider {
    name: Arc<str>,
    provider: Arc<dyn Provider>,
}

impl NamedProvider {
    fn key(&self, key: ApiKey) -> ApiKey {
        key.with_provider(&self.name)
    }

    fn issued(&self, issued: IssuedKey) -> IssuedKey {
        issued.map_key(|key| self.key(key))
    }

    fn error(&self, error: Error) -> Error {
        error.under(&self.name)
    }
}

#[async_trait]
impl Provider for NamedProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn vendor(&self) -> &'static str {
        self.provider.vendor()
    }

    fn scope(&self) -> &str {
        self.provider.scope()
    }

    fn capabilities(&self) -> Capabilities {
        self.provider.capabilities()
    }

    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
        let provider = self.provider.with_secret(secret).map_err(|error| self.error(error))?;
        Ok(Arc::new(Self { name: Arc::clone(&self.name), provider }))
    }

    fn paging(&self) -> Paging {
        self.provider.paging()
    }

    async fn list_page(&self, request: &PageRequest) -> Result<Page> {
        let mut page = self.provider.list_page(request).await.map_err(|error| self.error(error))?;
        let keys = page.keys.into_iter();
        page.keys = keys.map(|row| row.map(|key| self.key(key)).map_err(|error| self.error(error))).collect();
        page.failure = page.failure.map(|error| self.error(error));
        Ok(page)
    }

    async fn get(&self, id: &KeyId) -> Result<ApiKey> {
        self.provider.get(id).await.map(|key| self.key(key)).map_err(|error| self.error(error))
    }

    async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
        self.provider.create(new).await.map(|issued| self.issued(issued)).map_err(|error| self.error(error))
    }

    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
        let updated = self.provider.update(id, update).await.map_err(|error| self.error(error))?;
        Ok(updated.map(|key| self.key(key)))
    }

    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey> {
        self.provider.regenerate(id, how).await.map(|issued| self.issued(issued)).map_err(|error| self.error(error))
    }

    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()> {
        self.provider.revoke(id, how).await.map_err(|error| self.error(error))
    }

    async fn delete(&self, id: &KeyId) -> Result<()> {
        self.provider.delete(id).await.map_err(|error| self.error(error))
    }

    async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
        let stats = self.provider.stats(id).await.map_err(|error| self.error(error))?;
        Ok(KeyStats { key: self.key(stats.key), ..stats })
    }

    async fn whoami(&self) -> Result<KeyId> {
        self.provider.whoami().await.map_err(|error| self.error(error))
    }
}
