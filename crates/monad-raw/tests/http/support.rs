//! Code that all tests of this crate share.

use monad_raw::{Client, Credential, Error, types};

/// Ids that contain every kind of valid character.
pub(crate) const ORGANIZATION: &str = "3f0d2b1c-0A.b~c_9";
pub(crate) const KEY: &str = "~Key-1_2.3";

pub(crate) const SECRET: &str = "mk_test_0123456789";

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
    Regenerate,
}

impl Operation {
    pub(crate) const ALL: [Self; 6] =
        [Self::List, Self::Create, Self::Get, Self::Update, Self::Delete, Self::Regenerate];

    /// Returns whether the path contains a key's id.
    pub(crate) fn has_key(self) -> bool {
        !matches!(self, Self::List | Self::Create)
    }

    /// Returns whether the answer shows a token.
    pub(crate) fn issues(self) -> bool {
        matches!(self, Self::Create | Self::Regenerate)
    }

    /// Returns the path with these ids.
    pub(crate) fn path(self, organization: &str, key: &str) -> String {
        let keys = format!("/v2/{organization}/api_keys");
        match self {
            Self::List | Self::Create => keys,
            Self::Get | Self::Update | Self::Delete => format!("{keys}/{key}"),
            Self::Regenerate => format!("{keys}/{key}/regenerate"),
        }
    }

    /// Calls the operation with these ids and the smallest valid body. Returns the `Debug` text of the answer.
    pub(crate) async fn call(
        self,
        client: &Client,
        organization: &str,
        key: &str,
    ) -> Result<String, Error<types::Error>> {
        match self {
            Self::List => {
                let call = client.list_api_keys().organization_id(organization);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Create => {
                let call = client.create_api_key().organization_id(organization).body(new_key());
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Get => {
                let call = client.get_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Update => {
                let call = client.update_api_key().organization_id(organization).api_key_id(key);
                let call = call.body(types::UpdateApiKeyRequest::builder().name("ci"));
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Delete => {
                let call = client.delete_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
            Self::Regenerate => {
                let call = client.regenerate_api_key().organization_id(organization).api_key_id(key);
                call.send().await.map(|answer| format!("{answer:?}"))
            }
        }
    }
}

/// Returns the smallest valid body of a create.
pub(crate) fn new_key() -> types::builder::CreateApiKeyRequest {
    types::CreateApiKeyRequest::builder().name("ci").role_id("role-reader").expiration_time("2030-01-01T00:00:00Z")
}
