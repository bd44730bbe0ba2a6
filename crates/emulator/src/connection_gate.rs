//! The control of whether the server accepts connections or refuses them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// Passes requests to accept or refuse connections to the server, and reports back what the server does.
pub(crate) struct ConnectionGate {
    requested: watch::Sender<Request>,
    current: watch::Sender<Mode>,
}

/// How the server treats new connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Accepting,
    Refusing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Accept,
    /// For this time, or until an [`Accept`](Self::Accept).
    Refuse(Option<Duration>),
}

impl Request {
    fn mode(self) -> Mode {
        match self {
            Self::Accept => Mode::Accepting,
            Self::Refuse(_) => Mode::Refusing,
        }
    }
}

impl ConnectionGate {
    pub(crate) fn new() -> Self {
        Self { requested: watch::Sender::new(Request::Accept), current: watch::Sender::new(Mode::Accepting) }
    }

    /// Asks the server to refuse connections for `span` of tokio's time, or until [`accept`](Self::accept).
    pub(crate) fn refuse(&self, span: Option<Duration>) {
        self.requested.send_replace(Request::Refuse(span));
    }

    /// Asks the server to accept connections.
    pub(crate) fn accept(&self) {
        self.requested.send_replace(Request::Accept);
    }

    /// Waits until the server has reached `mode`, or a later request asks for the other mode.
    pub(crate) async fn reached(&self, mode: Mode) {
        let (mut current, mut requested) = (self.current.subscribe(), self.requested.subscribe());
        // `self` holds both senders, so neither channel can close during the wait.
        tokio::select! {
            _ = current.wait_for(|current| *current == mode) => {}
            _ = requested.wait_for(|requested| requested.mode() != mode) => {}
        }
    }

    /// Waits until the latest request is to accept connections.
    pub(crate) async fn accept_requested(&self) {
        let _ = self.requested.subscribe().wait_for(|requested| requested.mode() == Mode::Accepting).await;
    }

    /// Waits until the latest request is to refuse connections. Only the server calls this.
    pub(crate) async fn refuse_requested(&self) {
        let _ = self.requested.subscribe().wait_for(|requested| requested.mode() == Mode::Refusing).await;
    }

    /// Reports that the server has reached `mode`. Only the server calls this.
    pub(crate) fn report(&self, mode: Mode) {
        self.current.send_replace(mode);
    }

    /// Waits until the requested refusal ends. Only the server calls this.
    pub(crate) async fn refusal_ended(&self) {
        let mut requested = self.requested.subscribe();
        loop {
            let refusal = *requested.borrow_and_update();
            let span = match refusal {
                Request::Accept => return,
                Request::Refuse(span) => span,
            };
            let elapsed = async {
                match span {
                    Some(span) => sleep(span).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = requested.changed() => {}
                () = elapsed => {
                    self.requested.send_if_modified(|requested| {
                        let is_same = *requested == refusal;
                        if is_same {
                            *requested = Request::Accept;
                        }
                        is_same
                    });
                }
            }
        }
    }
}
