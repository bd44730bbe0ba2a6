//! A listener that detects unwanted connections.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

/// A listener that accepts connections and never answers. Tests use it to detect a connection that must not happen.
pub struct UnansweredListener(TcpListener);

impl UnansweredListener {
    /// Listens on a port of this machine that the system chooses.
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Returns whether a client has connected since the last call.
    ///
    /// A client's `connect` returns only after the system has queued the connection, so this misses no earlier
    /// connection.
    pub fn has_connection(&self) -> bool {
        match self.0.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}
