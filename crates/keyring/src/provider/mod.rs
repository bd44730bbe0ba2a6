//! The provider: the operations that every vendor has in common.

pub(crate) mod acceptance;
pub(crate) mod ending;
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

/// One account at a vendor, reached with one credential.
///
/// Each operation is one method without a default body, so a wrapper that forgets one does not compile.
/// [`ProviderExt`](crate::ProviderExt) adds methods that build on these, such as lists as streams.
/// [`capabilities`](Self::capabilities) says which operations the vendor offers. The others fail with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and send nothing.
///
/// To write a provider for another vendor, start with the example `own_provider` and the conformance suite. The trait
/// uses [`async_trait`](https://docs.rs/async-trait), so put that attribute on your implementation as well. Call
/// [`Capabilities::require`] to refuse what the vendor does not offer. Call [`NewKey::check`] and [`KeyUpdate::check`]
/// to refuse what no vendor accepts. Call [`Error::under`](crate::Error::under) to give errors the provider's name.
///
/// `&dyn Provider`, `Box<dyn Provider>` and `Arc<dyn Provider>` implement the trait as well.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// Returns the name that this provider's keys and errors carry: the vendor's name, or the name in a
    /// [`Keyring`](crate::Keyring).
    fn name(&self) -> &str;

    /// Returns the vendor's name in lower case, such as `spartera`.
    fn vendor(&self) -> &'static str;

    /// Returns the id of the company or organization that owns the keys.
    fn scope(&self) -> &str;

    /// Returns what the vendor offers.
    fn capabilities(&self) -> Capabilities;

    /// Returns how the vendor splits its list into pages.
    fn paging(&self) -> Paging;

    /// Returns the same provider with another secret, for example to check that a new key works. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a header cannot hold the secret.
    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>>;

    /// Reads one page of the list. [`ProviderExt::list`](crate::ProviderExt::list) turns the pages into a list.
    ///
    /// # Errors
    ///
    /// The errors that any call can return; see [`failure`](crate::failure). A malformed row is an error inside the
    /// page.
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
    /// `NotFound` if the key does not exist, and the errors that any call can return.
    async fn get(&self, id: &KeyId) -> Result<ApiKey>;

    /// Issues a key. **Only this answer holds the secret.**
    ///
    /// The provider sends the request once and never repeats it. If the error's [`outcome`](crate::Error::outcome) is
    /// `Unknown`, a key may exist whose secret nobody has.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn store(secret: &api_keyring::Secret) -> std::io::Result<()> { let _ = secret; Ok(()) }
    /// use api_keyring::NewKey;
    /// use chrono::TimeDelta;
    ///
    /// let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(90));
    /// let issued = provider.create(&new).await?;
    /// store(issued.secret()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - `InvalidInput` and `Unsupported` before anything is sent.
    /// - `MissingSecret`, with the new key's id, if the answer holds no secret.
    /// - `UnusableSecret`, with the new key's id, if no request can carry the secret.
    /// - `UnexpectedAnswer` if the answer is unreadable. [`unclaimed_secret`](crate::Error::unclaimed_secret) then
    ///   returns what arrived.
    /// - The errors that any call can return.
    async fn create(&self, new: &NewKey) -> Result<IssuedKey>;

    /// Changes a key's metadata. Returns the changed key if the vendor's answer holds it.
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
    /// `InvalidInput` and `Unsupported` before anything is sent, `NotFound`, and the errors that any call can return.
    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>>;

    /// Gives a key a new secret. **The old secret stops working at once, and only this answer holds the new one.**
    ///
    /// The provider sends the request once and never repeats it. The key's id may change.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn store(secret: &api_keyring::Secret) -> std::io::Result<()> { let _ = secret; Ok(()) }
    /// use api_keyring::{Expiry, Regeneration};
    /// use chrono::TimeDelta;
    ///
    /// let how = Regeneration::new().expiry(Expiry::In(TimeDelta::days(90)));
    /// let issued = provider.regenerate(id, &how).await?;
    /// store(issued.secret()).await?;
    /// println!("the key's id is now {}", issued.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`create`](Self::create), and `NotFound`.
    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey>;

    /// Disables a key's secret. The vendor keeps the key's record and the reason.
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
    /// `Unsupported` before anything is sent, `NotFound`, and the errors that any call can return.
    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()>;

    /// Deletes a key. Its secret stops working.
    ///
    /// One answer does not prove that the key is gone.
    /// [`delete_and_confirm`](crate::ProviderExt::delete_and_confirm) also looks at the result, and repeats a lost
    /// request safely.
    ///
    /// ```
    /// # async fn run(provider: &dyn api_keyring::Provider, id: &api_keyring::KeyId) -> Result<(), Box<dyn std::error::Error>> {
    /// match provider.delete(id).await {
    ///     Err(error) if error.may_have_taken_effect() => println!("look whether the key still exists"),
    ///     deleted => deleted?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent, `NotFound`, and the errors that any call can return.
    async fn delete(&self, id: &KeyId) -> Result<()>;

    /// Reads how often a key is used.
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
    /// `Unsupported` before anything is sent, `NotFound`, and the errors that any call can return.
    async fn stats(&self, id: &KeyId) -> Result<KeyStats>;

    /// Returns the key that this provider authenticates with. Every valid secret may ask this, whatever its key may do.
    ///
    /// With [`with_secret`](Self::with_secret), it tells whose secret that is.
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent if the vendor cannot tell, and the errors that any call can return.
    async fn whoami(&self) -> Result<KeyId>;
}

/// Implements `Provider` for a pointer: every method calls the provider behind it.
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

            async fn whoami(&self) -> Result<KeyId> {
                (**self).whoami().await
            }
        }
    )*};
}

behind_pointer!(&P, Box<P>, Arc<P>);
