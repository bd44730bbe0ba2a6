//! What every vendor of API keys has in common.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use api_keyring_transport::Secret;
use async_trait::async_trait;
use futures_util::Stream;

use crate::{
    ApiKey, Capabilities, IssuedKey, KeyId, KeyStats, KeyUpdate, ListKeys, NewKey, Regeneration, Result, Revocation,
};

/// Keys as they arrive. An item that is an error is one odd key, or the end of a list that could not be read further.
pub type KeyStream<'a> = Pin<Box<dyn Stream<Item = Result<ApiKey>> + Send + 'a>>;

/// A vendor's keys within one scope (a company, an organization), reached with one credential.
///
/// One method an operation, and no default bodies: a wrapper that forgets one does not compile. Whether an operation is
/// offered, [`capabilities`](Self::capabilities) tells beforehand; one that is not fails with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and sends nothing.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The vendor's name in lower case, such as `spartera`.
    fn vendor(&self) -> &'static str;

    /// What the keys act for: the company's or organization's id.
    fn scope(&self) -> &str;

    /// What the vendor offers.
    fn capabilities(&self) -> Capabilities;

    /// The same keys, reached with another secret: to see whether a new key works, say. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the secret cannot be sent in a header.
    fn with_secret(&self, secret: &Secret) -> Result<Arc<dyn Provider>>;

    /// Lists all keys, page by page as they are asked for. Each key comes once, whatever the pages repeat.
    fn list(&self, which: ListKeys) -> KeyStream<'_>;

    /// Reads one key.
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
    /// # Errors
    ///
    /// `InvalidInput` and `Unsupported` before anything is sent; `MissingSecret`, with the new key's id, when the answer
    /// holds no secret; `UnexpectedAnswer` when it cannot be read, in which case
    /// [`unclaimed_secret`](crate::Error::unclaimed_secret) hands over what arrived; and those of every call.
    async fn create(&self, new: &NewKey) -> Result<IssuedKey>;

    /// Changes a key's metadata. Returns the key after the change where the vendor answers with it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` and `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<Option<ApiKey>>;

    /// Replaces a key's secret in place. **The old one dies at once, and the new one is in the answer and nowhere else.**
    ///
    /// The call is sent once and never repeated. The key's id may change.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and `NotFound`.
    async fn regenerate(&self, id: &KeyId, how: &Regeneration) -> Result<IssuedKey>;

    /// Makes a key's secret useless, and has the vendor keep a record of why.
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn revoke(&self, id: &KeyId, how: &Revocation) -> Result<()>;

    /// Deletes a key. Its secret stops working.
    ///
    /// # Errors
    ///
    /// `NotFound`, and those of every call.
    async fn delete(&self, id: &KeyId) -> Result<()>;

    /// Reads how a key is used.
    ///
    /// # Errors
    ///
    /// `Unsupported` before anything is sent, `NotFound`, and those of every call.
    async fn stats(&self, id: &KeyId) -> Result<KeyStats>;
}
