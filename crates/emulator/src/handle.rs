//! Handles to the emulated services.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::lock;
use crate::service::Service;

/// A handle to the emulated Spartera: its address, its administrator's secret, and a way to add keys.
///
/// It may outlive its emulator; then its address no longer answers.
#[derive(Clone)]
pub struct SparteraHandle {
    address: SocketAddr,
    service: Arc<Service>,
}

impl SparteraHandle {
    pub(crate) fn new(address: SocketAddr, service: Arc<Service>) -> Self {
        Self { address, service }
    }

    /// Returns the base URL, which replaces `https://api.spartera.com`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the id of the emulator's only company.
    pub fn company_id(&self) -> String {
        lock(&self.service.company).id.clone()
    }

    /// Returns the secret of the administrator's key. That key exists from the start, and lists show it like any other.
    pub fn admin_key(&self) -> String {
        lock(&self.service.company).admin_secret.clone()
    }

    /// Adds `count` keys without requests. They may only read, and they never expire.
    pub fn add_keys(&self, count: usize) -> Vec<SeededKey> {
        let now = self.service.clock.now();
        self.service.settle(now);
        seeded(lock(&self.service.company).seed(count, now))
    }
}

impl fmt::Debug for SparteraHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparteraHandle").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// A handle to the emulated Monad: its address, its administrator's token, and a way to add keys.
///
/// It may outlive its emulator; then its address no longer answers.
#[derive(Clone)]
pub struct MonadHandle {
    address: SocketAddr,
    service: Arc<Service>,
}

impl MonadHandle {
    pub(crate) fn new(address: SocketAddr, service: Arc<Service>) -> Self {
        Self { address, service }
    }

    /// Returns the base URL, which replaces `https://monad.com/api`.
    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Returns the id of the emulator's only organization.
    pub fn organization_id(&self) -> String {
        lock(&self.service.organization).id.clone()
    }

    /// Returns the token of the administrator's key. That key exists from the start, and lists show it like any other.
    pub fn admin_key(&self) -> String {
        lock(&self.service.organization).admin_token.clone()
    }

    /// Adds `count` keys without requests. They may only read, and they work for a hundred years.
    pub fn add_keys(&self, count: usize) -> Vec<SeededKey> {
        let now = self.service.clock.now();
        self.service.settle(now);
        seeded(lock(&self.service.organization).seed(count, now))
    }
}

impl fmt::Debug for MonadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonadHandle").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// A key that the emulator added without a request.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct SeededKey {
    /// The id, as in a path.
    pub id: String,
    /// The secret that authenticates with it. `Debug` leaves it out.
    pub secret: String,
}

impl fmt::Debug for SeededKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn seeded(keys: Vec<(String, String)>) -> Vec<SeededKey> {
    keys.into_iter().map(|(id, secret)| SeededKey { id, secret }).collect()
}
