//! What every vendor of API keys has in common.

pub(crate) mod extension;
pub(crate) mod keyring;

use std::fmt;
use std::sync::Arc;

use api_keyring_transport::Secret;
use async_trait::async_trait;

use crate::{
    ApiKey, Capabilities, IssuedKey, KeyId, KeyStats, KeyUpdate, NewKey, Page, PageRequest, Paging, Regeneration,
    Result, Revocation,
};

/// A vendor's keys within one scope (a company, an organization), reached with one credential.
///
/// One method an operation, and no default bodies: a wrapper that forgets one does not compile. What can be made of them
/// is in [`ProviderExt`](crate::ProviderExt), lists as streams among it. Whether an operation is offered,
/// [`capabilities`](Self::capabilities) tells beforehand; one that is not fails with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and sends nothing.
///
/// To write one for another vendor, start with the example `own_provider` and the conformance suite; both the trait and its
/// implementations bear [`async_trait`](https://docs.rs/async-trait). A provider refuses what its capabilities do not
/// offer by [`Capabilities::require`], what no vendor takes by [`NewKey::check`] and [`KeyUpdate::check`], and gives its errors
/// its name by [`Error::under`](crate::Error::under).
///
/// Pointers to a provider are providers: `&dyn Provider`, `Box<dyn Provider>`, `Arc<dyn Provider>`.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// What the keys and errors of this provider are under: the vendor's name, or the one that a
    /// [`Keyring`](crate::Keyring) has for it.
    fn name(&self) -> &str;

    /// The vendor's name in lower case, such as `spartera`.
    fn vendor(&self) -> &'static str;

    /// What the keys act for: the company's or organization's id.
    fn scope(&self) -> &str;

    /// What the vendor offers.
    fn capabilities(&self) -> Capabilities;

    /// How the vendor's list is cut into pages.
    fn paging(&self) -> Paging;

    /// The same keys, reached with another secret: to see whether a new key works, say. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the secret cannot be sent in a header.
    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>>;

    /// Reads one page of the list. [`ProviderExt::list`](crate::ProviderExt::list) makes a list of the pages.
    ///
    /// # Errors
    ///
    /// Those of every call. A row that is no key is an error within the page.
    async fn list_page(&self, request: &PageRequest) -> Result<Page>;

    /// Reads one key.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// let key = provider.get(id).await?;
    /// println!("{:?} is {}, and expires {:?}", key.name(), key.status(), key.expires_at());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such key, and those of every call.
    async fn get(&self, id: &KeyId) -> Result<ApiKey>;

    /// Issues a key. **The secret is in the answer and nowhere else.**
    ///
    /// The call is sent once and never repeated. When its [`outcome`](crate::Error::outcome) is `Unknown`, a key may exist
    /// whose secret nobody holds.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// use api_keyring::NewKey;
    /// use chrono::TimeDelta;
    ///
    /// let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(90));
    /// let issued = provider.create(&new).await?;
    /// std::fs::write("ci.key", issued.secret().expose())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` and `Unsupported` before anything is sent; `MissingSecret`, with the new key's id, when the answer
    /// holds no secret; `UnexpectedAnswer` when it cannot be read, in which case
    /// [`unclaimed_secret`](crate::Error::unclaimed_secret) hands over what arrived; and those of every call.
    async fn create(&self, new: &NewKey) -> Result<IssuedKey>;

    /// Changes a key's metadata. Returns the key after the change where the vendor answers with it.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// use api_keyring::KeyUpdate;
    ///
    /// provider.update(id, &KeyUpdate::new().name("ci, builds")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` and `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>>;

    /// Replaces a key's secret in place. **The old one dies at once, and the new one is in the answer and nowhere else.**
    ///
    /// The call is sent once and never repeated. The key's id may change.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// use api_keyring::{Expiry, Regeneration};
    /// use chrono::TimeDelta;
    ///
    /// let how = Regeneration::new().expiry(Expiry::In(TimeDelta::days(90)));
    /// let issued = provider.regenerate(id, &how).await?;
    /// std::fs::write("ci.key", issued.secret().expose())?;
    /// println!("the key is {} from now on", issued.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and `NotFound`.
    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey>;

    /// Makes a key's secret useless, and has the vendor keep a record of why.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// use api_keyring::{Capability, Revocation};
    ///
    /// let can_revoke = provider.capabilities().support(Capability::Revoke).is_supported();
    /// if can_revoke {
    ///     provider.revoke(id, &Revocation::new().reason("a laptop was lost")).await?;
    /// } else {
    ///     provider.delete(id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()>;

    /// Deletes a key. Its secret stops working.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// match provider.delete(id).await {
    ///     Err(error) if error.is_not_found() => println!("it was gone before"),
    ///     deleted => deleted?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound`, and those of every call.
    async fn delete(&self, id: &KeyId) -> Result<()>;

    /// Reads how a key is used.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// let stats = provider.stats(id).await?;
    /// println!("used {:?} times, last {:?}", stats.usage_count, stats.last_used_at);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn stats(&self, id: &KeyId) -> Result<KeyStats>;
}

/// A pointer to a provider is one: every method is that of the provider behind it.
macro_rules! behind_pointer {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        impl<P: Provider + ?Sized> Provider for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn vendor(&self) -> &'static str {
                (**self).vendor()
            }

            fn scope(&self) -> &str {
                (**self).scope()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            fn paging(&self) -> Paging {
                (**self).paging()
            }

            fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>> {
                (**self).with_secret(secret)
            }

            async fn list_page(&self, request: &PageRequest) -> Result<Page> {
                (**self).list_page(request).await
            }

            async fn get(&self, id: &KeyId) -> Result<ApiKey> {
                (**self).get(id).await
            }

            async fn create(&self, new: &NewKey) -> Result<IssuedKey> {
                (**self).create(new).await
            }

            async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>> {
                (**self).update(id, update).await
            }

            async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey> {
                (**self).regenerate(id, how).await
            }

            async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()> {
                (**self).revoke(id, how).await
            }

            async fn delete(&self, id: &KeyId) -> Result<()> {
                (**self).delete(id).await
            }

            async fn stats(&self, id: &KeyId) -> Result<KeyStats> {
                (**self).stats(id).await
            }
        }
    )*};
}

behind_pointer!(&P, Box<P>, Arc<P>);
