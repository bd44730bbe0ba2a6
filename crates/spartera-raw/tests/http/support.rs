//! Code that all tests of this crate share.

use spartera_raw::{Client, Credential, Error, types};

/// Ids that contain every kind of valid character.
pub(crate) const COMPANY: &str = "3f0d2b1c-0A_9";
pub(crate) const KEY: &str = "Key-1_2";

pub(crate) const SECRET: &str = "sk_test_0123456789";

/// Makes a client that authenticates with [`SECRET`].
pub(crate) fn client(base_url: &str) -> Client {
    Client::connect(base_url, Credential::api_key(SECRET).unwrap()).unwrap()
}

/// A mock server that gives every request the same answer, and a client of it.
pub(crate) type Stub = api_keyring_test_support::Stub<Client>;

/// Starts a stub whose client authenticates with [`SECRET`].
pub(crate) async fn stub() -> Stub {
    Stub::start(client).await
}

/// Starts a stub whose client authenticates with this credential.
pub(crate) async fn stub_with(credential: Credential) -> Stub {
    Stub::start(|base_url| Client::connect(base_url, credential).unwrap()).await
}

/// The operations, for tests that try each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    List,
    Create,
    Get,
    Update,
    Delete,
    Revoke,
    Stats,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] =
        [Self::List, Self::Create, Self::Get, Self::Update, Self::Delete, Self::Revoke, Self::Stats];

    /// Returns whether the path contains a key's id.
    pub(crate) fn has_key(self) -> bool {
        !matches!(self, Self::List | Self::Create)
    }

    /// Returns whether the answer may show a secret.
    pub(crate) fn issues(self) -> bool {
        matches!(self, Self::Create | Self::Revoke)
    }

    /// Returns the path with these ids.
    pub(crate) fn path(self, company: &str, key: &str) -> String {
        let keys = format!("/companies/{company}/api-keys");
        match self {
            Self::List | Self::Create => keys,
            Self::Get | Self::Update | Self::Delete => format!("{keys}/{key}"),
            Self::Revoke => format!("{keys}/{key}/revoke"),
            Self::Stats => format!("{keys}/{key}/stats"),
        }
    }

    /// Calls the operation with these ids and the smallest valid body. Returns the `Debug` text of the answer.
    pub(crate) async fn call(self, client: &Client, company: &str, key: &str) -> Result<String, Error<types::Error>> {
        match self {
            Self::List => {
                let call = client.list_api_keys().company_id(company);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Create => {
                let call = client.create_api_key().company_id(company).body(new_key());
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Get => {
                let call = client.get_api_key().company_id(company).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Update => {
                let call = client.update_api_key().company_id(company).api_key_id(key);
                let call = call.body(types::UpdateApiKeyRequest::builder().name("ci".to_owned()));
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Delete => {
                let call = client.delete_api_key().company_id(company).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Revoke => {
                let call = client.revoke_api_key().company_id(company).api_key_id(key);
                call.body(revocation()).send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Stats => {
                let call = client.get_api_key_stats().company_id(company).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
        }
    }
}

/// Returns the smallest valid body of a create.
pub(crate) fn new_key() -> types::builder::CreateApiKeyRequest {
    types::CreateApiKeyRequest::builder().company_id(COMPANY).role_id(3)
}

/// Returns the smallest valid body of a revoke.
pub(crate) fn revocation() -> types::builder::RevokeApiKeyRequest {
    types::RevokeApiKeyRequest::builder().company_id(COMPANY).role_id(3)
}
