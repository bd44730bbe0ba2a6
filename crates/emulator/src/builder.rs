//! Choosing how an emulator behaves.

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
use crate::settings::{MonadErrorShape, Revision, Settings, SparteraShape};
use crate::state::State;

/// How many connections are served at once unless told otherwise.
const CONNECTION_LIMIT: usize = 512;

/// How many requests are remembered unless told otherwise.
const RECORD_LIMIT: usize = 100_000;

/// An [`Emulator`] that has not started yet.
#[derive(Clone, Debug)]
#[must_use = "an emulator does nothing until it is started"]
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

    /// The port on the loopback address; 0, the default, takes any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Which published description both services follow; the current one by default.
    pub fn revision(mut self, revision: Revision) -> Self {
        self.settings.revision = revision;
        self
    }

    /// How Spartera writes a key; as in the SDK documentation by default.
    pub fn spartera_shape(mut self, shape: SparteraShape) -> Self {
        self.settings.spartera_shape = shape;
        self
    }

    /// The field of Spartera's create answer that carries the secret; `key` by default.
    ///
    /// The documentation says that the secret is there, but its schema has no field for it, so a client should find it
    /// under any name. A name that the answer has already takes that field's place.
    pub fn spartera_secret_field(mut self, name: impl Into<String>) -> Self {
        self.settings.spartera_secret_field = Some(name.into());
        self
    }

    /// Leaves the secret out of Spartera's create answer, as the documentation's schema does to the letter.
    pub fn without_spartera_secret(mut self) -> Self {
        self.settings.spartera_secret_field = None;
        self
    }

    /// How Monad writes an error; as a JSON string by default.
    pub fn monad_error_shape(mut self, shape: MonadErrorShape) -> Self {
        self.settings.monad_error_shape = shape;
        self
    }

    /// The clock; the machine's by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes ids and secrets the same in every run that asks the same in the same order. By default they differ.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Has this go wrong from the start; see [`Emulator::inject`].
    pub fn fault(mut self, fault: impl Into<Fault>) -> Self {
        self.faults.push(fault.into());
        self
    }

    /// Begins with these keys, rather than with an administrator's alone on each service. One is added where the state
    /// names no administrator's key.
    ///
    /// Ids stay as they are, whichever [shape](EmulatorBuilder::spartera_shape) is chosen: one that is not a number is
    /// text in the documented shape, too.
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Opens the paths below `/_emulator/`, over which a client of any kind injects faults and asks what has happened;
    /// see the [crate's documentation](crate#over-http). They ask for no credential, and are closed by default.
    pub fn control(mut self, open: bool) -> Self {
        self.settings.control = open;
        self
    }

    /// How many requests [`Emulator::requests`] remembers, and how many changes [`Emulator::changes`] does, the oldest
    /// being forgotten first; 100,000 of each by default.
    pub fn record_limit(mut self, requests: usize) -> Self {
        self.record_limit = requests;
        self
    }

    /// How long a secret goes on working after its key has expired, by the emulator's clock; not at all by default. The
    /// key is shown as expired meanwhile.
    pub fn expiry_lag(mut self, lag: Duration) -> Self {
        self.settings.expiry_lag = TimeDelta::from_std(lag).unwrap_or(TimeDelta::MAX);
        self
    }

    /// Tells of every request as it is answered: for a log, say, since a request [prints](SeenRequest) as a line that
    /// holds no secret.
    ///
    /// It is called on the server's way to the answer, which waits for it, and before the request is remembered; by
    /// several threads at once, if the runtime has several.
    pub fn observe(mut self, observe: impl Fn(&SeenRequest) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observer::new(observe));
        self
    }

    /// How many connections there may be beside the newest one; 512 by default, and at least one. When there are more, the
    /// one that has been idle for longest is closed, a request's unfinished head being idleness too; while all are busy,
    /// no other is let in.
    pub fn connection_limit(mut self, connections: usize) -> Self {
        self.settings.connections = connections;
        self
    }

    /// Starts both services.
    ///
    /// They run as tasks of the tokio runtime that calls this, which needs its I/O and time drivers, and end with it.
    ///
    /// # Errors
    ///
    /// When the port is taken or may not be used, or when this is not called on a tokio runtime.
    pub async fn start(self) -> Result<Emulator, StartError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let failed = |source| StartError { address: wanted, source };
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(failed(io::Error::other("not called on a tokio runtime")));
        }
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // The standard library's hasher keys come from the operating system.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        // With a state that another run has left, other keys than that run's.
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

/// An emulator could not be started.
#[derive(Debug)]
pub struct StartError {
    address: SocketAddr,
    source: io::Error,
}

impl StartError {
    /// The address that was to be listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The kind of the underlying error, such as [`io::ErrorKind::AddrInUse`].
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: choose another port, or 0 for any free one", self.address)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
