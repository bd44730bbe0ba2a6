//! A running emulator.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::builder::{EmulatorBuilder, StartError};
use crate::changes::StateChange;
use crate::connection_gate::Mode;
use crate::fault::Fault;
use crate::handle::{MonadHandle, SparteraHandle};
use crate::inventory::ExistingKey;
use crate::lock;
use crate::record::SeenRequest;
use crate::server::Server;
use crate::service::Service;
use crate::state::State;

/// Both services, listening on one port of the loopback address.
///
/// Dropping it stops everything: no request is answered any more, and the port is free as soon as the runtime has
/// cleaned up. [`Emulator::shutdown`] does the same in an orderly way and waits for it.
pub struct Emulator {
    address: SocketAddr,
    service: Arc<Service>,
    server: Server,
}

impl Emulator {
    /// Starts an emulator with the usual behaviour on any free port.
    ///
    /// # Errors
    ///
    /// See [`EmulatorBuilder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Starts to choose how an emulator behaves.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) fn new(address: SocketAddr, service: Arc<Service>, server: Server) -> Self {
        Self { address, service, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The emulated Spartera.
    pub fn spartera(&self) -> SparteraHandle {
        SparteraHandle::new(self.address, Arc::clone(&self.service))
    }

    /// The emulated Monad.
    pub fn monad(&self) -> MonadHandle {
        MonadHandle::new(self.address, Arc::clone(&self.service))
    }

    /// The environment variables with which a program finds both services, the administrators' secrets among them.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (spartera, monad) = (self.spartera(), self.monad());
        vec![
            ("SPARTERA_API_KEY", spartera.admin_key()),
            ("SPARTERA_COMPANY_ID", spartera.company_id()),
            ("SPARTERA_BASE_URL", spartera.base_url()),
            ("MONAD_API_KEY", monad.admin_key()),
            ("MONAD_ORGANIZATION_ID", monad.organization_id()),
            ("MONAD_BASE_URL", monad.base_url()),
        ]
    }

    /// The requests answered so far, oldest first. What is not HTTP at all never becomes a request.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.service.record).to_vec()
    }

    /// Forgets the requests seen so far.
    pub fn clear_requests(&self) {
        lock(&self.service.record).clear();
    }

    /// Has this go wrong from now on, after all that was injected before.
    ///
    /// ```
    /// # use std::error::Error;
    /// use api_keyring_emulator::{Emulator, Fault, FaultKind, Operation};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn Error>> {
    /// let emulator = Emulator::start().await?;
    /// emulator.inject(Fault::new(FaultKind::ResetAfter).on(Operation::Create).times(1));
    /// // The same from text.
    /// emulator.inject("create:reset-after:1".parse::<Fault>()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn inject(&self, fault: impl Into<Fault>) {
        lock(&self.service.schedule).inject(fault.into());
    }

    /// Has nothing go wrong with further requests. Secrets that are late, flaky or lingering stay so.
    pub fn clear_faults(&self) {
        lock(&self.service.schedule).clear();
    }

    /// Refuses connections from now on, as a machine does on which nothing listens, and ends those that are open.
    /// Returns once that is so. The port stays the emulator's. See [`FaultKind::Refuse`](crate::FaultKind::Refuse) for
    /// the same at a certain request and for a certain time.
    pub async fn refuse_connections(&self) {
        self.service.gate.refuse(None);
        self.service.gate.reached(Mode::Refusing).await;
    }

    /// Lets connections in again. Returns once that is so.
    pub async fn accept_connections(&self) {
        self.service.gate.accept();
        self.service.gate.reached(Mode::Accepting).await;
    }

    /// What has become of the keys so far, oldest first within each service, those of the start included.
    pub fn changes(&self) -> Vec<StateChange> {
        self.service.changes.to_vec()
    }

    /// Forgets the changes so far.
    pub fn clear_changes(&self) {
        self.service.changes.clear();
    }

    /// The keys that exist: Spartera's, then Monad's, oldest first.
    pub fn keys(&self) -> Vec<ExistingKey> {
        self.service.keys()
    }

    /// What both services keep at this moment, secrets included: to be written as JSON, and to
    /// [begin with](EmulatorBuilder::state) another time.
    pub fn state(&self) -> State {
        self.service.state()
    }

    /// Stops accepting, finishes what is in progress (for at most five seconds), and frees the port.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    /// Stops as [`Emulator::shutdown`] does, and returns what both services keep in the end.
    pub async fn into_state(self) -> State {
        self.server.shutdown().await;
        self.service.state()
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("address", &self.address)
            .field("settings", &self.service.settings)
            .finish_non_exhaustive()
    }
}
