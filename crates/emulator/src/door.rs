//! Whether anybody is let in.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// What is wanted of the server that lets connections in, and how far it has got with that.
pub(crate) struct Door {
    wanted: watch::Sender<Wanted>,
    is_open: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Open,
    /// For so long, or until it is wanted open.
    Shut(Option<Duration>),
}

impl Door {
    pub(crate) fn new() -> Self {
        Self { wanted: watch::Sender::new(Wanted::Open), is_open: watch::Sender::new(true) }
    }

    /// Wants connections to be refused, for so long (in tokio's time) or until further notice.
    pub(crate) fn shut(&self, span: Option<Duration>) {
        self.wanted.send_replace(Wanted::Shut(span));
    }

    pub(crate) fn open(&self) {
        self.wanted.send_replace(Wanted::Open);
    }

    /// Waits until the server has done what is wanted, or it is not wanted any more.
    pub(crate) async fn settled(&self, is_open: bool) {
        let (mut server, mut wanted) = (self.is_open.subscribe(), self.wanted.subscribe());
        // The senders are here, so there is no end to wait for.
        tokio::select! {
            _ = server.wait_for(|now| *now == is_open) => {}
            _ = wanted.wait_for(|wanted| (*wanted == Wanted::Open) != is_open) => {}
        }
    }

    /// Waits until connections are not wanted to be refused any more.
    pub(crate) async fn not_wanted_shut(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted == Wanted::Open).await;
    }

    /// For the server: tells that it has done what is wanted.
    pub(crate) fn settle(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }

    /// For the server: waits until connections are to be refused.
    pub(crate) async fn wanted_shut(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted != Wanted::Open).await;
    }

    /// For the server: waits until connections are to be let in again.
    pub(crate) async fn wanted_open(&self) {
        let mut wanted = self.wanted.subscribe();
        loop {
            let shut = *wanted.borrow_and_update();
            let span = match shut {
                Wanted::Open => return,
                Wanted::Shut(span) => span,
            };
            let over = async {
                match span {
                    Some(span) => sleep(span).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = wanted.changed() => {}
                () = over => {
                    self.wanted.send_if_modified(|wanted| {
                        let is_same = *wanted == shut;
                        if is_same {
                            *wanted = Wanted::Open;
                        }
                        is_same
                    });
                }
            }
        }
    }
}
