//! A key with the secret that is shown once.

use api_keyring_transport::Secret;

use crate::{ApiKey, KeyId};

/// What a create or a regenerate yields: a key and its secret.
///
/// **The vendor shows the secret this one time.** Store it before anything else is done.
#[derive(Clone, Debug)]
#[must_use = "the secret is shown this one time"]
pub struct IssuedKey {
    id: KeyId,
    secret: Secret,
    key: Option<ApiKey>,
}

impl IssuedKey {
    /// A key that was just issued; `key` is what the vendor told of it beside its id.
    pub fn new(id: KeyId, secret: Secret, key: Option<ApiKey>) -> Self {
        Self { id, secret, key }
    }

    pub(crate) fn map_key(self, map: impl FnOnce(ApiKey) -> ApiKey) -> Self {
        Self { key: self.key.map(map), ..self }
    }

    /// The key's id. After a regenerate it may be another than before.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The secret alone.
    pub fn into_secret(self) -> Secret {
        self.secret
    }

    /// The key's metadata, where the vendor answers with it: Monad does, Spartera answers with the id alone.
    pub fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }
}
