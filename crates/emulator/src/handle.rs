//! Each service as the test that runs it sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::lock;
use crate::service::Service;

/// The emulated Spartera: where it is, how to get in, and what to fill it with.
///
/// It may outlive its emulator, but then nobody answers at its address.
#[derive(Clone)]
pub struct SparteraHandle {
    address: SocketAddr,
    service: Arc<Service>,
}

impl SparteraHandle {
    pub(crate) fn new(address: SocketAddr, service: Arc<Service>) -> Self {
        Self { address, service }
    }

    /// What stands in for `https://api.spartera.com`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The one company that there is.
    pub fn company_id(&self) -> String {
        lock(&self.service.company).id.clone()
    }

    /// The secret of the administrator's key, which is there from the start and is listed like any other.
    pub fn admin_key(&self) -> String {
        lock(&self.service.company).admin_secret.clone()
    }

    /// Adds keys without a request for each: they may only read, and never expire.
    pub fn add_keys(&self, count: usize) -> Vec<SeededKey> {
        let now = self.service.clock.now();
        seeded(lock(&self.service.company).seed(count, now))
    }
}

impl fmt::Debug for SparteraHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparteraHandle").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// The emulated Monad: where it is, how to get in, and what to fill it with.
///
/// It may outlive its emulator, but then nobody answers at its address.
#[derive(Clone)]
pub struct MonadHandle {
    address: SocketAddr,
    service: Arc<Service>,
}

impl MonadHandle {
    pub(crate) fn new(address: SocketAddr, service: Arc<Service>) -> Self {
        Self { address, service }
    }

    /// What stands in for `https://monad.com/api`.
    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// The one organization that there is.
    pub fn organization_id(&self) -> String {
        lock(&self.service.organization).id.clone()
    }

    /// The token of the administrator's key, which is there from the start and is listed like any other.
    pub fn admin_key(&self) -> String {
        lock(&self.service.organization).admin_token.clone()
    }

    /// Adds keys without a request for each: they may only read, and work for a hundred years.
    pub fn add_keys(&self, count: usize) -> Vec<SeededKey> {
        let now = self.service.clock.now();
        seeded(lock(&self.service.organization).seed(count, now))
    }
}

impl fmt::Debug for MonadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonadHandle").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// A key that was added without a request.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct SeededKey {
    /// Its id, as it stands in a path.
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
