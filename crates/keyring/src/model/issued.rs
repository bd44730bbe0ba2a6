//! A newly issued key with its secret.

use api_keyring_transport::Secret;

use crate::{ApiKey, KeyId};

/// The result of a create or a regenerate: a key and its secret.
///
/// **The vendor shows the secret only once.** Store it before you do anything else.
#[derive(Clone, Debug)]
#[must_use = "the vendor shows the secret only once"]
pub struct IssuedKey {
    id: KeyId,
    secret: Secret,
    key: Option<ApiKey>,
}

impl IssuedKey {
    /// Creates an issued key. `key` is the metadata that came with the vendor's answer, if any.
    pub fn new(id: KeyId, secret: Secret, key: Option<ApiKey>) -> Self {
        Self { id, secret, key }
    }

    pub(crate) fn map_key(self, map: impl FnOnce(ApiKey) -> ApiKey) -> Self {
        Self { key: self.key.map(map), ..self }
    }

    /// Returns the key's id. A regenerate may change it.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Returns the secret and drops the rest.
    pub fn into_secret(self) -> Secret {
        self.secret
    }

    /// Returns the key's metadata if the vendor's answer holds it. Monad's does; Spartera's holds only the id.
    pub fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }
}
