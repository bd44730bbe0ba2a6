//! The builder of an emulator.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use chrono::TimeDelta;
use fastrand::Rng;
use tokio::net::TcpListener;

use crate::clock::{Clock, SystemClock};
use crate::emulator::Emulator;
use crate::fault::Fault;
use crate::record::{Observer, SeenRequest};
use crate::server::Server;
use crate::service::Service;
use crate::settings::{MonadErrorShape, ReuseIds, Revision, Settings, SparteraShape};
use crate::state::State;

/// The default number of connections at once.
const CONNECTION_LIMIT: usize = 512;

/// The default number of recorded requests.
const RECORD_LIMIT: usize = 100_000;

/// An [`Emulator`] that has not started yet.
#[derive(Clone, Debug)]
#[must_use = "the builder does nothing until `start` is called"]
pub struct EmulatorBuilder {
    port: u16,
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    record_limit: usize,
    observer: Option<Observer>,
    faults: Vec<Fault>,
    state: State,
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            port: 0,
            settings: Settings {
                revision: Revision::default(),
                spartera_shape: SparteraShape::default(),
                spartera_secret_field: Some("key".to_owned()),
                monad_error_shape: MonadErrorShape::default(),
                reuse_ids: None,
                expiry_lag: TimeDelta::zero(),
                connections: CONNECTION_LIMIT,
                control: false,
            },
            clock: Arc::new(SystemClock),
            seed: None,
            record_limit: RECORD_LIMIT,
            observer: None,
            faults: Vec::new(),
            state: State::default(),
        }
    }

    /// Sets the port on the loopback address. The default, 0, takes any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets which published description both services follow. The default is the current one.
    pub fn revision(mut self, revision: Revision) -> Self {
        self.settings.revision = revision;
        self
    }

    /// Sets how Spartera writes a key. The default is the form of the SDK documentation.
    pub fn spartera_shape(mut self, shape: SparteraShape) -> Self {
        self.settings.spartera_shape = shape;
        self
    }

    /// Sets the field of Spartera's create answer that contains the secret. The default is `key`.
    ///
    /// The documentation says that the answer contains the secret, but its schema has no field for it. A client should
    /// therefore find the secret under any name. If the answer already has a field with this name, the secret replaces
    /// it.
    pub fn spartera_secret_field(mut self, name: impl Into<String>) -> Self {
        self.settings.spartera_secret_field = Some(name.into());
        self
    }

    /// Leaves the secret out of Spartera's create answer, exactly as the documentation's schema does.
    pub fn without_spartera_secret(mut self) -> Self {
        self.settings.spartera_secret_field = None;
        self
    }

    /// Sets how Monad writes an error. The default is a JSON string.
    pub fn monad_error_shape(mut self, shape: MonadErrorShape) -> Self {
        self.settings.monad_error_shape = shape;
        self
    }

    /// Sets the clock. The default is the machine's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the seed, so that every run with the same requests in the same order has the same ids and secrets, and a
    /// [chance](Fault::chance) hits the same requests.
    ///
    /// By default the seed is random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Injects a fault from the start; see [`Emulator::inject`].
    pub fn fault(mut self, fault: impl Into<Fault>) -> Self {
        self.faults.push(fault.into());
        self
    }

    /// Starts with the keys of `state`. The default is a single administrator's key on each service.
    ///
    /// A service adds an administrator's key if the state names none. Ids stay unchanged in every
    /// [shape](EmulatorBuilder::spartera_shape): the documented shape writes an id that is not a number as text.
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Opens or closes the paths below `/_emulator/`. By default they are closed.
    ///
    /// Over these paths any client injects faults and reads the records; see the
    /// [crate's documentation](crate#over-http). They need no credential.
    pub fn control(mut self, open: bool) -> Self {
        self.settings.control = open;
        self
    }

    /// Sets how many requests [`Emulator::requests`] and how many changes [`Emulator::changes`] remember.
    ///
    /// The emulator forgets the oldest first. The default is 100,000 of each.
    pub fn record_limit(mut self, requests: usize) -> Self {
        self.record_limit = requests;
        self
    }

    /// Gives ids of deleted keys to new keys, on both services. By default no id is reused.
    ///
    /// This holds for [`SparteraHandle::add_keys`](crate::SparteraHandle::add_keys) as well. Secrets are never reused:
    /// the secret of a deleted key does not authenticate as the key that has got its id.
    /// [`ExistingKey::serial`](crate::ExistingKey::serial) tells two keys with the same id apart.
    /// [`FaultKind::ReuseIds`](crate::FaultKind::ReuseIds) does the same for single requests.
    pub fn reuse_ids(mut self, reuse: ReuseIds) -> Self {
        self.settings.reuse_ids = Some(reuse);
        self
    }

    /// Sets how long a secret still works after its key has expired, by the emulator's clock. The default is zero.
    ///
    /// During that time the services already show the key as expired.
    pub fn expiry_lag(mut self, lag: Duration) -> Self {
        self.settings.expiry_lag = TimeDelta::from_std(lag).unwrap_or(TimeDelta::MAX);
        self
    }

    /// Calls `observe` with every request, for example to write a log.
    ///
    /// A request [prints](SeenRequest) as one line without a secret. The server calls `observe` before it records the
    /// request and sends the answer, so the answer waits for it. On a multi-threaded runtime, several threads may call
    /// it at once.
    pub fn observe(mut self, observe: impl Fn(&SeenRequest) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observer::new(observe));
        self
    }

    /// Sets how many connections may exist when a new one arrives; the new one is not counted. The default is 512, the
    /// minimum is one.
    ///
    /// Beyond the limit, the server closes the connection that has been idle for longest. A connection with an
    /// unfinished head counts as idle. While all are busy, the server accepts no further connection.
    pub fn connection_limit(mut self, connections: usize) -> Self {
        self.settings.connections = connections;
        self
    }

    /// Starts both services.
    ///
    /// They run as tasks of the tokio runtime that calls this, and end with it. The runtime needs its I/O and time
    /// drivers.
    ///
    /// # Errors
    ///
    /// Returns an error if the port is taken or forbidden, or if the caller is not on a tokio runtime.
    pub async fn start(self) -> Result<Emulator, StartError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let failed = |source| StartError { address: wanted, source };
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(failed(io::Error::other("the caller is not on a tokio runtime")));
        }
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // The standard library seeds its hasher from the operating system, so this makes a random seed.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        // A run that starts from another run's state makes other keys than that run, even with the same seed.
        let rng = Rng::with_seed(seed ^ self.state.number());
        let service =
            Service::new(self.settings, self.clock, rng, self.record_limit, self.observer, self.faults, self.state.0);
        let service = Arc::new(service);
        let server = Server::spawn(listener, address, Arc::clone(&service));
        Ok(Emulator::new(address, service, server))
    }
}

impl Default for EmulatorBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// The error for an emulator that cannot start.
#[derive(Debug)]
pub struct StartError {
    address: SocketAddr,
    source: io::Error,
}

impl StartError {
    /// Returns the address on which the emulator tried to listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the kind of the underlying error, such as [`io::ErrorKind::AddrInUse`].
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot start the emulator on {}. If the port is taken, choose another, or 0 for any free port",
            self.address
        )
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
