//! Being told to stop.

use std::future::Future;
use std::io;
use std::pin::pin;

use crate::output;

/// Requests to stop: Ctrl-C, a request to terminate, and the terminal being closed.
///
/// From the moment that this is made, none of them ends the process by itself.
pub(crate) struct CancelRequests {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl CancelRequests {
    pub(crate) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signals =
                [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
            Ok(Self { signals })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        #[cfg(unix)]
        {
            let [interrupt, terminate, hangup] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            Ok(())
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    }
}

/// Carries on although told to stop: between the moment a vendor issues a secret and the moment it is stored, the process
/// holds the only copy. Each request to stop is answered with that reason.
pub(crate) async fn defer_cancellation<T>(work: impl Future<Output = T>) -> T {
    let Ok(mut stop) = CancelRequests::listen() else {
        // Signals cannot be watched on this machine; there is nothing to shield with.
        return work.await;
    };
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            stop = stop.next() => {
                if stop.is_err() {
                    return work.await;
                }
                output::notice("A secret is on its way and would be lost; stopping when it is stored.");
            }
        }
    }
}
