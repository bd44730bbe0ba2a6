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

/// A running emulator: both services on one port of the loopback address.
///
/// Dropping it stops both services. They answer no further requests, and the port is free as soon as the runtime has
/// cleaned up. [`Emulator::shutdown`] stops them in order and waits until the port is free.
pub struct Emulator {
    address: SocketAddr,
    service: Arc<Service>,
    server: Server,
}

impl Emulator {
    /// Starts an emulator with the default behaviour on any free port.
    ///
    /// # Errors
    ///
    /// See [`EmulatorBuilder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder, which sets how the emulator behaves.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) fn new(address: SocketAddr, service: Arc<Service>, server: Server) -> Self {
        Self { address, service, server }
    }

    /// Returns the address on which the emulator listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a handle to the emulated Spartera.
    pub fn spartera(&self) -> SparteraHandle {
        SparteraHandle::new(self.address, Arc::clone(&self.service))
    }

    /// Returns a handle to the emulated Monad.
    pub fn monad(&self) -> MonadHandle {
        MonadHandle::new(self.address, Arc::clone(&self.service))
    }

    /// Returns the environment variables that lead a program to both services.
    ///
    /// They include the administrators' secrets.
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

    /// Returns the requests answered so far, oldest first. It omits input that is not HTTP.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.service.record).to_vec()
    }

    /// Clears the record of requests.
    pub fn clear_requests(&self) {
        lock(&self.service.record).clear();
    }

    /// Injects a fault, which applies from now on and after all earlier faults.
    ///
    /// ```
    /// # use std::error::Error;
    /// use api_keyring_emulator::{Emulator, Fault, FaultKind, Operation};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn Error>> {
    /// let emulator = Emulator::start().await?;
    /// emulator.inject(Fault::new(FaultKind::ResetAfter).on(Operation::Create).times(1));
    /// // The same fault from text.
    /// emulator.inject("create:reset-after:1".parse::<Fault>()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn inject(&self, fault: impl Into<Fault>) {
        lock(&self.service.schedule).inject(fault.into());
    }

    /// Removes all pending faults. Secrets that are already late, flaky or lingering stay so.
    pub fn clear_faults(&self) {
        lock(&self.service.schedule).clear();
    }

    /// Refuses new connections, like a machine without a listener, and ends all open ones.
    ///
    /// Returns once both are done. The emulator keeps the port.
    /// [`FaultKind::Refuse`](crate::FaultKind::Refuse) does the same at a certain request and for a certain time.
    pub async fn refuse_connections(&self) {
        self.service.gate.refuse(None);
        self.service.gate.reached(Mode::Refusing).await;
    }

    /// Accepts connections again. Returns once the emulator listens.
    pub async fn accept_connections(&self) {
        self.service.gate.accept();
        self.service.gate.reached(Mode::Accepting).await;
    }

    /// Returns the changes of the keys so far, oldest first within each service. They include the keys from the start.
    pub fn changes(&self) -> Vec<StateChange> {
        self.service.changes()
    }

    /// Clears the record of changes.
    pub fn clear_changes(&self) {
        self.service.clear_changes();
    }

    /// Returns the keys that exist: Spartera's, then Monad's, oldest first.
    pub fn keys(&self) -> Vec<ExistingKey> {
        self.service.keys()
    }

    /// Returns the current state of both services, including secrets.
    ///
    /// You can write it as JSON, and another emulator can [start from it](EmulatorBuilder::state).
    pub fn state(&self) -> State {
        self.service.state()
    }

    /// Stops accepting connections, finishes the requests in progress (for at most five seconds), and frees the port.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    /// Stops like [`Emulator::shutdown`], and returns the final state of both services.
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
